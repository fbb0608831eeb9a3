// models: architectures by the names and files of the field.
export * from "./depth.ts";
export * from "./families.ts";
export * from "./folder.ts";
export * from "./gpt2.ts";
export * from "./llama.ts";
export * from "./open.ts";
export * from "./parts/causal-lm.ts";
export { type ConfigJson } from "./parts/config.ts";
export { llamaConfig, type LlamaConfig } from "./parts/llama-config.ts";
export * from "./parts/weights.ts";
export * from "./presets.ts";
