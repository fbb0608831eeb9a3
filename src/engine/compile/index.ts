// compile: program to plan.
export * from "./pipeline.ts";
export * from "./rewrite.ts";
export * from "./target.ts";
