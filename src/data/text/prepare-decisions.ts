// Which documents are kept, and in which part of the split: decided one after the other, in the order of the documents.
import { ExactDuplicates, HASHES, NearDuplicates, removals, type Document, type Removal } from "../datasets/index.ts";
import type { JsonValue } from "../formats/index.ts";
import type { Examined } from "./prepare-stage.ts";

/** A document that was left out. */
export interface RemovedSample {
  readonly source: string;
  readonly line?: number;
  /** What was measured: a share, a length, or the similarity of a near-duplicate. */
  readonly value: number;
  /** The document it is a near-duplicate of. */
  readonly of?: string;
  /** Its beginning. */
  readonly text: string;
}

/** Which documents of a batch go where. */
export interface Decision {
  /** Numbers of the kept documents, and for each whether it is held out. */
  readonly keep: Uint32Array;
  readonly heldOut: readonly boolean[];
}

/** Counts and first samples of what was left out, by reason. */
export interface Removed {
  readonly counts: { [reason in Removal]?: number };
  readonly samples: { [reason in Removal]?: RemovedSample[] };
}

const SAMPLES = 3;
const SAMPLE_LENGTH = 160;

/** The one place where it is decided what is kept. Its memory is what `ExactDuplicates` and `NearDuplicates` say. */
export class Decisions {
  readonly removed: Removed = { counts: {}, samples: {} };
  readonly #fraction: number;
  readonly #exact: ExactDuplicates | undefined;
  readonly #near: NearDuplicates | undefined;
  /** Where the documents of `#near` come from: number of the source, and line. */
  readonly #sources = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #sourceOf: number[] = [];
  readonly #lineOf: number[] = [];

  constructor(options: {
    readonly dedup: "exact" | "near" | "none";
    readonly threshold: number;
    readonly valFraction: number;
  }) {
    this.#fraction = options.valFraction;
    this.#exact = options.dedup === "none" ? undefined : new ExactDuplicates();
    this.#near = options.dedup === "near" ? new NearDuplicates(options.threshold) : undefined;
  }

  decide(documents: readonly Document[], examined: Examined): Decision {
    const keep: number[] = [];
    const heldOut: boolean[] = [];
    const faults = new Map(examined.faults.map((fault) => [fault.index, fault]));
    documents.forEach((document, i) => {
      const fault = faults.get(i);
      if (fault !== undefined) {
        this.#remove(document, fault.reason, { value: fault.value });
        return;
      }
      if (this.#exact?.add(examined.keys.subarray(4 * i, 4 * i + 4)) === false) {
        this.#remove(document, "exact-duplicate", { value: 1 });
        return;
      }
      if (this.#isNear(document, i, examined)) return;
      keep.push(i);
      heldOut.push(examined.draws[i]! < this.#fraction);
    });
    return { keep: Uint32Array.from(keep), heldOut };
  }

  #isNear(document: Document, i: number, { signatures, signed }: Examined): boolean {
    if (this.#near === undefined || signed[i] !== 1) return false;
    const signature = signatures.subarray(HASHES * i, HASHES * (i + 1));
    const found = this.#near.find(signature);
    if (found !== undefined) {
      const source = this.#names[this.#sourceOf[found.document]!]!;
      const line = this.#lineOf[found.document]!;
      this.#remove(document, "near-duplicate", {
        value: found.similarity,
        of: line === 0 ? source : `${source}:${line}`,
      });
      return true;
    }
    this.#near.add(signature);
    if (!this.#sources.has(document.source)) this.#sources.set(document.source, this.#names.push(document.source) - 1);
    this.#sourceOf.push(this.#sources.get(document.source)!);
    this.#lineOf.push(document.line ?? 0);
    return false;
  }

  #remove(document: Document, reason: Removal, what: { readonly value: number; readonly of?: string }): void {
    const { counts, samples } = this.removed;
    counts[reason] = (counts[reason] ?? 0) + 1;
    const list = (samples[reason] ??= []);
    if (list.length >= SAMPLES) return;
    const { source, line, text } = document;
    list.push({
      source,
      ...(line === undefined ? {} : { line }),
      ...what,
      text: beginning(text),
    });
  }
}

/** The first characters of a text; half a surrogate pair at the end is left out, others become U+FFFD. */
export function beginning(text: string): string {
  const part = text.slice(0, SAMPLE_LENGTH);
  return Buffer.from(text.length > SAMPLE_LENGTH ? part.replace(/[\uD800-\uDBFF]$/, "") : part).toString();
}

/** As JSON, reasons in the order in which they are checked. */
export function removedJson({ counts, samples }: Removed): { [key: string]: JsonValue } {
  const found = removals.filter((reason) => counts[reason] !== undefined);
  return Object.fromEntries(
    found.map((reason) => [
      reason,
      { documents: counts[reason]!, samples: (samples[reason] ?? []).map((sample) => ({ ...sample })) },
    ]),
  );
}
