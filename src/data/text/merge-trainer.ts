// Training of merges on counted words: the most frequent pair is merged everywhere, again and again, with exact counts.
import { bytesInOrder } from "./byte-alphabet.ts";
import { PairCounts, PairQueue } from "./pair-queue.ts";
import { writeUtf8 } from "./utf16.ts";
import type { WordCounter } from "./word-counter.ts";

/** What a training of merges ends with. */
export interface TrainedMerges {
  /** Left and right id of each merge, by rank. */
  readonly merges: Uint32Array;
  /** Bytes of the ids from the first byte on; special tokens stand before them. */
  readonly tokens: readonly Uint8Array[];
}

/** Where training stands. */
export interface MergeOptions {
  /** Ids before the bytes: those of special tokens. */
  readonly firstId: number;
  readonly vocabSize: number;
  readonly minFrequency: number;
  readonly onMerge: (vocabulary: number) => void;
}

/**
 * Trains merges as Hugging Face's BpeTrainer does, with the same order among equals: count downwards, then the ids of the
 * pair upwards. A pair's places are kept from when it appeared; stale counts are put right when an entry reaches the top.
 * Memory: five numbers a byte of different words.
 */
export function trainMerges(words: WordCounter, options: MergeOptions): TrainedMerges {
  const trainer = new Trainer(words, options);
  return trainer.run();
}

class Trainer {
  readonly #options: MergeOptions;
  readonly #pairs = new PairCounts();
  readonly #queue = new PairQueue(this.#pairs);
  readonly #tokens: Uint8Array[];
  readonly #ids = new Map<string, number>();
  readonly #weights: Float64Array;
  // One slot a byte of the different words; merged ones point to their neighbours, -1 is the border of a word.
  #symbols: Int32Array;
  #next: Int32Array;
  #previous: Int32Array;
  #wordOf: Int32Array;
  // Places of the entries in the queue, one block after the other.
  #places = new Int32Array(2 ** 16);
  #placed = 0;
  // New places of the merge that is under way: pair and place.
  #newPairs = new Int32Array(2 ** 12);
  #newPlaces = new Int32Array(2 ** 12);
  #fresh = 0;
  #perPair = new Int32Array(2 ** 14);

  constructor(words: WordCounter, options: MergeOptions) {
    this.#options = options;
    this.#tokens = bytesInOrder.map((byte) => Uint8Array.of(byte));
    this.#tokens.forEach((bytes, i) => this.#ids.set(key(bytes), options.firstId + i));
    this.#weights = new Float64Array(words.size);
    let room = 0;
    for (let i = 0; i < words.size; i++) room += 3 * words.word(i).length;
    room = Math.min(room, 2 ** 31 - 1);
    let symbols = new Int32Array(Math.min(room, 2 ** 16));
    let n = 0;
    const idOfByte = new Int32Array(256);
    bytesInOrder.forEach((byte, i) => (idOfByte[byte] = options.firstId + i));
    const ends = new Float64Array(words.size);
    let bytes = new Uint8Array(1024);
    for (let i = 0; i < words.size; i++) {
      const units = words.word(i);
      if (bytes.length < 3 * units.length) bytes = new Uint8Array(6 * units.length);
      const length = writeUtf8(units, 0, units.length, bytes);
      if (n + length > symbols.length) symbols = grown(symbols, n + length);
      for (let j = 0; j < length; j++) symbols[n + j] = idOfByte[bytes[j]!]!;
      n += length;
      ends[i] = n;
      this.#weights[i] = words.count(i);
    }
    this.#symbols = symbols;
    this.#next = new Int32Array(n);
    this.#previous = new Int32Array(n);
    this.#wordOf = new Int32Array(n);
    for (let i = 0, at = 0; i < words.size; i++) {
      for (const start = at; at < ends[i]!; at++) {
        this.#previous[at] = at === start ? -1 : at - 1;
        this.#next[at] = at + 1 < ends[i]! ? at + 1 : -1;
        this.#wordOf[at] = i;
      }
    }
    for (let at = 0; at < n; at++) {
      const next = this.#next[at]!;
      if (next >= 0) this.#found(symbols[at]!, symbols[next]!, at, this.#weights[this.#wordOf[at]!]!);
    }
    this.#flush();
  }

