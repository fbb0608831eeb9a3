// generate: text from a language model.
export * from "./continuation.ts";
export * from "./decoder.ts";
export * from "./generate.ts";
export * from "./sampler.ts";
export * from "./speculative.ts";
export * from "./stop.ts";
