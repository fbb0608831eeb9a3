// evaluate: what a language model is worth: on running text, and on tasks scored by log-likelihood.
export * from "./pair.ts";
export * from "./scorer.ts";
export * from "./task-file.ts";
export * from "./tasks.ts";
export * from "./text.ts";
