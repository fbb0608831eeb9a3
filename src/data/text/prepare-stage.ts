// What a thread does with a batch of documents when a corpus is prepared: examine all, then encode those that are kept.
import { ChainruleError } from "../../engine/core/index.ts";
import {
  faultOf,
  fingerprint,
  HASHES,
  minHash,
  needsScan,
  scanWords,
  type Fault,
  type QualityLimits,
} from "../datasets/index.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What is done with each document; the same in every thread. */
export interface StageOptions {
  readonly limits: QualityLimits;
  readonly dedup: "exact" | "near" | "none";
  /** Ids put before and behind the tokens of each document. */
  readonly begin?: number | undefined;
  readonly end?: number | undefined;
}

/** Findings on the documents of a batch, flat so that they cross to another thread in one piece. */
export interface Examined {
  /** Size of each text in UTF-8. */
  readonly bytes: Float64Array;
  /** Four words of fingerprint each, and the draw of the split. */
  readonly keys: Uint32Array;
  readonly draws: Float64Array;
  /** Broken limits, by the number of the document. */
  readonly faults: readonly (Fault & { readonly index: number })[];
  /** Signatures of those that have one (`signed` is 1); empty where nobody asked. */
  readonly signatures: Int32Array;
  readonly signed: Uint8Array;
}

/** Tokens of the kept documents in one row, marks included, and how many each has. */
export interface Encoded {
  readonly ids: Uint32Array;
  readonly lengths: Uint32Array;
}

/** A document that the tokenizer refused. */
export interface Refused {
  readonly index: number;
  readonly problem: string;
  readonly hint: string | undefined;
}

export function examine(texts: readonly string[], { limits, dedup }: StageOptions): Examined {
  const n = texts.length;
  const near = dedup === "near";
  const bytes = new Float64Array(n);
  const keys = new Uint32Array(4 * n);
  const draws = new Float64Array(n);
  const faults: (Fault & { index: number })[] = [];
  const signatures = new Int32Array(near ? HASHES * n : 0);
  const signed = new Uint8Array(near ? n : 0);
  texts.forEach((text, index) => {
    bytes[index] = Buffer.byteLength(text);
    const scan = near || needsScan(limits) ? scanWords(text) : undefined;
    const fault = faultOf(text, limits, scan);
    if (fault !== undefined) {
      faults.push({ index, ...fault });
      return;
    }
    const { key, draw } = fingerprint(text);
    keys.set(key, 4 * index);
    draws[index] = draw;
    const signature = near ? minHash(text, scan!.words) : undefined;
    if (signature === undefined) return;
    signatures.set(signature, HASHES * index);
    signed[index] = 1;
  });
  return { bytes, keys, draws, faults, signatures, signed };
}

/** Encodes the documents with these numbers; the first one that the tokenizer refuses ends it. */
export function encodeKept(
  texts: readonly string[],
  keep: Uint32Array,
  how: StageOptions & { readonly tokenizer: Tokenizer },
): Encoded | Refused {
  const { tokenizer, begin, end } = how;
  const marks = (begin === undefined ? 0 : 1) + (end === undefined ? 0 : 1);
  const lengths = new Uint32Array(keep.length);
  const parts: Uint32Array[] = [];
  let total = 0;
  for (const [i, index] of keep.entries()) {
    try {
      const ids = tokenizer.encode(texts[index]!);
      parts.push(ids);
      lengths[i] = ids.length + marks;
      total += ids.length + marks;
    } catch (error) {
      if (!(error instanceof ChainruleError)) throw error;
      return { index, problem: error.problem, hint: error.hint };
    }
  }
  const ids = new Uint32Array(total);
  let at = 0;
  for (const part of parts) {
    if (begin !== undefined) ids[at++] = begin;
    ids.set(part, at);
    at += part.length;
    if (end !== undefined) ids[at++] = end;
  }
  return { ids, lengths };
}
