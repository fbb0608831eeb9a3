// program: the traced form of a function, and the record of an op.
export * from "./op.ts";
export * from "./print.ts";
export * from "./program.ts";
export * from "./trace.ts";
export * from "./value.ts";
export * from "./verify.ts";
