// Merges: a hash table from a pair of ids to its rank and result, and the merging of one word by the lowest rank first.

/** Rank of pairs that do not merge. */
const NONE = 0x7fffffff;
/** Words longer than this go through a heap: n log n instead of n². */
const LONG = 96;
/** Positions per rank in the heap's keys: rank · 2^31 + position is exact in float64 up to rank 2^22. */
const STEP = 2 ** 31;

/** Pairs that merge. Open addressing over one typed array, four words an entry: left + 1, right, rank, result. */
export class MergeTable {
  #table: Int32Array;
  #mask: number;
  size = 0;

  constructor(expected: number) {
    let slots = 16;
    while (slots < expected * 2) slots *= 2;
    this.#table = new Int32Array(slots * 4);
    this.#mask = slots - 1;
  }

  /** Adds a pair; one that is there gets the new rank. */
  set(left: number, right: number, rank: number, result: number): void {
    if (this.size * 2 > this.#mask) this.#grow();
    const slot = this.#slot(left, right);
    if (this.#table[slot] === 0) this.size++;
    this.#table[slot] = left + 1;
    this.#table[slot + 1] = right;
    this.#table[slot + 2] = rank;
    this.#table[slot + 3] = result;
  }

  rank(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#table[slot] === 0 ? NONE : this.#table[slot + 2]!;
  }

  result(left: number, right: number): number {
    return this.#table[this.#slot(left, right) + 3]!;
  }

  #slot(left: number, right: number): number {
    const table = this.#table;
    const mask = this.#mask;
    let at = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
    at = (at ^ (at >>> 15)) & mask;
    for (;;) {
      const slot = at * 4;
      const found = table[slot]!;
      if (found === 0 || (found === left + 1 && table[slot + 1] === right)) return slot;
      at = (at + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#table = new Int32Array(old.length * 2);
    this.#mask = this.#table.length / 4 - 1;
    this.size = 0;
    for (let i = 0; i < old.length; i += 4)
      if (old[i] !== 0) this.set(old[i]! - 1, old[i + 1]!, old[i + 2]!, old[i + 3]!);
  }
}

/** Merges the symbols of words in place, always the pair of lowest rank first, the leftmost of equals. */
export class Merger {
  readonly #merges: MergeTable;
  #ranks = new Int32Array(LONG + 1);
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  #heap = new Float64Array(0);
  #heapSize = 0;

  constructor(merges: MergeTable) {
    this.#merges = merges;
  }

  /** Merges `symbols[0, n)`; returns how many are left. */
  merge(symbols: Int32Array, n: number): number {
    return n <= LONG ? this.#short(symbols, n) : this.#long(symbols, n);
  }

  #short(symbols: Int32Array, n: number): number {
    const merges = this.#merges;
    const ranks = this.#ranks;
    for (let i = 0; i + 1 < n; i++) ranks[i] = merges.rank(symbols[i]!, symbols[i + 1]!);
    while (n > 1) {
      let best = NONE;
      let at = 0;
      for (let i = 0; i + 1 < n; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!;
          at = i;
        }
      }
      if (best === NONE) break;
      symbols[at] = merges.result(symbols[at]!, symbols[at + 1]!);
      n--;
      for (let i = at + 1; i < n; i++) {
        symbols[i] = symbols[i + 1]!;
        ranks[i] = ranks[i + 1]!;
      }
      if (at > 0) ranks[at - 1] = merges.rank(symbols[at - 1]!, symbols[at]!);
      if (at + 1 < n) ranks[at] = merges.rank(symbols[at]!, symbols[at + 1]!);
    }
    return n;
  }

  #long(symbols: Int32Array, n: number): number {
    const merges = this.#merges;
    if (this.#next.length < n) {
      this.#next = new Int32Array(n);
      this.#previous = new Int32Array(n);
      this.#heap = new Float64Array(3 * n); // a merge adds two and there are fewer than n of them
    }
    const next = this.#next;
    const previous = this.#previous;
    this.#heapSize = 0;
    for (let i = 0; i < n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
      if (i + 1 < n) this.#push(merges.rank(symbols[i]!, symbols[i + 1]!), i);
    }
    while (this.#heapSize > 0) {
      const key = this.#pop();
      const rank = Math.floor(key / STEP);
      const at = key - rank * STEP;
      // Entries of pairs that are gone are left in the heap: their rank shows it.
      const right = next[at]!;
      if (symbols[at] === -1 || right >= n || merges.rank(symbols[at]!, symbols[right]!) !== rank) continue;
      symbols[at] = merges.result(symbols[at]!, symbols[right]!);
      symbols[right] = -1;
      const after = next[right]!;
      next[at] = after;
      if (after < n) {
        previous[after] = at;
        this.#push(merges.rank(symbols[at], symbols[after]!), at);
      }
      if (at > 0) this.#push(merges.rank(symbols[previous[at]!]!, symbols[at]), previous[at]!);
    }
    let left = 0;
    for (let i = 0; i < n; i = next[i]!) symbols[left++] = symbols[i]!;
    return left;
  }

  #push(rank: number, at: number): void {
    if (rank === NONE) return;
    const heap = this.#heap;
    const key = rank * STEP + at;
    let i = this.#heapSize++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0]!;
    const key = heap[--this.#heapSize]!;
    const size = this.#heapSize;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= key) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = key;
    return top;
  }
}
