// The compiled programs of a run without its numbers: what they are given, what they need beside it.
import { bytesPerElement, HostArray, type TensorType } from "../../engine/core/index.ts";
import { defaultDevice, flattenTensors, Tensor, tensor, traceProgram } from "../../engine/tensor/index.ts";
import {
  createState,
  makeTokenEvaluate,
  store,
  valuesOf,
  type StepBatch,
  type Stored,
  type TrainState,
  type TrainStep,
} from "../../learn/train/index.ts";
import type { Optimizer, OptimizerState } from "../../learn/optim/index.ts";
import type { CausalLM, ConfigJson } from "../../models/index.ts";
import { costOf, type ModelCost } from "./cost.ts";
import type { Recipe, StorageRecipe } from "./recipe-types.ts";
import { modelOf, type Settings } from "./settings.ts";
import { stepOf } from "./step.ts";

/** Memory of a run's programs in bytes, as their plans say. */
export interface ProgramMemory {
  readonly weights: number;
  readonly optimizer: number;
  /** One number for each trained weight; they lie in the step's arena. */
  readonly gradients: number;
  /** All that a step computes on the way: gradients, activations, room to work in. */
  readonly arena: number;
  /** The same of an evaluation; 0 where nothing is held out. */
  readonly evaluation: number;
  /** Keys and values of the text that is written as a sample; 0 without samples. */
  readonly cache: number;
}

/** A model with its step, and what a step is called on. */
export interface Training {
  readonly model: CausalLM;
  readonly step: TrainStep;
  readonly state: TrainState;
  readonly batch: StepBatch;
}

const KEY: TensorType = { dtype: "int32", shape: [1, 1] };

/** The training of a recipe with first weights. */
export function trainingOf(recipe: Recipe, settings: Settings): Training {
  const model = modelOf(recipe, settings).init(recipe.seed, KEY);
  const { step, optimizer } = stepOf(recipe, { model, settings });
  const state = createState(model, { optimizer, seed: recipe.seed, take: true, storage: recipe.training.storage });
  return { model, step, state, batch: batchOf(recipe, { ...settings, vocabSize: model.vocabSize }) };
}

/**
 * Memory and cost of a recipe's programs. They are traced and compiled as in the run; arrays have an address but nobody
 * writes to them, so that a model that does not fit is planned as well as one that does.
 */
export function programOf(
  recipe: Recipe,
  settings: Settings,
  { evaluated }: { readonly evaluated: boolean },
): { readonly memory: ProgramMemory; readonly cost: ModelCost } {
  const model = modelOf(recipe, settings);
  const cost = costOf(model);
  for (const { parameter } of model.parameters()) parameter.value = blank(parameter);
  const { step, optimizer } = stepOf(recipe, { model, settings });
  const state = blankState(model, optimizer, recipe.training.storage);
  const { vocabSize } = model;
  const { plan } = step.lower(state, batchOf(recipe, { ...settings, vocabSize }));
  const rows = { batch: recipe.evaluation.batch ?? settings.microBatch, time: settings.time, vocabSize };
  const evaluation = evaluated
    ? makeTokenEvaluate(model).lower(valuesOf(state), batchOf(recipe, rows)).plan.arenaBytes
    : 0;
  const trained = Object.values(state.params);
  const memory = {
    weights: bytesOf(Object.values(valuesOf(state))),
    optimizer: bytesOf(flattenTensors(state.optState).tensors),
    gradients: 4 * trained.reduce((sum, { size }) => sum + size, 0), // float32, whatever weights are kept in
    arena: plan.arenaBytes,
    evaluation,
    cache: recipe.samples === undefined ? 0 : cacheBytes(model),
  };
  for (const x of flattenTensors({ ...state, position: {} }).tensors) x.dispose();
  return { memory, cost };
}

/** The same settings for a model of fewer layers. */
export function withLayers(settings: Settings, layers: number): Settings {
  return { ...settings, config: { ...settings.config, [layersField(settings.config)]: layers } };
}

/** Layers of a config.json. */
export function layersOf({ config }: Settings): number {
  return config[layersField(config)] as number;
}

function layersField(config: ConfigJson): "n_layer" | "num_hidden_layers" {
  return "n_layer" in config ? "n_layer" : "num_hidden_layers";
}

/** A batch of tokens from all over the vocabulary. */
export function batchOf(
  { data }: Recipe,
  { batch, time, vocabSize }: { readonly batch: number; readonly time: number; readonly vocabSize: number },
): StepBatch {
  const ints = (value: (i: number) => number): Tensor => {
    const array = new HostArray("int32", [batch, time]);
    for (let i = 0; i < array.size; i++) array.data[i] = value(i);
    return tensor(array, { dtype: "int32" });
  };
  const ids = (): Tensor => ints((i) => (i * PRIME) % vocabSize);
  const x =
    data.documents === "apart"
      ? { ids: ids(), positions: ints((i) => i % time), segments: ints(() => 0) }
      : { ids: ids() };
  return { x, y: [ids()] };
}

const PRIME = 7919;

/** Memory for a type, not written to: the system gives it pages once somebody does. */
function blank({ dtype, shape }: TensorType): Tensor {
  return new Tensor(defaultDevice().empty({ dtype, shape }));
}

function blankState(model: CausalLM, optimizer: Optimizer, storage: StorageRecipe): TrainState {
  const init = (params: TrainState["params"]): OptimizerState =>
    traced((given) => optimizer.transformation.init(given), params);
  const quiet: Optimizer = { ...optimizer, transformation: { ...optimizer.transformation, init } };
  const state = createState(model, { optimizer: quiet, seed: 0, take: true });
  const { params, optState } = state;
  return { ...state, ...traced((given: Stored) => store(given, storage), { params, optState }) };
}

// What a function gives, in types alone: it is traced, not computed.
function traced<A, R>(fn: (given: A) => R, given: A): R {
  let result: ReturnType<typeof flattenTensors> | undefined;
  traceProgram((arg: A) => {
    result = flattenTensors(fn(arg));
    return result.tensors;
  }, given);
  return result!.rebuild(result!.tensors.map(blank)) as R;
}

function cacheBytes({ cacheShape, contextLength }: CausalLM): number {
  const { layers, groups, depth } = cacheShape;
  return 2 * 4 * layers * groups * depth * (contextLength + Math.min(128, contextLength));
}

function bytesOf(types: readonly TensorType[]): number {
  return types.reduce((sum, { dtype, shape }) => sum + shape.reduce((a, b) => a * b, bytesPerElement(dtype)), 0);
}
