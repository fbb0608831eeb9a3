// Counting words: each different one is kept once, in one block of units, found by a hash table over typed arrays.
import { DataError } from "../../engine/core/index.ts";
import { cutPoint, type Scanner } from "./pretokenize.ts";
import type { Piece } from "./text-source.ts";
import { Units } from "./utf16.ts";

/** Counts the words of texts that come in pieces. Memory grows with the different words, not with the text. */
export class WordCounter {
  /** Different words so far. */
  size = 0;
  /** Words so far. */
  total = 0;
  /** UTF-16 units so far. */
  units = 0;
  readonly #scan: Scanner;
  readonly #text = new Units();
  #held = 0; // units at the beginning of the buffer that wait for what follows them
  #table = new Int32Array(2 ** 16);
  #hashes = new Int32Array(2 ** 15);
  #starts = new Float64Array(2 ** 15 + 1);
  #counts = new Float64Array(2 ** 15);
  #block = new Uint16Array(2 ** 18);

  constructor(scan: Scanner) {
    this.#scan = scan;
  }

  /** Adds a piece of a text, counted `times`. Words are those of the whole text, wherever it was cut. */
  add({ text, last }: Piece, times: number = 1): void {
    this.units += text.length;
    const units = this.#text.load(text, this.#held);
    const end = this.#held + text.length;
    // A text in one piece needs no cut; otherwise what stands behind the last sure border waits.
    const cut = last ? end : cutPoint(units, 0, end);
    for (let at = 0; at < cut;) {
      const next = this.#scan(units, at, cut);
      this.#count(units, at, next, times);
      at = next;
    }
    units.copyWithin(0, cut, end);
    this.#held = end - cut;
    if (this.total > Number.MAX_SAFE_INTEGER)
      throw new DataError("trainBpe", "more than 2^53 words: counts are no longer exact");
  }

  /** The units of a word. */
  word(index: number): Uint16Array {
    return this.#block.subarray(this.#starts[index], this.#starts[index + 1]);
  }

  /** How often a word was seen; exact up to 2^53. */
  count(index: number): number {
    return this.#counts[index]!;
  }

  #count(units: Uint16Array, at: number, end: number, times: number): void {
    const length = end - at;
    let hash = length;
    for (let i = at; i < end; i++) hash = Math.imul(hash ^ units[i]!, 0x01000193);
    hash ^= hash >>> 15;
    this.total += times;
    const mask = this.#table.length - 1;
    let slot = hash & mask;
    for (;;) {
      const found = this.#table[slot]! - 1;
      if (found < 0) break;
      if (this.#hashes[found] === hash && this.#equals(found, units, at, length)) {
        this.#counts[found]! += times;
        return;
      }
      slot = (slot + 1) & mask;
    }
    this.#table[slot] = this.size + 1;
    this.#append(units, at, end, hash);
    this.#counts[this.size - 1] = times;
    if (this.size * 2 > this.#table.length) this.#rehash();
  }

  #equals(index: number, units: Uint16Array, at: number, length: number): boolean {
    const start = this.#starts[index]!;
    if (this.#starts[index + 1]! - start !== length) return false;
    const block = this.#block;
    for (let i = 0; i < length; i++) if (block[start + i] !== units[at + i]) return false;
    return true;
  }

  #append(units: Uint16Array, at: number, end: number, hash: number): void {
    const start = this.#starts[this.size]!;
    const stop = start + end - at;
    if (stop > this.#block.length) {
      const block = new Uint16Array(Math.max(stop, this.#block.length * 2));
      block.set(this.#block);
      this.#block = block;
    }
    this.#block.set(units.subarray(at, end), start);
    if (this.size === this.#counts.length) {
      const room = this.size * 2;
      this.#hashes = copied(this.#hashes, new Int32Array(room));
      this.#counts = copied(this.#counts, new Float64Array(room));
      this.#starts = copied(this.#starts, new Float64Array(room + 1));
    }
    this.#hashes[this.size] = hash;
    this.#starts[++this.size] = stop;
  }

  #rehash(): void {
    const table = new Int32Array(this.#table.length * 2);
    const mask = table.length - 1;
    for (let index = 0; index < this.size; index++) {
      let slot = this.#hashes[index]! & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = index + 1;
    }
    this.#table = table;
  }
}

function copied<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