  run(): TrainedMerges {
    const { firstId, vocabSize, minFrequency, onMerge } = this.#options;
    const merges: number[] = [];
    // Two ways to the same token make one token and two merges. A pair that is merged twice keeps its later rank.
    const rankOf = new Map<number, number>();
    while (firstId + this.#tokens.length < vocabSize) {
      const entry = this.#queue.pop();
      if (entry < 0) break;
      const pair = this.#queue.pair[entry]!;
      const count = this.#pairs.count[pair]!;
      if (this.#queue.count[entry] !== count) {
        this.#queue.push(entry);
        continue;
      }
      if (count < 1 || count < minFrequency) break;
      const earlier = rankOf.get(pair);
      if (earlier !== undefined) merges[2 * earlier] = merges[2 * earlier + 1] = -1;
      rankOf.set(pair, merges.length / 2);
      const [left, right] = [this.#pairs.left[pair]!, this.#pairs.right[pair]!];
      merges.push(left, right);
      this.#merge(left, right, this.#token(left, right), entry);
      this.#flush();
      onMerge(firstId + this.#tokens.length);
    }
    return { merges: Uint32Array.from(merges.filter((id) => id >= 0)), tokens: this.#tokens };
  }

  #token(left: number, right: number): number {
    const { firstId } = this.#options;
    const [a, b] = [this.#tokens[left - firstId]!, this.#tokens[right - firstId]!];
    const bytes = new Uint8Array(a.length + b.length);
    bytes.set(a);
    bytes.set(b, a.length);
    const name = key(bytes);
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = firstId + this.#tokens.push(bytes) - 1;
    this.#ids.set(name, id);
    return id;
  }

  // Places ascend, so that of "aaa" the first two are merged, as by a walk over the word.
  #merge(left: number, right: number, result: number, entry: number): void {
    const [symbols, next, previous] = [this.#symbols, this.#next, this.#previous];
    const start = this.#queue.start[entry]!;
    const stop = start + this.#queue.length[entry]!;
    for (let i = start; i < stop; i++) {
      const at = this.#places[i]!;
      const second = next[at]!;
      if (symbols[at] !== left || second < 0 || symbols[second] !== right) continue; // merged otherwise meanwhile
      const weight = this.#weights[this.#wordOf[at]!]!;
      const before = previous[at]!;
      const after = next[second]!;
      symbols[at] = result;
      symbols[second] = -1;
      next[at] = after;
      if (before >= 0) {
        this.#lost(symbols[before]!, left, weight);
        this.#found(symbols[before]!, result, before, weight);
      }
      if (after >= 0) {
        previous[after] = at;
        this.#lost(right, symbols[after]!, weight);
        this.#found(result, symbols[after]!, at, weight);
      }
    }
  }

  #lost(left: number, right: number, weight: number): void {
    this.#pairs.count[this.#pairs.pair(left, right)]! -= weight;
  }

  #found(left: number, right: number, at: number, weight: number): void {
    const pair = this.#pairs.pair(left, right);
    this.#pairs.count[pair]! += weight;
    if (this.#fresh === this.#newPairs.length) {
      this.#newPairs = grown(this.#newPairs, this.#fresh + 1);
      this.#newPlaces = grown(this.#newPlaces, this.#fresh + 1);
    }
    this.#newPairs[this.#fresh] = pair;
    this.#newPlaces[this.#fresh++] = at;
  }

  // The new places, sorted by pair, become entries of the queue.
  #flush(): void {
    const n = this.#fresh;
    if (this.#perPair.length < this.#pairs.size) this.#perPair = grown(this.#perPair, this.#pairs.size);
    const perPair = this.#perPair; // all zero between calls
    const seen: number[] = [];
    for (let i = 0; i < n; i++) {
      const pair = this.#newPairs[i]!;
      if (perPair[pair]!++ === 0) seen.push(pair);
    }
    this.#reserve(n);
    let at = this.#placed;
    for (const pair of seen) {
      const length = perPair[pair]!;
      perPair[pair] = at;
      if (this.#pairs.count[pair]! > 0) this.#queue.add(pair, at, length);
      at += length;
    }
    for (let i = 0; i < n; i++) this.#places[perPair[this.#newPairs[i]!]!++] = this.#newPlaces[i]!;
    this.#placed = at;
    for (const pair of seen) perPair[pair] = 0;
    this.#fresh = 0;
  }

  // Room for n places: what entries of the past held is dropped before more memory is asked for.
  #reserve(n: number): void {
    if (this.#placed + n <= this.#places.length) return;
    const entries = this.#queue.waiting().toSorted((a, b) => this.#queue.start[a]! - this.#queue.start[b]!);
    let live = 0;
    for (const entry of entries) {
      const start = this.#queue.start[entry]!;
      const length = this.#queue.length[entry]!;
      this.#places.copyWithin(live, start, start + length);
      this.#queue.start[entry] = live;
      live += length;
    }
    this.#placed = live;
    if ((live + n) * 1.5 > this.#places.length) this.#places = grown(this.#places, live + n);
  }
}

function grown(from: Int32Array, atLeast: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(Math.max(atLeast, from.length * 2));
  to.set(from);
  return to;
}

function key(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
