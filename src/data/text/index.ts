// text: tokenizers.
export type { AddedToken } from "./added-tokens.ts";
export * from "./bpe-tokenizer.ts";
export { patterns, type Pattern, type PatternName } from "./pretokenize.ts";
export type { TextSource } from "./text-source.ts";
export * from "./tokenizer.ts";
export * from "./train-bpe.ts";
