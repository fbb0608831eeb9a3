// backend: plans to numbers. reference (float64), native and wasm.
export * from "./backend.ts";
export * from "./reference/reference.ts";
export * from "./native/native.ts";
export * from "./wasm/wasm.ts";
