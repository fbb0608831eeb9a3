// Duplicates: exact ones by a hash of the normalised text, near ones by MinHash signatures in bands.
import { createHash } from "node:crypto";
import { ArgumentError } from "../../engine/core/index.ts";
import { scanWords, shingles } from "./words.ts";

/**
 * The text duplicates and the split are decided on: Unicode form NFC, each run of white space one space, none at the ends.
 * Case and punctuation stay.
 */
export function normalizedText(text: string): string {
  return text
    .normalize("NFC")
    .replace(/[^\S ]\s*| \s+/g, " ")
    .trim();
}

/** What a document is known by: 128 bits to find its equals, and 32 other ones that say on which side of a split it is. */
export interface Fingerprint {
  /** Four words. Two of n different documents share them with a chance of n² / 2^129: 10^-21 for 10^9 documents. */
  readonly key: Uint32Array;
  /** From 0 to 1, evenly spread: held out where it is below the fraction. A function of the document alone. */
  readonly draw: number;
}

/** The fingerprint of a text: parts of the SHA-256 of its normalised form. */
export function fingerprint(text: string): Fingerprint {
  const digest = createHash("sha256").update(normalizedText(text)).digest();
  const key = Uint32Array.from({ length: 4 }, (_, i) => digest.readUInt32LE(4 * i));
  return { key, draw: digest.readUInt32LE(16) / 2 ** 32 };
}

/** A set of fingerprints: 32 to 64 bytes for each. */
export class ExactDuplicates {
  #slots: Uint32Array = new Uint32Array(4 * 2 ** 10);
  #size = 0;

