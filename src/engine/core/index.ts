// core: dtype, shape, HostArray, tree, key, errors. Imports nothing.
export * from "./dtype.ts";
export * from "./error.ts";
export * from "./half.ts";
export * from "./host-array.ts";
export * from "./key.ts";
export * from "./nearest.ts";
export * from "./shape.ts";
export * from "./tree.ts";
