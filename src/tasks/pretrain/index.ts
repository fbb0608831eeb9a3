// pretrain: language models from nothing, by recipe.
export * from "./corpus.ts";
export * from "./cost.ts";
export * from "./plan.ts";
export type { PlannedData } from "./plan-data.ts";
export type { Machine, PlanMemory } from "./plan-memory.ts";
export type { Suggestion } from "./plan-options.ts";
export type { ProgramMemory } from "./plan-program.ts";
export type { Measurement } from "./plan-time.ts";
export * from "./recipe-presets.ts";
export * from "./recipe-template.ts";
export * from "./recipe-types.ts";
export * from "./recipe.ts";
export * from "./run.ts";
export * from "./settings.ts";
export * from "./step.ts";
