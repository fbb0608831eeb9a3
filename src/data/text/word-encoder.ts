// Words to ids: a bounded cache of words that were seen, and the merging of those that were not. No allocation a word.
import { Merger, type MergeTable } from "./merge-table.ts";
import type { Scanner } from "./pretokenize.ts";
import { writeUtf8 } from "./utf16.ts";

/** Slots of the cache, a power of two, each of five numbers: hash, units from, count of units, ids from, count of ids. */
const SLOTS = 2 ** 18;
const FIELDS = 5;
/** At most so many words are kept; then the cache starts anew. */
const WORDS = SLOTS / 2;
const UNITS = 2 ** 21;
const IDS = 2 ** 20;
/** Longer words are seldom seen twice. */
const LONGEST = 64;

/** A list of ids that grows. */
export class IdList {
  ids: Uint32Array = new Uint32Array(1024);
  length = 0;

  push(id: number): void {
    if (this.length === this.ids.length) this.reserve(1);
    this.ids[this.length++] = id;
  }

  /** Makes room for `more` ids. */
  reserve(more: number): void {
    if (this.length + more <= this.ids.length) return;
    const ids = new Uint32Array(Math.max(this.length + more, this.ids.length * 2));
    ids.set(this.ids.subarray(0, this.length));
    this.ids = ids;
  }

  /** A copy of what was gathered. */
  take(): Uint32Array {
    return this.ids.slice(0, this.length);
  }
}

/** What the encoder needs to know of a vocabulary. */
export interface WordModel {
  readonly merges: MergeTable;
  /** The id of each byte. */
  readonly byteIds: Int32Array;
  /** Finds a word that is a token as a whole, before any merge (`ignore_merges`). */
  readonly whole?: ((bytes: Uint8Array, length: number) => number | undefined) | undefined;
}

/** Turns words into ids. */
export class WordEncoder {
  readonly #model: WordModel;
  readonly #merger: Merger;
  #table = new Int32Array(0);
  #units = new Uint16Array(0);
  #ids = new Uint32Array(0);
  #words = 0;
  #unitCount = 0;
  #idCount = 0;
  #bytes = new Uint8Array(3 * LONGEST);
  #symbols = new Int32Array(3 * LONGEST);

  constructor(model: WordModel) {
    this.#model = model;
    this.#merger = new Merger(model.merges);
  }

  /** Appends the ids of `units[from, to)`, cut into words by `scan`. */
  encode(units: Uint16Array, [from, to]: readonly [number, number], scan: Scanner, out: IdList): void {
    if (this.#table.length === 0) this.#start();
    for (let at = from; at < to;) {
      const end = scan(units, at, to);
      this.word(units, at, end, out);
      at = end;
    }
  }

  /** Appends the ids of one word. */
  word(units: Uint16Array, at: number, end: number, out: IdList): void {
    const length = end - at;
    out.reserve(3 * length);
    if (length > LONGEST) {
      this.#merge(units, at, end, out);
      return;
    }
    if (this.#table.length === 0) this.#start();
    let hash = length;
    for (let i = at; i < end; i++) hash = Math.imul(hash ^ units[i]!, 0x01000193);
    hash = (hash ^ (hash >>> 15)) | 1;
    const table = this.#table;
    const kept = this.#units;
    let slot = ((hash >>> 1) & (SLOTS - 1)) * FIELDS;
    search: for (;;) {
      const found = table[slot]!;
      if (found === 0) break;
      if (found === hash && table[slot + 2] === length) {
        const start = table[slot + 1]!;
        let same = true;
        for (let i = 0; i < length; i++) {
          if (kept[start + i] !== units[at + i]) {
            same = false;
            break;
          }
        }
        if (same) break search;
      }
      slot += FIELDS;
      if (slot === SLOTS * FIELDS) slot = 0;
    }
    if (table[slot] !== 0) {
      const start = table[slot + 3]!;
      const count = table[slot + 4]!;
      for (let i = 0; i < count; i++) out.ids[out.length + i] = this.#ids[start + i]!;
      out.length += count;
      return;
    }
    const before = out.length;
    this.#merge(units, at, end, out);
    this.#keep(slot, hash, { units, at, end, out, before });
  }

  #keep(
    slot: number,
    hash: number,
    { units, at, end, out, before }: { units: Uint16Array; at: number; end: number; out: IdList; before: number },
  ): void {
    const length = end - at;
    const count = out.length - before;
    if (this.#words >= WORDS || this.#unitCount + length > UNITS || this.#idCount + count > IDS) {
      this.#start();
      return; // this word comes in when it is seen again
    }
    this.#units.set(units.subarray(at, end), this.#unitCount);
    this.#ids.set(out.ids.subarray(before, out.length), this.#idCount);
    this.#table[slot] = hash;
    this.#table[slot + 1] = this.#unitCount;
    this.#table[slot + 2] = length;
    this.#table[slot + 3] = this.#idCount;
    this.#table[slot + 4] = count;
    this.#unitCount += length;
    this.#idCount += count;
    this.#words++;
  }

  #start(): void {
    if (this.#table.length === 0) {
      this.#table = new Int32Array(SLOTS * FIELDS);
      this.#units = new Uint16Array(UNITS);
      this.#ids = new Uint32Array(IDS);
    } else this.#table.fill(0);
    this.#words = this.#unitCount = this.#idCount = 0;
  }

  #merge(units: Uint16Array, at: number, end: number, out: IdList): void {
    const room = 3 * (end - at);
    let bytes = this.#bytes;
    let symbols = this.#symbols;
    if (room > bytes.length) {
      // Kept only for usual words: one huge word should not hold memory for ever.
      bytes = new Uint8Array(room);
      symbols = new Int32Array(room);
    }
    const n = writeUtf8(units, at, end, bytes);
    const { byteIds, whole } = this.#model;
    if (whole !== undefined) {
      const id = whole(bytes, n);
      if (id !== undefined) {
        out.push(id);
        return;
      }
    }
    for (let i = 0; i < n; i++) symbols[i] = byteIds[bytes[i]!]!;
    const left = this.#merger.merge(symbols, n);
    for (let i = 0; i < left; i++) out.ids[out.length + i] = symbols[i]!;
    out.length += left;
  }
}
