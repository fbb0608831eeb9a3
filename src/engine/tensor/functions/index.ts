// Functions on Tensors, by family.
export * from "./create.ts";
export * from "./einsum.ts";
export * from "./math.ts";
export * from "./neural.ts";
export * from "./shape.ts";