  /** Adds a key; false where it was there. */
  add(key: Uint32Array): boolean {
    if (this.#size * 8 >= this.#slots.length) this.#grow();
    const at = place(this.#slots, key);
    if (!isFree(this.#slots, at)) return false;
    this.#slots.set(key, at);
    // All zeros mean a free slot; nobody will ever see a hash of 128 zeros.
    this.#size++;
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 4) {
      if (!isFree(old, at)) this.#slots.set(old.subarray(at, at + 4), place(this.#slots, old.subarray(at, at + 4)));
    }
  }
}

function isFree(slots: Uint32Array, at: number): boolean {
  return (slots[at]! | slots[at + 1]! | slots[at + 2]! | slots[at + 3]!) === 0;
}

function place(slots: Uint32Array, key: Uint32Array): number {
  const mask = slots.length / 4 - 1;
  for (let slot = key[0]! & mask; ; slot = (slot + 1) & mask) {
    const at = 4 * slot;
    const same =
      slots[at] === key[0] && slots[at + 1] === key[1] && slots[at + 2] === key[2] && slots[at + 3] === key[3];
    if (same || isFree(slots, at)) return at;
  }
}

/**
 * MinHash: `HASHES` = 128 hashes of the runs of five words (words of scripts without spaces are single characters) in `BANDS` = 16 bands of 8.
 * Two documents meet where one band is equal: with Jaccard similarity s that has the chance 1 − (1 − s^8)^16, which is
 * 0.40 at 0.65, 0.88 at 0.77, 0.95 at 0.8 and above 0.999 at 0.9.
 * Sources: Broder, "On the resemblance and containment of documents" (1997); Leskovec et al., "Mining of massive datasets", ch. 3.
 */
export const HASHES = 128;
export const BANDS = 16;
const ROWS: number = HASHES / BANDS;
export const SHINGLE = 5;

const seeds: Int32Array = new Int32Array(HASHES);
for (let i = 0, state = 1; i < HASHES; i++) {
  // Weyl steps of the golden ratio, mixed: any fixed well-spread numbers do.
  state = (state + 0x9e3779b9) | 0;
  let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  seeds[i] = z ^ (z >>> 15);
}

/** The signature of a text, from its words; undefined without a word. */
export function minHash(text: string, words: Uint32Array = scanWords(text).words): Int32Array | undefined {
  const runs = shingles(words, SHINGLE);
  if (runs.length === 0) return undefined;
  const signature = new Int32Array(HASHES).fill(0x7fffffff);
  for (let s = 0; s < runs.length; s++) {
    const run = runs[s]!;
    for (let i = 0; i < HASHES; i++) {
      let h = Math.imul(run ^ seeds[i]!, 0x85ebca6b);
      h ^= h >>> 15;
      h = Math.imul(h, 0xc2b2ae35);
      h ^= h >>> 16;
      if (h < signature[i]!) signature[i] = h;
    }
  }
  return signature;
}

/** The share of equal hashes: an estimate of Jaccard similarity with a standard error of at most 0.045. */
export function similarity(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let equal = 0;
  for (let i = 0; i < HASHES; i++) if (a[i] === b[i]) equal++;
  return equal / HASHES;
}

/** Documents by their signatures; about 900 bytes for each (twice that while the tables grow). */
export class NearDuplicates {
  readonly #threshold: number;
  #signatures: Int32Array = new Int32Array(HASHES * 2 ** 8);
  /** For entry `document · BANDS + band`: the hash of the band, and the entry before it in the same bucket, plus 1. */
  #hashes: Uint32Array = new Uint32Array(BANDS * 2 ** 8);
  #next: Uint32Array = new Uint32Array(BANDS * 2 ** 8);
  #buckets: Uint32Array = new Uint32Array(BANDS * 2 ** 8);
  #count = 0;

  constructor(threshold: number = 0.8) {
    if (!(threshold > 0 && threshold <= 1))
      throw new ArgumentError("near-duplicates", `\`threshold\` is above 0 and at most 1: received ${threshold}`);
    this.#threshold = threshold;
  }

  get size(): number {
    return this.#count;
  }

  /** The first document (by number) that meets this one in a band and whose estimated similarity reaches the threshold. */
  find(signature: Int32Array): { readonly document: number; readonly similarity: number } | undefined {
    let best: { document: number; similarity: number } | undefined;
    const seen = new Set<number>();
    for (let band = 0; band < BANDS; band++) {
      const hash = bandHash(signature, band);
      for (let e = this.#buckets[hash & (this.#buckets.length - 1)]!; e !== 0; e = this.#next[e - 1]!) {
        if (this.#hashes[e - 1] !== hash || (e - 1) % BANDS !== band) continue;
        const document = Math.floor((e - 1) / BANDS);
        if (seen.has(document) || (best !== undefined && document > best.document)) continue;
        seen.add(document);
        const at = document * HASHES;
        const near = similarity(signature, this.#signatures.subarray(at, at + HASHES));
        if (near >= this.#threshold) best = { document, similarity: near };
      }
    }
    return best;
  }

  /** Adds a document; its number. */
  add(signature: Int32Array): number {
    if ((this.#count + 1) * BANDS > this.#hashes.length) this.#grow();
    const document = this.#count++;
    this.#signatures.set(signature, document * HASHES);
    for (let band = 0; band < BANDS; band++) this.#link(document * BANDS + band, bandHash(signature, band));
    return document;
  }

  #link(entry: number, hash: number): void {
    const bucket = hash & (this.#buckets.length - 1);
    this.#hashes[entry] = hash;
    this.#next[entry] = this.#buckets[bucket]!;
    this.#buckets[bucket] = entry + 1;
  }

  #grow(): void {
    const twice = <A extends Int32Array | Uint32Array>(array: A, fresh: A): A => (fresh.set(array), fresh);
    this.#signatures = twice(this.#signatures, new Int32Array(2 * this.#signatures.length));
    this.#hashes = twice(this.#hashes, new Uint32Array(2 * this.#hashes.length));
    this.#next = new Uint32Array(this.#hashes.length);
    this.#buckets = new Uint32Array(this.#hashes.length);
    for (let entry = 0; entry < this.#count * BANDS; entry++) this.#link(entry, this.#hashes[entry]!);
  }
}

function bandHash(signature: Int32Array, band: number): number {
  let hash = Math.imul(band + 1, 0x9e3779b9);
  for (let i = band * ROWS; i < (band + 1) * ROWS; i++) {
    hash = Math.imul(hash ^ signature[i]!, 0x85ebca6b);
    hash ^= hash >>> 13;
  }
  return (Math.imul(hash, 0xc2b2ae35) ^ (hash >>> 16)) >>> 0;
}
