// The tokens of a vocabulary: bytes by id in one block, ids by bytes.
import { FormatError, IndexError } from "../../engine/core/index.ts";
import { byteKey } from "./byte-alphabet.ts";

/** Bytes of each token by its id; undefined where an id has no token. */
export type TokenList = readonly (Uint8Array | undefined)[];

/** A fixed list of tokens. */
export class Vocabulary {
  /** One more than the highest id. */
  readonly size: number;
  readonly #block: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #present: Uint8Array;
  readonly #ids = new Map<string, number>();
  readonly #keys: (string | undefined)[];

  /** `apart` are ids that are not found by their bytes: special tokens are no ordinary text. */
  constructor(tokens: TokenList, apart: ReadonlySet<number>, where: string) {
    this.size = tokens.length;
    this.#starts = new Uint32Array(tokens.length + 1);
    this.#present = new Uint8Array(tokens.length);
    let total = 0;
    tokens.forEach((token, id) => (this.#starts[id + 1] = total += token?.length ?? 0));
    this.#block = new Uint8Array(total);
    tokens.forEach((token, id) => token !== undefined && this.#block.set(token, this.#starts[id]));
    const text = byteKey(this.#block);
    this.#keys = tokens.map((token, id) =>
      token === undefined ? undefined : text.slice(this.#starts[id], this.#starts[id + 1]),
    );
    this.#keys.forEach((key, id) => {
      if (key === undefined) return;
      if (key === "") throw new FormatError(where, "empty-token", `token ${id} is empty`);
      this.#present[id] = 1;
      if (apart.has(id)) return;
      const other = this.#ids.get(key);
      if (other !== undefined)
        throw new FormatError(where, "duplicate-token", `tokens ${other} and ${id} have the same bytes`);
      this.#ids.set(key, id);
    });
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

  /** The id of an ordinary token by its bytes. */
  find(bytes: Uint8Array): number | undefined {
    return this.#ids.get(byteKey(bytes));
  }

  /** The id of two tokens' bytes together; undefined where one of the three is missing. */
  findJoined(left: number, right: number): number | undefined {
    const [a, b] = [this.#keys[left], this.#keys[right]];
    return a === undefined || b === undefined ? undefined : this.#ids.get(a + b);
  }
}
