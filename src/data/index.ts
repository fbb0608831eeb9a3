// data: from files to batches. Host arrays only, never a tensor.
export * from "./datasets/index.ts";
export * from "./formats/index.ts";
