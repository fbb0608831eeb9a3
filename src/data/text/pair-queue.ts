// Counts of pairs while merges are trained, and the queue that gives the next pair: the most frequent, of equals the least ids.

/** Pairs of ids with a number each, from 0 up, and their counts. Open addressing over typed arrays. */
export class PairCounts {
  size = 0;
  left: Int32Array = new Int32Array(2 ** 14);
  right: Int32Array = new Int32Array(2 ** 14);
  /** Exact: whole numbers in float64, below 2^53. */
  count: Float64Array = new Float64Array(2 ** 14);
  #table = new Int32Array(2 ** 15);

  /** The number of a pair; a new one gets the next, with the count 0. */
  pair(left: number, right: number): number {
    const mask = this.#table.length - 1;
    let slot = hash(left, right) & mask;
    for (;;) {
      const found = this.#table[slot]! - 1;
      if (found < 0) break;
      if (this.left[found] === left && this.right[found] === right) return found;
      slot = (slot + 1) & mask;
    }
    if (this.size === this.left.length) this.#grow();
    const pair = this.size++;
    this.left[pair] = left;
    this.right[pair] = right;
    this.#insert(pair);
    return pair;
  }

  #insert(pair: number): void {
    const mask = this.#table.length - 1;
    let slot = hash(this.left[pair]!, this.right[pair]!) & mask;
    while (this.#table[slot] !== 0) slot = (slot + 1) & mask;
    this.#table[slot] = pair + 1;
  }

  #grow(): void {
    const room = this.size * 2;
    const grown = <T extends Int32Array | Float64Array>(from: T, to: T): T => (to.set(from), to);
    this.left = grown(this.left, new Int32Array(room));
    this.right = grown(this.right, new Int32Array(room));
    this.count = grown(this.count, new Float64Array(room));
    this.#table = new Int32Array(room * 2);
    for (let pair = 0; pair < this.size; pair++) this.#insert(pair);
  }
}

function hash(left: number, right: number): number {
  const h = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
  return h ^ (h >>> 15);
}

/**
 * A heap of entries. An entry is a pair, the count it had when it came in, and the places it came with; a pair may have
 * several. Order: count downwards, then left id and right id upwards, then the earlier entry.
 */
export class PairQueue {
  readonly #pairs: PairCounts;
  size = 0;
  #heap = new Int32Array(2 ** 14);
  #entries = 0;
  /** Of each entry: its pair, its count, and where its places are. */
  pair: Int32Array = new Int32Array(2 ** 14);
  count: Float64Array = new Float64Array(2 ** 14);
  start: Float64Array = new Float64Array(2 ** 14);
  length: Int32Array = new Int32Array(2 ** 14);

  constructor(pairs: PairCounts) {
    this.#pairs = pairs;
  }

  /** Adds an entry with the pair's count of now. */
  add(pair: number, start: number, length: number): void {
    if (this.#entries === this.pair.length) this.#grow();
    const entry = this.#entries++;
    this.pair[entry] = pair;
    this.start[entry] = start;
    this.length[entry] = length;
    this.push(entry);
  }

  /** Puts an entry (back) in, with the pair's count of now. */
  push(entry: number): void {
    this.count[entry] = this.#pairs.count[this.pair[entry]!]!;
    if (this.size === this.#heap.length) {
      const heap = new Int32Array(this.size * 2);
      heap.set(this.#heap);
      this.#heap = heap;
    }
    const heap = this.#heap;
    let i = this.size++;
    while (i > 0) {
      const parent = (i - 1) >> 2;
      if (!this.#before(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  /** Takes the first entry out; -1 where there is none. */
  pop(): number {
    if (this.size === 0) return -1;
    const heap = this.#heap;
    const top = heap[0]!;
    const entry = heap[--this.size]!;
    let i = 0;
    for (;;) {
      const first = 4 * i + 1;
      if (first >= this.size) break;
      let best = first;
      for (let child = first + 1; child < Math.min(first + 4, this.size); child++)
        if (this.#before(heap[child]!, heap[best]!)) best = child;
      if (!this.#before(heap[best]!, entry)) break;
      heap[i] = heap[best]!;
      i = best;
    }
    if (this.size > 0) heap[i] = entry;
    return top;
  }

  /** The entries that are in the queue, in no order. */
  waiting(): Int32Array {
    return this.#heap.subarray(0, this.size);
  }

  #before(a: number, b: number): boolean {
    const difference = this.count[a]! - this.count[b]!;
    if (difference !== 0) return difference > 0;
    const [p, q] = [this.pair[a]!, this.pair[b]!];
    const { left, right } = this.#pairs;
    if (left[p] !== left[q]) return left[p]! < left[q]!;
    if (right[p] !== right[q]) return right[p]! < right[q]!;
    return a < b;
  }

  #grow(): void {
    const room = this.#entries * 2;
    const grown = <T extends Int32Array | Float64Array>(from: T, to: T): T => (to.set(from), to);
    this.pair = grown(this.pair, new Int32Array(room));
    this.count = grown(this.count, new Float64Array(room));
    this.start = grown(this.start, new Float64Array(room));
    this.length = grown(this.length, new Int32Array(room));
  }
}
