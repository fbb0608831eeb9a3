// Tokenizer: what every tokenizer gives, whatever it was trained or read from. Text in, ids out, and back without loss.
import type { JsonValue } from "../formats/index.ts";

/** What tokenizers of the field call the token that ends a document, the usual one first. */
export const END_TOKENS: readonly string[] = ["<|endoftext|>", "<|end_of_text|>", "</s>"];

/** How text is turned into ids. */
export interface EncodeOptions {
  /**
   * Which special tokens that stand in the text become their ids. Default none: special tokens in text are text, so that
   * a document cannot end another one.
   */
  readonly allowedSpecial?: "all" | readonly string[];
  /**
   * Puts the tokens around the text that the tokenizer's file asks for (`post_processor`: a beginning, an end). Default
   * false: what is prepared for training says itself where documents end. Hugging Face's default is true.
   */
  readonly addSpecialTokens?: boolean;
}

/** Ids with the places they stand for: id i covers `text.slice(start[i], end[i])` (UTF-16 code units). */
export interface Encoding {
  readonly ids: Uint32Array;
  readonly start: Uint32Array;
  readonly end: Uint32Array;
}

/** How ids are turned into text. */
export interface DecodeOptions {
  /** Leaves special tokens out; default false. */
  readonly skipSpecial?: boolean;
}

/** Decodes ids as they come. What it returns never ends inside a character. */
export interface StreamDecoder {
  /** The text that is complete with this id; "" while a character is incomplete. */
  push(id: number): string;
  /** What is left; bytes that are no character become U+FFFD. */
  end(): string;
}

/** Turns text into ids and ids into text. */
export interface Tokenizer {
  /** One more than the highest id. */
  readonly vocabSize: number;
  /** Special tokens by their text. */
  readonly specialTokens: ReadonlyMap<string, number>;
  encode(text: string, options?: EncodeOptions): Uint32Array;
  encodeBatch(texts: readonly string[], options?: EncodeOptions): Uint32Array[];
  encodeWithOffsets(text: string, options?: EncodeOptions): Encoding;
  /** Errors: IndexError for an id that is not in the vocabulary. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The bytes of one token; those of a special token are its text in UTF-8. */
  tokenBytes(id: number): Uint8Array;
  /** The id of a token given by its text, special or not. */
  tokenId(token: string): number | undefined;
  streamDecoder(options?: DecodeOptions): StreamDecoder;
  /** The content of a `tokenizer.json` as Hugging Face's tokenizers writes it. */
  toJSON(): { [key: string]: JsonValue };
}
