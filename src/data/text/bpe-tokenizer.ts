// BpeTokenizer: byte-level byte pair encoding (GPT-2, GPT-4, Llama 3, Qwen2). Any text is encoded, and comes back.
import { ArgumentError, FormatError } from "../../engine/core/index.ts";
import type { JsonNode } from "../formats/index.ts";
import type { AddedToken } from "./added-tokens.ts";
import { ListedTokenizer } from "./listed-tokenizer.ts";
import { MergeTable } from "./merge-table.ts";
import { patterns, type Pattern, type PatternName } from "./pretokenize.ts";
import type { EncodeOptions, Encoding } from "./tokenizer.ts";
import { bpeNode } from "./tokenizer-node.ts";
import { Units } from "./utf16.ts";
import type { TokenList, Vocabulary } from "./vocabulary.ts";
import { IdList, WordEncoder } from "./word-encoder.ts";

/** What a byte-level BPE tokenizer is made of. */
export interface BpeModel {
  /** Bytes of the trained tokens by id; undefined where an id has none (those of added tokens, say). */
  readonly tokens: TokenList;
  /** Merges in the order of their rank: left 0, right 0, left 1, right 1, … as ids. */
  readonly merges: Uint32Array;
  /** Rank of each merge, where it is not its place in the list. */
  readonly ranks?: Uint32Array;
  readonly pattern: PatternName;
  readonly addedTokens?: readonly AddedToken[];
  /** A word that is a token is that token, whatever the merges say (`ignore_merges`, tiktoken). */
  readonly wholeWords?: boolean;
  /** Puts a blank before a text that does not begin with one. */
  readonly addPrefixSpace?: boolean;
  /** Unicode normalization before anything else. */
  readonly normalizer?: "NFC" | "NFD" | "NFKC" | "NFKD";
  /** Ids put around a text with `addSpecialTokens`. */
  readonly around?: { readonly before: readonly number[]; readonly after: readonly number[] };
  /** The rest of the file it was read from, to write it back as it was. */
  readonly file?: ReadonlyMap<string, JsonNode>;
  /** What errors call it. */
  readonly where?: string;
}

/** Above this many units the memory of one text is given back. */
const KEEP = 2 ** 22;

/**
 * A byte-level BPE tokenizer: text is cut into words by a pattern, each word becomes UTF-8 bytes, and neighbours are merged,
 * the pair of lowest rank first. Any string can be encoded; `decode(encode(text))` is `text`, but for halves of surrogate
 * pairs, which are U+FFFD as in UTF-8.
 *
 * Errors: `FormatError` where tokens and merges contradict each other. Source: Sennrich et al. 2016; openai/gpt-2; same ids as
 * Hugging Face's `tokenizers` and tiktoken (suites in test/text).
 *
 * @example
 * const tokenizer = await trainBpe(["low lower lowest"], { vocabSize: 260 });
 * const ids = tokenizer.encode("lower");
 * tokenizer.decode(ids); // "lower"
 */
export class BpeTokenizer extends ListedTokenizer {
  readonly model: BpeModel;
  readonly #pattern: Pattern;
  readonly #words: WordEncoder;
  readonly #units = new Units();
  #out = new IdList();

