// plan: kernel calls over planned buffers, as data.
export * from "./bytes.ts";
export * from "./encode.ts";
export * from "./plan.ts";
export * from "./print.ts";
export * from "./verify.ts";
