// Models by the `model_type` of their config.json: how each is made, and its names in files.
import { FormatError } from "../engine/core/index.ts";
import { GPT2, gpt2Names } from "./gpt2.ts";
import { Llama, llamaNames } from "./llama.ts";
import type { CausalLM, ModelOptions } from "./parts/causal-lm.ts";
import type { ConfigJson } from "./parts/config.ts";
import { llamaFamilies } from "./parts/llama-config.ts";
import type { NameTable } from "./parts/weights.ts";

/** A family of models. */
export interface Family {
  /** A model without values, from a config.json. */
  readonly make: (config: ConfigJson, options?: ModelOptions) => CausalLM;
  readonly names: NameTable;
}

const ofLlama: Family = { make: (config, options) => new Llama(config, options), names: llamaNames };

/** The families by `model_type`. */
export const families: { readonly [modelType: string]: Family } = {
  gpt2: { make: (config, options) => new GPT2(config, options), names: gpt2Names },
  ...Object.fromEntries(Object.keys(llamaFamilies).map((type) => [type, ofLlama])),
};

/** The family of a config.json. Throws FormatError for a `model_type` that is not built. */
export function familyOf(config: ConfigJson): Family {
  const type = config["model_type"];
  if (typeof type === "string" && Object.hasOwn(families, type)) return families[type]!;
  throw new FormatError("config.json", "model-type", `\`model_type\` is ${JSON.stringify(type ?? null)}`, {
    hint: `known are ${Object.keys(families).join(", ")}`,
  });
}

/**
 * A model without values from a config.json. `init` draws its first ones, `loadWeights` reads them from files.
 *
 * @example
 * const config = { model_type: "gpt2", vocab_size: 65, n_positions: 64, n_embd: 128, n_layer: 4, n_head: 4 };
 * createModel(config).vocabSize; // 65
 */
export function createModel(config: ConfigJson, options: ModelOptions = {}): CausalLM {
  return familyOf(config).make(config, options);
}
