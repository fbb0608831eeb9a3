// The package root: what a user who computes with tensors and trains models needs, from one import.
export * as datasets from "./data/datasets/index.ts";
export * from "./engine/core/index.ts";
export * from "./engine/tensor/index.ts";
