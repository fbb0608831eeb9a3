// ListedTokenizer: what tokenizers share whose tokens are a list of bytes with special ones among them.
import type { JsonNode, JsonValue } from "../formats/index.ts";
import { AddedTokens, type AddedToken } from "./added-tokens.ts";
import { decodeIds, streamDecoder, type TokenSource } from "./decoder.ts";
import { toPlain } from "./json-text.ts";
import type { DecodeOptions, EncodeOptions, Encoding, StreamDecoder, Tokenizer } from "./tokenizer.ts";
import { Vocabulary } from "./vocabulary.ts";

/** Decoding and looking up; encoding is up to the kind of tokenizer. */
export abstract class ListedTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  protected readonly added: AddedTokens;
  protected readonly vocabulary: Vocabulary;
  readonly #source: TokenSource;

  /** `tokens` by id, undefined where an id has none; the added ones are put in at theirs. */
  protected constructor(
    tokens: readonly (Uint8Array | undefined)[],
    { addedTokens, where }: { readonly addedTokens: readonly AddedToken[]; readonly where: string },
  ) {
    this.added = new AddedTokens(addedTokens);
    this.specialTokens = this.added.special;
    const all = [...tokens];
    for (const { id, content } of addedTokens) all[id] = new TextEncoder().encode(content);
    for (let id = 0; id < all.length; id++) all[id] ??= undefined; // no holes: forEach would skip them
    this.vocabulary = new Vocabulary(all, new Set(this.added.byId.keys()), where);
    this.vocabSize = this.vocabulary.size;
    this.#source = {
      bytes: (id) => this.vocabulary.bytes(id, "decode"),
      isSpecial: (id) => this.added.byId.get(id)?.special === true,
    };
  }

  abstract encode(text: string, options?: EncodeOptions): Uint32Array;
  abstract encodeWithOffsets(text: string, options?: EncodeOptions): Encoding;
  /** The content of `tokenizer.json` as Maps, which keep the order of ids. */
  abstract toNode(): Map<string, JsonNode>;

  encodeBatch(texts: readonly string[], options: EncodeOptions = {}): Uint32Array[] {
    return texts.map((text) => this.encode(text, options));
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeIds(this.#source, ids, options);
  }

  tokenBytes(id: number): Uint8Array {
    return this.vocabulary.bytes(id, "tokenBytes").slice();
  }

  tokenId(token: string): number | undefined {
    return this.added.find(token)?.id ?? this.vocabulary.find(new TextEncoder().encode(token));
  }

  streamDecoder(options: DecodeOptions = {}): StreamDecoder {
    return streamDecoder(this.#source, options);
  }

  toJSON(): { [key: string]: JsonValue } {
    return toPlain(this.toNode()) as { [key: string]: JsonValue };
  }
}
