// text: tokenizers.
export type { AddedToken } from "./added-tokens.ts";
export * from "./bpe-tokenizer.ts";
export * from "./char-tokenizer.ts";
export { patterns, type Pattern, type PatternName, type Scanner } from "./pretokenize.ts";
export * from "./rank-files.ts";
export { textsOf, type TextSource } from "./text-source.ts";
export { loadTokenizer, parseTokenizer, saveTokenizer } from "./tokenizer-json.ts";
export * from "./tokenizer.ts";
export * from "./train-bpe.ts";
export { prepareCorpus, type PrepareOptions, type PrepareProgress } from "./prepare.ts";
