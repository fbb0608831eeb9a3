// Filters of documents that know no language: length, letters, repeated lines and words, control characters, long words.
import { ArgumentError } from "../../engine/core/index.ts";
import { scanWords, shingles, type WordScan } from "./words.ts";

/** Limits a document must keep; one that is absent is not checked. Shares are from 0 to 1. */
export interface QualityLimits {
  /** Fewest and most characters (UTF-16 code units). */
  readonly minLength?: number;
  readonly maxLength?: number;
  /** Smallest share of letters among characters that are no white space. */
  readonly minLetters?: number;
  /** Largest share of characters in lines that stood in the document before. */
  readonly maxRepeatedLines?: number;
  /** Largest share of runs of five words that stood in the document before. */
  readonly maxRepeatedWords?: number;
  /** Largest share of control characters and U+FFFD. */
  readonly maxControl?: number;
  /** Largest share of characters in runs of more than 100 without white space (scripts without spaces aside). */
  readonly maxLongWords?: number;
}

/** Limits that plain prose and code of any language keep, and broken extraction, tables of numbers and blobs do not. */
export const qualityLimits: QualityLimits = {
  minLetters: 0.5,
  maxRepeatedLines: 0.3,
  maxRepeatedWords: 0.3,
  maxControl: 0.01,
  maxLongWords: 0.1,
};

/** Why a document is left out, in the order in which it is looked at; `empty` is one of white space only. */
export const removals = [
  "empty",
  "too-short",
  "too-long",
  "few-letters",
  "control-characters",
  "long-words",
  "repeated-lines",
  "repeated-words",
  "exact-duplicate",
  "near-duplicate",
] as const;
export type Removal = (typeof removals)[number];

/** A broken limit and the value that breaks it. */
export interface Fault {
  readonly reason: Removal;
  readonly value: number;
}

/**
 * The first limit a document breaks, in the order of `Removal`; undefined where it keeps all.
 *
 * @example
 * faultOf("....", { minLetters: 0.5 }); // { reason: "few-letters", value: 0 }
 */
export function faultOf(text: string, limits: QualityLimits, scan?: WordScan): Fault | undefined {
  if (!/\S/.test(text)) return { reason: "empty", value: text.length };
  const { minLength = 0, maxLength = Infinity } = limits;
  if (text.length < minLength) return { reason: "too-short", value: text.length };
  if (text.length > maxLength) return { reason: "too-long", value: text.length };
  if (needsScan(limits)) {
    const seen = scan ?? scanWords(text);
    const { minLetters = 0, maxControl = 1, maxLongWords = 1, maxRepeatedWords = 1 } = limits;
    const letters = share(seen.letters, seen.visible);
    if (letters < minLetters) return { reason: "few-letters", value: letters };
    const control = share(seen.control, text.length);
    if (control > maxControl) return { reason: "control-characters", value: control };
    const long = share(seen.inLongWords, seen.visible);
    if (long > maxLongWords) return { reason: "long-words", value: long };
    if (limits.maxRepeatedLines !== undefined) {
      const lines = repeatedLines(text);
      if (lines > limits.maxRepeatedLines) return { reason: "repeated-lines", value: lines };
    }
    if (maxRepeatedWords < 1) {
      const words = repeatedWords(seen.words);
      if (words > maxRepeatedWords) return { reason: "repeated-words", value: words };
    }
  }
  return undefined;
}

/** Whether limits look at single characters, and not at the length alone. */
export function needsScan(limits: QualityLimits): boolean {
  const { minLetters, maxRepeatedLines, maxRepeatedWords, maxControl, maxLongWords } = limits;
  return [minLetters, maxRepeatedLines, maxRepeatedWords, maxControl, maxLongWords].some((one) => one !== undefined);
}

/** Refuses limits outside their range. */
export function checkLimits(where: string, limits: QualityLimits): void {
  const { minLength = 0, maxLength = Infinity, ...shares } = limits;
  if (!(minLength >= 0 && maxLength >= minLength))
    throw new ArgumentError(where, `lengths are 0 ≤ minLength ≤ maxLength: received ${minLength} and ${maxLength}`);
  for (const [name, value] of Object.entries(shares)) {
    if (!Object.hasOwn(qualityLimits, name))
      throw new ArgumentError(where, `there is no limit \`${name}\``, {
        hint: `there are: minLength, maxLength, ${Object.keys(qualityLimits).join(", ")}`,
      });
    if (!(typeof value === "number" && value >= 0 && value <= 1))
      throw new ArgumentError(where, `\`${name}\` is a share from 0 to 1: received ${value}`);
  }
}

/** Share of characters in lines (trimmed, not empty) that stood in the text before. */
export function repeatedLines(text: string): number {
  const seen = new Set<string>();
  let [all, repeated] = [0, 0];
  for (const one of text.split("\n")) {
    const line = one.trim();
    all += line.length;
    if (seen.has(line)) repeated += line.length;
    else seen.add(line);
  }
  return share(repeated, all);
}

/** Share of runs of five words that stood before, of the hashes of a text's words. */
export function repeatedWords(words: Uint32Array): number {
  const runs = shingles(words, 5).sort();
  let repeated = 0;
  for (let i = 1; i < runs.length; i++) if (runs[i] === runs[i - 1]) repeated++;
  return share(repeated, runs.length);
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
