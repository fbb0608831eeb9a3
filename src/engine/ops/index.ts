// ops: the primitives, one record each, as functions of program values (`sin(x)`, its record `sin.op`), and how to write more.
export * from "./all.ts";
export * from "./define.ts";
export * from "./families.ts";
export * from "./window.ts";
