// text: tokenizers.
export * from "./tokenizer.ts";