  constructor(model: BpeModel) {
    const { where = "BpeTokenizer", addedTokens = [] } = model;
    super(model.tokens, { addedTokens, where });
    this.model = model;
    this.#pattern = patterns[model.pattern];
    this.#words = new WordEncoder({
      merges: mergeTable(model, this.vocabulary, where),
      byteIds: byteIds(this.vocabulary, where),
      whole: model.wholeWords === true ? (bytes, n) => this.vocabulary.find(bytes, n) : undefined,
    });
  }

  encode(text: string, options: EncodeOptions = {}): Uint32Array {
    const out = this.#begin();
    const { normalizer, around } = this.model;
    const whole = normalizer === undefined ? text : text.normalize(normalizer);
    if (options.addSpecialTokens === true) for (const id of around?.before ?? []) out.push(id);
    for (const { start, end, token } of this.added.split(whole, options, "encode")) {
      if (token !== undefined) out.push(token.id);
      else this.#words.encode(...this.#load(whole, start, end), this.#pattern.scan, out);
    }
    if (options.addSpecialTokens === true) for (const id of around?.after ?? []) out.push(id);
    this.#units.trim(KEEP);
    return out.take();
  }

  /**
   * Ids with the places they stand for. A token that is a part of a character stands for the whole character, a blank that
   * was put before the text (`addPrefixSpace`) for the first one, a token put around the text for the empty place there. White space belongs to its token (`trim_offsets: false`).
   *
   * Errors: `ArgumentError` where the tokenizer normalizes and the text is not normalized: its places would be those of
   * another text.
   */
  encodeWithOffsets(text: string, options: EncodeOptions = {}): Encoding {
    const { normalizer, around } = this.model;
    if (normalizer !== undefined && text.normalize(normalizer) !== text) {
      throw new ArgumentError("encodeWithOffsets", `the text changes under this tokenizer's ${normalizer}`, {
        hint: `pass text.normalize("${normalizer}")`,
      });
    }
    const out = this.#begin();
    const start = new IdList();
    const end = new IdList();
    const single = (id: number, from: number, to: number): void => {
      out.push(id);
      start.push(from);
      end.push(to);
    };
    if (options.addSpecialTokens === true) for (const id of around?.before ?? []) single(id, 0, 0);
    for (const stretch of this.added.split(text, options, "encodeWithOffsets")) {
      if (stretch.token !== undefined) {
        single(stretch.token.id, stretch.start, stretch.end);
        continue;
      }
      const [units, [from, to]] = this.#load(text, stretch.start, stretch.end);
      // A blank that was put before the text counts to its first character, as in Hugging Face's offsets.
      const added = to - from - (stretch.end - stretch.start);
      const place = (at: number): number => stretch.start + Math.max(0, at - from - added);
      const put = (a: number, b: number): void => {
        start.push(place(a));
        end.push(place(b > from + added ? b : b + sizes(units, from + added, to)[1]));
      };
      for (let at = from; at < to;) {
        const next = this.#pattern.scan(units, at, to);
        const first = out.length;
        this.#words.word(units, at, next, out);
        this.#places(units, [at, next], { out, first, put });
        at = next;
      }
    }
    if (options.addSpecialTokens === true) for (const id of around?.after ?? []) single(id, text.length, text.length);
    this.#units.trim(KEEP);
    return { ids: out.take(), start: start.take(), end: end.take() };
  }

  toNode(): Map<string, JsonNode> {
    return bpeNode(this.model);
  }

  #begin(): IdList {
    if (this.#out.ids.length > KEEP) this.#out = new IdList();
    this.#out.length = 0;
    return this.#out;
  }

  // The units of a stretch and where they are in the buffer, with a blank before them where the tokenizer wants one.
  #load(text: string, start: number, end: number): [Uint16Array, readonly [number, number]] {
    const part = start === 0 && end === text.length ? text : text.slice(start, end);
    const blank = this.model.addPrefixSpace === true && part[0] !== " " ? 1 : 0;
    const units = this.#units.load(part, blank);
    if (blank > 0) units[0] = 0x20;
    return [units, [0, blank + part.length]];
  }

  // Walks over the characters of a word, token by token.
  #places(
    units: Uint16Array,
    [from, to]: readonly [number, number],
    { out, first, put }: { out: IdList; first: number; put: (start: number, end: number) => void },
  ): void {
    let at = from;
    let used = 0; // bytes of the character at `at` that earlier tokens have taken
    for (let i = first; i < out.length; i++) {
      const start = at;
      let left = used + this.vocabulary.length(out.ids[i]!);
      let [bytes, width] = sizes(units, at, to);
      while (left >= bytes) {
        left -= bytes;
        at += width;
        if (left === 0) break;
        [bytes, width] = sizes(units, at, to);
      }
      used = left;
      put(start, used === 0 ? at : at + width);
    }
  }
}

// Bytes in UTF-8 and units in UTF-16 of the character at a place.
function sizes(units: Uint16Array, at: number, end: number): [number, number] {
  const unit = units[at]!;
  if (unit < 0x80) return [1, 1];
  if (unit < 0x800) return [2, 1];
  if (unit < 0xd800 || unit > 0xdbff) return [3, 1];
  const low = at + 1 < end ? units[at + 1]! : 0;
  return low >= 0xdc00 && low <= 0xdfff ? [4, 2] : [3, 1];
}

function mergeTable({ merges, ranks }: BpeModel, vocabulary: Vocabulary, where: string): MergeTable {
  const table = new MergeTable(merges.length / 2);
  for (let i = 0; i * 2 < merges.length; i++) {
    const [left, right] = [merges[2 * i]!, merges[2 * i + 1]!];
    const result = vocabulary.findJoined(left, right);
    if (result === undefined)
      throw new FormatError(where, "merge-without-token", `merge ${i} makes a token that the vocabulary lacks`);
    table.set(left, right, ranks?.[i] ?? i, result);
  }
  return table;
}

function byteIds(vocabulary: Vocabulary, where: string): Int32Array {
  const ids = Int32Array.from({ length: 256 }, (_, byte) => vocabulary.find(Uint8Array.of(byte)) ?? -1);
  const missing = ids.filter((id) => id < 0).length;
  if (missing > 0) {
    throw new FormatError(where, "missing-bytes", `the vocabulary lacks ${missing} of the 256 bytes`, {
      hint: "only byte-level vocabularies can encode any text",
    });
  }
  return ids;
}
