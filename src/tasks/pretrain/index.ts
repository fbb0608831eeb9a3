// pretrain: language models from nothing, by recipe.
export * from "./corpus.ts";
export * from "./cost.ts";
export * from "./recipe-presets.ts";
export * from "./recipe-template.ts";
export * from "./recipe-types.ts";
export * from "./recipe.ts";
export * from "./run.ts";
export * from "./settings.ts";
