// Models of Hugging Face folders by the `model_type` of their config.json: how each is made, and its names in files.
import type { JsonValue } from "../../src/data/index.ts";
import { GPT2, gpt2Config, gpt2Names } from "./hf/gpt2.ts";
import { Llama, llamaConfig, llamaNames } from "./hf/llama.ts";
import type { CausalLM } from "./hf/parts.ts";
import type { NameTable } from "./hf/weights.ts";

export { nextTokenLoss, type CausalLM } from "./hf/parts.ts";
export { fileArrays, loadWeights, type FileArrays, type NameTable } from "./hf/weights.ts";

/** A family of models. */
export interface Family {
  /** A model without values, from a config.json. */
  readonly make: (json: JsonValue) => CausalLM;
  readonly names: NameTable;
}

/** The families by `model_type`. */
export const families: { readonly [modelType: string]: Family } = {
  gpt2: { make: (json) => new GPT2(gpt2Config(json)), names: gpt2Names },
  llama: { make: (json) => new Llama(llamaConfig(json)), names: llamaNames },
};
