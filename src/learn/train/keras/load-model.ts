// Loading saved models: a closed table of layers, and nothing else, is what a file can name.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError, CheckpointError, isPlainObject } from "../../../engine/core/index.ts";
import { decodeSafetensors } from "../../../data/index.ts";
import { Graph, layerFromJson, type LayerJson } from "../../nn/index.ts";
import { resolveOptimizer } from "../../optim/index.ts";
import { snapshotFromFiles } from "../checkpoint.ts";
import { readConfig } from "./model-config.ts";
import { Model } from "./model.ts";
import { Sequential, type SequentialLayer } from "./sequential.ts";

/**
 * A model from a folder that `save` or a checkpoint wrote: compiled as it was, with its weights and the state of its
 * optimizer, so that fit goes on from where it stood. Files name layers of a closed table only; nothing else is ever made.
 *
 * Errors: ArgumentError for layers outside the table, CheckpointError or FormatError for files that do not fit.
 *
 * @example
 * await model.save("models/digits");
 * const same = await loadModel("models/digits");
 */
export async function loadModel(folder: string): Promise<Sequential | Model> {
  const names = ["config.json", "model.safetensors", "state.safetensors", "progress.json"];
  const files = new Map<string, Uint8Array>();
  for (const name of names) {
    const path = join(folder, name);
    if (existsSync(path)) files.set(name, await readFile(path));
  }
  const weights = files.get("model.safetensors");
  if (!files.has("config.json") || weights === undefined) {
    throw new CheckpointError(folder, "is no saved model: config.json and model.safetensors are needed");
  }
  const config = readConfig(folder, files.get("config.json")!);
  const model = modelFromJson(config.model);
  const { compile } = config;
  if (compile !== undefined) {
    const { optimizer, ...rest } = compile;
    model.compile({ ...rest, optimizer: resolveOptimizer(optimizer) });
  }
  const arrays = decodeSafetensors(weights, { where: join(folder, "model.safetensors") }).tensors;
  model.setWeights(Object.fromEntries(arrays));
  const missing = model.parameters().filter(({ path }) => !arrays.has(path));
  if (missing.length > 0)
    throw new CheckpointError(folder, `weights are missing: ${missing.map(({ path }) => path).join(", ")}`);
  if (compile !== undefined && files.has("state.safetensors")) {
    model.restore((like) => snapshotFromFiles(files, { like, path: folder }).state);
  }
  return model;
}

/** A model from the JSON of its layers. */
export function modelFromJson(json: LayerJson): Sequential | Model {
  if (json.layer === "Sequential") return sequentialFromJson(json);
  const layer = layerFromJson(json);
  if (!(layer instanceof Graph)) throw new ArgumentError("loadModel", `"${json.layer}" is a layer, not a model`);
  const [only] = layer.outputs;
  const single = layer.outputs.length === 1 && !Array.isArray((json.config["outputs"] as readonly unknown[])[0]);
  const model = new Model({
    inputs: json.config["singleInput"] === true ? layer.inputs[0]! : layer.inputs,
    outputs: single ? only! : layer.outputs,
    ...(json.name === undefined ? {} : { name: json.name }),
  });
  model.trainable = json.trainable ?? true;
  return model;
}

function sequentialFromJson({ config, name, trainable, inputShape }: LayerJson): Sequential {
  const { layers, ...rest } = config;
  if (!Array.isArray(layers) || Object.keys(rest).some((key) => key !== "sampleShape")) {
    throw new ArgumentError("loadModel", "a Sequential has `layers`, a list, and perhaps `sampleShape`");
  }
  const made = (layers as readonly LayerJson[]).map((one) =>
    isPlainObject(one) && one.layer === "Sequential"
      ? sequentialFromJson(one)
      : (layerFromJson(one) as unknown as SequentialLayer),
  );
  const sampleShape = (rest["sampleShape"] ?? inputShape) as readonly number[] | undefined;
  const model = new Sequential(made, {
    ...(name === undefined ? {} : { name }),
    ...(sampleShape === undefined ? {} : { inputShape: sampleShape }),
  });
  model.trainable = trainable ?? true;
  return model;
}
