// Saving models: a folder with config.json (what it is), model.safetensors (weights), and the optimizer's state.
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError, CheckpointError, isPlainObject, type HostArray } from "../../../engine/core/index.ts";
import { encodeSafetensors, parseJson, type JsonValue } from "../../../data/index.ts";
import { layerToJson, lossSpec, type LayerJson, type LossLike } from "../../nn/index.ts";
import type { OptimizerConfig } from "../../optim/index.ts";
import { snapshotFiles } from "../checkpoint.ts";
import { writeFolder } from "../checkpoint-files.ts";
import type { BaseModel } from "./base-model.ts";
import type { Compiled, CompileOptions, MetricLike } from "./compiled.ts";

const FORMAT = "chainrule-model";

/** config.json of a saved model. */
export interface ModelConfig {
  readonly format: typeof FORMAT;
  readonly version: 1;
  readonly model: LayerJson;
  readonly compile?: CompileConfig;
}

/** What compile() was told, as JSON. */
export interface CompileConfig {
  readonly optimizer: OptimizerConfig;
  readonly loss: readonly LossLike[];
  readonly lossWeights?: CompileOptions["lossWeights"];
  readonly metrics?: CompileOptions["metrics"];
  readonly weightedMetrics?: CompileOptions["weightedMetrics"];
  readonly seed: number;
}

/** The configuration of a model as JSON. Throws ArgumentError where it holds functions of your own. */
export function modelConfig(
  model: BaseModel,
  compiled: (Compiled & { readonly options: CompileOptions }) | undefined,
): ModelConfig {
  return {
    format: FORMAT,
    version: 1,
    model: layerToJson(model),
    ...(compiled === undefined ? {} : { compile: compileConfig(compiled) }),
  };
}

function compileConfig({
  optimizer,
  losses,
  options,
  seed,
}: Compiled & { readonly options: CompileOptions }): CompileConfig {
  const { lossWeights, metrics, weightedMetrics } = options;
  for (const [name, given] of Object.entries({ metrics, weightedMetrics })) {
    const own = leavesOf(given).find((one) => typeof one !== "string");
    if (own !== undefined) {
      throw new ArgumentError("save", `\`${name}\` holds the metric object "${own.name}", which no file can hold`, {
        hint: "give metrics by name, or save with { compile: false }",
      });
    }
  }
  return {
    optimizer: optimizer.config,
    loss: losses.map((loss) => lossSpec(loss)),
    ...(lossWeights === undefined ? {} : { lossWeights }),
    ...(metrics === undefined ? {} : { metrics }),
    ...(weightedMetrics === undefined ? {} : { weightedMetrics }),
    seed,
  };
}

function leavesOf(given: CompileOptions["metrics"]): Exclude<MetricLike, never>[] {
  if (given === undefined) return [];
  const lists = Array.isArray(given)
    ? (given as readonly (MetricLike | readonly MetricLike[])[])
    : Object.values(given);
  return (lists as readonly MetricLike[]).flat();
}

/** The files of a saved model. */
export function modelFiles(
  model: BaseModel,
  config: ModelConfig,
  weights: { readonly [path: string]: HostArray },
): Map<string, Uint8Array> {
  const state = config.compile === undefined ? undefined : model.trainState;
  const text = new TextEncoder().encode(`${JSON.stringify(config, undefined, 2)}\n`);
  if (state === undefined)
    return new Map([
      ["config.json", text],
      ["model.safetensors", encodeSafetensors(weights)],
    ]);
  const progress = { epoch: 0, measures: null, history: { epoch: [], history: {} }, callbacks: {} };
  return new Map([["config.json", text], ...snapshotFiles({ state, progress, tensors: {} })]);
}

/** Writes a saved model: the folder is there whole or not at all. A folder that holds something else is not overwritten. */
export async function writeModel(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  if (existsSync(folder) && (await readdir(folder)).length > 0 && !(await isModel(folder))) {
    throw new ArgumentError("save", `${folder} holds something that is no saved model, and is left alone`, {
      hint: "give a new folder",
    });
  }
  await writeFolder(folder, files);
}

async function isModel(folder: string): Promise<boolean> {
  try {
    readConfig(folder, await readFile(join(folder, "config.json")));
    return true;
  } catch {
    return false;
  }
}

/** config.json of a saved model, checked for form. */
export function readConfig(folder: string, content: Uint8Array): ModelConfig {
  const where = join(folder, "config.json");
  const parsed: JsonValue = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(content), { where });
  if (
    !isPlainObject(parsed) ||
    parsed["format"] !== FORMAT ||
    parsed["version"] !== 1 ||
    !isPlainObject(parsed["model"])
  ) {
    throw new CheckpointError(where, `is no configuration of a model (format "${FORMAT}", version 1)`);
  }
  if (parsed["compile"] !== undefined && !isPlainObject(parsed["compile"]))
    throw new CheckpointError(where, "`compile` must be an object");
  return parsed as unknown as ModelConfig;
}
