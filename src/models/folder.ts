// A language model as a folder in Hugging Face's layout: config.json, model.safetensors, tokenizer.json.
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, isPlainObject } from "../engine/core/index.ts";
import { parseJson, readSafetensors, writeFileAtomic, writeSafetensors } from "../data/formats/index.ts";
import { loadTokenizer, saveTokenizer, type Tokenizer } from "../data/text/index.ts";
import type { NamedTensors } from "../learn/nn/index.ts";
import { createModel, familyOf } from "./families.ts";
import type { CausalLM } from "./parts/causal-lm.ts";
import { fileArrays, loadWeights } from "./parts/weights.ts";

/** Names of the files of a model folder. */
export const MODEL_FILES: { readonly config: string; readonly weights: string; readonly tokenizer: string } = {
  config: "config.json",
  weights: "model.safetensors",
  tokenizer: "tokenizer.json",
};

/** A model that was read, with what turns text into its ids. */
export interface LoadedModel {
  readonly model: CausalLM;
  /** Undefined where the folder has no tokenizer.json. */
  readonly tokenizer: Tokenizer | undefined;
}

/**
 * Reads a model folder. Weights must be exactly those of the config: what is missing or unexpected is a FormatError with
 * the list.
 *
 * @example no-run
 * const { model, tokenizer } = await loadModelFolder("runs/shakespeare/model");
 */
export async function loadModelFolder(folder: string): Promise<LoadedModel> {
  for (const name of [MODEL_FILES.config, MODEL_FILES.weights]) {
    if (existsSync(join(folder, name))) continue;
    throw new FormatError(folder, "model-folder", `is no model folder: ${name} is missing`, {
      hint: "a model folder has config.json, model.safetensors and tokenizer.json",
    });
  }
  const path = join(folder, MODEL_FILES.config);
  const config = parseJson(await readFile(path, "utf8"), { where: path });
  if (!isPlainObject(config)) throw new FormatError(path, "config", "is not an object");
  const { tensors } = await readSafetensors(join(folder, MODEL_FILES.weights));
  const model = loadWeights(createModel(config), tensors, familyOf(config).names);
  const text = join(folder, MODEL_FILES.tokenizer);
  return { model, tokenizer: existsSync(text) ? await loadTokenizer(text) : undefined };
}

/**
 * Writes a model folder, each file atomically, the config last: a folder with a config is whole. `values` are the model's
 * own unless given. Other tools that read Hugging Face's layout load it.
 *
 * @example no-run
 * await saveModelFolder("out", model, { tokenizer });
 */
export async function saveModelFolder(
  folder: string,
  model: CausalLM,
  {
    values = model.tensors(),
    tokenizer,
  }: { readonly values?: NamedTensors; readonly tokenizer?: Tokenizer | undefined } = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const arrays = fileArrays(values, familyOf(model.configJson).names);
  await writeSafetensors(join(folder, MODEL_FILES.weights), arrays, { metadata: { format: "pt" } });
  if (tokenizer !== undefined) await saveTokenizer(join(folder, MODEL_FILES.tokenizer), tokenizer);
  await writeFileAtomic(join(folder, MODEL_FILES.config), `${JSON.stringify(model.configJson, undefined, 2)}\n`);
}
