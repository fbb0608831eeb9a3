// CharTokenizer: each character is a token, in the order of their code points, as in nanoGPT.
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import type { JsonNode } from "../formats/index.ts";
import type { AddedToken } from "./added-tokens.ts";
import { ListedTokenizer } from "./listed-tokenizer.ts";
import { pieces, type TextSource } from "./text-source.ts";
import type { EncodeOptions, Encoding } from "./tokenizer.ts";
import { charNode } from "./tokenizer-node.ts";
import { IdList } from "./word-encoder.ts";

/** What a character tokenizer is made of. */
export interface CharModel {
  /** The characters by id, one code point each. */
  readonly characters: readonly string[];
  /** Tokens beside the characters, with ids behind them unless a file says otherwise. */
  readonly addedTokens?: readonly AddedToken[];
  /** The added token that stands for characters that are not there; without one they are an error. */
  readonly unkToken?: string;
}

export interface TrainCharOptions {
  /** Special tokens; their ids stand behind those of the characters. */
  readonly specialTokens?: readonly string[];
  /** A token for characters that the texts do not have, `<unk>` say; one more special token. */
  readonly unkToken?: string;
}

/**
 * Gathers the different characters of texts or files, sorted by code point: ids as nanoGPT's `shakespeare_char`.
 *
 * @example
 * const tokenizer = await trainChar(["hello"]);
 * Array.from(tokenizer.encode("hole")); // [1, 3, 2, 0]
 */
export async function trainChar(source: TextSource, options: TrainCharOptions = {}): Promise<CharTokenizer> {
  const { specialTokens = [], unkToken } = options;
  const points = new Set<number>();
  let half = "";
  for await (const { text, last } of pieces(source)) {
    // A piece may end between the halves of a pair.
    const whole = half + text;
    half = !last && /[\ud800-\udbff]$/.test(whole) ? whole.slice(-1) : "";
    const end = whole.length - half.length;
    for (let at = 0; at < end;) {
      const point = scalar(whole.codePointAt(at)!);
      points.add(point);
      at += point > 0xffff ? 2 : 1;
    }
  }
  const characters = [...points].toSorted((a, b) => a - b).map((point) => String.fromCodePoint(point));
  const special = [...new Set([...specialTokens, ...(unkToken === undefined ? [] : [unkToken])])];
  const addedTokens = special.map((content, i) => ({ id: characters.length + i, content, special: true }));
  return new CharTokenizer({ characters, addedTokens, ...(unkToken !== undefined && { unkToken }) });
}

/**
 * A tokenizer of single characters (code points).
 *
 * Errors: `DataError` for a character that is not in the vocabulary, naming it and its place. Half a surrogate pair counts as
 * U+FFFD. Source: karpathy/nanoGPT `data/shakespeare_char/prepare.py`.
 *
 * @example
 * const tokenizer = new CharTokenizer({ characters: ["a", "b"] });
 * tokenizer.decode([1, 0]); // "ba"
 */
export class CharTokenizer extends ListedTokenizer {
  readonly model: CharModel;
  readonly #ids = new Map<number, number>();
  readonly #unk: number | undefined;

  constructor(model: CharModel) {
    const { characters, addedTokens = [], unkToken } = model;
    const where = "CharTokenizer";
    for (const { id } of addedTokens)
      if (id < characters.length) throw new ArgumentError(where, `two tokens have the id ${id}`);
    super(
      characters.map((character) => new TextEncoder().encode(character)),
      { addedTokens, where },
    );
    this.model = model;
    characters.forEach((character, id) => {
      const point = character.codePointAt(0);
      if (point === undefined || String.fromCodePoint(point) !== character || point !== scalar(point))
        throw new ArgumentError(where, `${JSON.stringify(character)} (id ${id}) is not one character`);
      this.#ids.set(point, id);
    });
    this.#unk = unkToken === undefined ? undefined : this.added.find(unkToken)?.id;
    if (unkToken !== undefined && this.#unk === undefined)
      throw new ArgumentError(where, `unkToken ${JSON.stringify(unkToken)} is none of the added tokens`);
  }

  encode(text: string, options: EncodeOptions = {}): Uint32Array {
    return this.encodeWithOffsets(text, options).ids;
  }

  encodeWithOffsets(text: string, options: EncodeOptions = {}): Encoding {
    const lists = [new IdList(), new IdList(), new IdList()] as const;
    const [ids, starts, ends] = lists;
    for (const list of lists) list.reserve(text.length);
    for (const { start, end, token } of this.added.split(text, options, "encode")) {
      if (token !== undefined) {
        ids.push(token.id);
        starts.push(start);
        ends.push(end);
        continue;
      }
      for (let at = start; at < end;) {
        const point = scalar(text.codePointAt(at)!);
        const width = point > 0xffff ? 2 : 1;
        ids.push(this.#ids.get(point) ?? this.#unk ?? unknown(point, at));
        starts.push(at);
        at += width;
        ends.push(at);
      }
    }
    return { ids: ids.take(), start: starts.take(), end: ends.take() };
  }

  toNode(): Map<string, JsonNode> {
    return charNode(this.model);
  }
}

function scalar(point: number): number {
  return point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
}

function unknown(point: number, at: number): never {
  const name = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
  throw new DataError(
    "CharTokenizer.encode",
    `the vocabulary lacks ${JSON.stringify(String.fromCodePoint(point))} (${name}), at ${at}`,
    { hint: "train it on this text too, or give it an unkToken" },
  );
}
