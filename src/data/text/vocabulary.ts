// The tokens of a vocabulary: bytes by id in one block, ids by bytes through a hash table over it.
import { FormatError, IndexError } from "../../engine/core/index.ts";

/** Bytes of each token by its id; undefined where an id has no token. */
export type TokenList = readonly (Uint8Array | undefined)[];

/** A fixed list of tokens. */
export class Vocabulary {
  /** One more than the highest id. */
  readonly size: number;
  readonly #block: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #present: Uint8Array;
  /** Ids + 1 of ordinary tokens, by the hash of their bytes. */
  readonly #table: Int32Array;
  readonly #joined: Uint8Array;
  #longest = 0;

  /** `apart` are ids that are not found by their bytes: special tokens are no ordinary text. */
  constructor(tokens: TokenList, apart: ReadonlySet<number>, where: string) {
    this.size = tokens.length;
    this.#starts = new Uint32Array(tokens.length + 1);
    this.#present = new Uint8Array(tokens.length);
    let total = 0;
    tokens.forEach((token, id) => (this.#starts[id + 1] = total += token?.length ?? 0));
    this.#block = new Uint8Array(total);
    let slots = 16;
    while (slots < tokens.length * 2) slots *= 2;
    this.#table = new Int32Array(slots);
    tokens.forEach((token, id) => {
      if (token === undefined) return;
      if (token.length === 0) throw new FormatError(where, "empty-token", `token ${id} is empty`);
      this.#block.set(token, this.#starts[id]);
      this.#present[id] = 1;
      this.#longest = Math.max(this.#longest, token.length);
      if (apart.has(id)) return;
      const slot = this.#slot(token, token.length);
      const other = this.#table[slot]! - 1;
      if (other >= 0) throw new FormatError(where, "duplicate-token", `tokens ${other} and ${id} have the same bytes`);
      this.#table[slot] = id + 1;
    });
    this.#joined = new Uint8Array(2 * this.#longest);
  }

  has(id: number): boolean {
    return this.#present[id] === 1;
  }

  length(id: number): number {
    return this.#starts[id + 1]! - this.#starts[id]!;
  }

  /** The bytes of a token; they are shared, not copied. */
  bytes(id: number, where: string): Uint8Array {
    if (!this.has(id)) {
      throw new IndexError(where, `the vocabulary has no token ${id}: its ids end at ${this.size - 1}`, {
        hint: "was the text encoded with another tokenizer?",
      });
    }
    return this.#block.subarray(this.#starts[id], this.#starts[id + 1]);
  }

  /** The id of an ordinary token by its bytes, the first `length` of those given. */
  find(bytes: Uint8Array, length: number = bytes.length): number | undefined {
    if (length > this.#longest) return undefined;
    const found = this.#table[this.#slot(bytes, length)]!;
    return found === 0 ? undefined : found - 1;
  }

  /** The id of two tokens' bytes together; undefined where one of the three is missing. */
  findJoined(left: number, right: number): number | undefined {
    if (!this.has(left) || !this.has(right)) return undefined;
    let n = 0;
    for (const id of [left, right])
      for (let at = this.#starts[id]!; at < this.#starts[id + 1]!; at++) this.#joined[n++] = this.#block[at]!;
    return this.find(this.#joined, n);
  }

  // Where the token with these bytes stands, or would.
  #slot(bytes: Uint8Array, length: number): number {
    let hash = length;
    for (let i = 0; i < length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    const mask = this.#table.length - 1;
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const id = this.#table[slot]! - 1;
      if (id < 0) return slot;
      const start = this.#starts[id]!;
      if (this.#starts[id + 1]! - start !== length) continue;
      let same = 0;
      while (same < length && this.#block[start + same] === bytes[same]) same++;
      if (same === length) return slot;
    }
  }
}
