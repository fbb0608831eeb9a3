// Random texts that meet the corners of tokenizers, and what tests of several suites share.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { tiktoken, type BpeTokenizer, type PatternName } from "../../src/data/text/index.ts";

const PIECES = [
  ..."'s|'t|'re|'VE|'m|'ll|'D|'\u017f|' |''".split("|"),
  ..." |  |   |\t|\n|\r\n|\n\n|\r|\v|\f|\u00a0|\u1680|\u2028|\u3000|\u0085|\ufeff|\u200b".split("|"),
  ..."a|I|the| the|Hello|é|e\u0301|ß|İ|ǅ|ж|العربية|日本|の|한글|ก|ꙮ|\u02b0".split("|"),
  ..."0|12|123|1234567|½|²|٣|Ⅷ|\u{1d7d8}".split("|"),
  ..."-|--|=====|(|};|//|...|_|$|“|。|€|\0|\x1c|\x7f|\u00ad".split("|"),
  ..."😀|👩‍👩‍👧|🇩🇪|👍🏽|\u{10348}|\u{10ffff}|\u{20000}|\u0301|\ufffd".split("|"),
];

/** Text of pieces that stand at the borders of classes, and of any characters. */
export const texts: fc.Arbitrary<string> = fc
  .array(fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...PIECES) }, fc.string({ unit: "binary", maxLength: 3 })), {
    maxLength: 24,
  })
  .map((parts) => parts.join(""));

/** The same with halves of surrogate pairs in it. */
export const brokenTexts: fc.Arbitrary<string> = fc
  .array(fc.oneof(texts, fc.constantFrom("\ud800", "\udfff", "\udc00\ud83d")), { maxLength: 4 })
  .map((parts) => parts.join(""));

/** What the text is once its half pairs are U+FFFD. */
export function wellFormed(text: string): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));
}

/** The ranks inside js-tiktoken as its files hold them. */
export interface PackedRanks {
  readonly bpe_ranks: string;
  readonly special_tokens: Readonly<Record<string, number>>;
}

/** Our tokenizer from js-tiktoken's ranks: lines of `! first token token …`. */
export function unpacked({ bpe_ranks, special_tokens }: PackedRanks, pattern: PatternName): BpeTokenizer {
  const ranks = bpe_ranks.split("\n").flatMap((line) => {
    const [, first, ...tokens] = line.split(" ");
    return tokens.map((token, i) => [new Uint8Array(Buffer.from(token, "base64")), Number(first) + i] as const);
  });
  return tiktoken(ranks, { pattern, specialTokens: special_tokens });
}

/** A file of test/fixtures/text. */
export function fixturePath(name: string): string {
  return new URL(`../fixtures/text/${name}`, import.meta.url).pathname;
}

export function fixture(name: string): string {
  return readFileSync(fixturePath(name), "utf8");
}
