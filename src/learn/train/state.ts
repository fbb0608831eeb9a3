// TrainState: everything a training run is, as one value. A checkpoint is exactly that value.
import { createHash } from "node:crypto";
import { CheckpointError, foldIn, formatType, HostArray, keyOf, sameType } from "../../engine/core/index.ts";
import { flattenTensors, full, jit, tensor, zeros, type Tensor } from "../../engine/tensor/index.ts";
import type { Module } from "../nn/index.ts";
import type { Optimizer, OptimizerState, TensorMap } from "../optim/index.ts";
import { store, widen, type Storage } from "./storage.ts";

/** Where in the data a run stands. The order of an epoch is a function of (seed, epoch). */
export interface Position {
  readonly seed: number;
  /** Epochs completed since the state was made, over all calls. */
  readonly epoch: number;
  /** Samples of the present epoch already used. */
  readonly sample: number;
}

/** The state of a training run. Its Tensors are donated to each step: use those of the newest state only. */
export interface TrainState {
  /** Updates done: int32. */
  readonly step: Tensor;
  /** Weights that are trained, by path. */
  readonly params: TensorMap;
  /** Weights that are not. */
  readonly frozen: TensorMap;
  /** What forward passes carry along: running statistics. */
  readonly states: TensorMap;
  readonly optState: OptimizerState;
  /** uint32[2]; the key of a step is this one folded with `step`. */
  readonly key: Tensor;
  readonly position: Position;
}

/** The part of a state that each step replaces. */
export type Carried = {
  readonly step: Tensor;
  readonly params: TensorMap;
  readonly states: TensorMap;
  readonly optState: OptimizerState;
};

/** The values of a module, split by who changes them. */
export interface SplitValues {
  readonly params: TensorMap;
  readonly frozen: TensorMap;
  readonly states: TensorMap;
}

/** Splits values by path as the module's `trainable` flags stand now. */
export function splitValues(module: Module<never, unknown>, values: TensorMap = module.tensors()): SplitValues {
  const params: { [path: string]: Tensor } = {};
  const frozen: { [path: string]: Tensor } = {};
  const states: { [path: string]: Tensor } = {};
  for (const { path, parameter, trainable } of module.parameters()) {
    const value = values[path]!;
    if (parameter.kind === "state") states[path] = value;
    else if (trainable) params[path] = value;
    else frozen[path] = value;
  }
  return { params, frozen, states };
}

/** All values of a state by path: what `module.load` and a weights file take. */
export function valuesOf(state: TrainState): TensorMap {
  return { ...state.params, ...state.frozen, ...state.states };
}

/**
 * The state of a run that begins with the module's present values, which are copied. With `take` they are handed over:
 * no second copy in memory, and the module has no values of its own any more once the first step took the state's.
 * `storage` says what weights and optimizer memory are kept in; a step keeps what it is given.
 *
 * @example
 * const state = createState(model, { optimizer: adam(), seed: 1 });
 */
export function createState(
  module: Module<never, unknown>,
  {
    optimizer,
    seed,
    take = false,
    storage = {},
  }: { readonly optimizer: Optimizer; readonly seed: number; readonly take?: boolean; readonly storage?: Storage },
): TrainState {
  // A jitted identity returns copies: the module's own Tensors stay alive when the state's are donated.
  const values = take ? module.tensors() : jit((all: TensorMap) => all)(module.tensors());
  const { params, frozen, states } = splitValues(module, values);
  const stored = store({ params, optState: optimizer.transformation.init(params) }, storage);
  return {
    step: zeros([], "int32"),
    params: stored.params,
    frozen,
    states,
    optState: stored.optState,
    key: tensor(new HostArray("uint32", [2], Uint32Array.from(foldIn(keyOf(seed), TRAINING)))),
    position: { seed, epoch: 0, sample: 0 },
  };
}

// Streams of one seed: initialization uses the seed's own key, training this one.
const TRAINING = 0x7261696e;

/** The state with another learning rate: a scalar in the optimizer's state, so nothing is compiled again. */
export function withLearningRate(state: TrainState, learningRate: number): TrainState {
  return { ...state, optState: { ...state.optState, learningRate: full([], learningRate) } };
}

/**
 * The state after `trainable` flags of the module changed: values move between trained and frozen, optimizer memory of
 * what stays trained is kept, new parameters start with empty memory.
 */
export function resplit(state: TrainState, module: Module<never, unknown>, optimizer: Optimizer): TrainState {
  const split = splitValues(module, valuesOf(state));
  const same = Object.keys(split.params).join() === Object.keys(state.params).join();
  if (same) return state;
  const old = flattenTensors(state.optState);
  const byPath = new Map(old.paths.map((path, i) => [path, old.tensors[i]!]));
  const inner = optimizer.transformation.init(widen(split.params));
  const half = old.tensors.some(({ dtype }) => dtype === "bfloat16");
  const { optState: kept } = store({ params: split.params, optState: inner }, half ? { states: "bfloat16" } : {});
  const fresh = flattenTensors(kept);
  const optState = fresh.rebuild(fresh.tensors.map((x, i) => byPath.get(fresh.paths[i]!) ?? x)) as OptimizerState;
  return { ...state, ...split, optState };
}

// ── to and from host arrays ──────────────────────────────────────────────────

/** A state's Tensors as host arrays by path: `params.dense.kernel`, `optState.inner.0.m.dense.kernel`, `step`, … */
export function stateArrays(state: TrainState): Map<string, HostArray> {
  const { position: _, ...tensors } = state;
  const flat = flattenTensors(tensors, "state");
  return new Map(flat.paths.map((path, i) => [path, flat.tensors[i]!.host()]));
}

/** A state from arrays by path, as `like` is built. Throws CheckpointError, with the list, where names or types differ. */
export function stateFromArrays(
  like: TrainState,
  arrays: ReadonlyMap<string, HostArray>,
  position: Position,
): TrainState {
  const { position: _, ...tensors } = like;
  const flat = flattenTensors(tensors, "state");
  const missing = flat.paths.filter((path) => !arrays.has(path));
  const extra = [...arrays.keys()].filter((path) => !flat.paths.includes(path));
  if (missing.length > 0 || extra.length > 0) {
    throw new CheckpointError(
      "state",
      `the state is of another model or optimizer: missing [${missing.join(", ")}], unexpected [${extra.join(", ")}]`,
      { hint: "build the same model and optimizer, with the same layers frozen" },
    );
  }
  const restored = flat.tensors.map((x, i) => {
    const array = arrays.get(flat.paths[i]!)!;
    const half = (dtype: string): boolean => dtype === "bfloat16"; // other storage is another run
    if (half(x.dtype) !== half(array.dtype) || !sameType(x, { dtype: x.dtype, shape: array.shape })) {
      throw new CheckpointError(
        "state",
        `\`${flat.paths[i]}\` is ${formatType(array)}: this model has ${formatType(x)}`,
      );
    }
    return tensor(array, { dtype: x.dtype });
  });
  return { ...(flat.rebuild(restored) as Omit<TrainState, "position">), position };
}

/** SHA-256 over names, types and bytes of arrays, in the order of their names: equal for equal bits only. */
export function hashArrays(arrays: ReadonlyMap<string, HostArray>): string {
  const hash = createHash("sha256");
  for (const [name, array] of [...arrays].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name} ${formatType(array)}\n`).update(array.bytes());
  }
  return hash.digest("hex");
}

/** SHA-256 of everything in a state: weights, optimizer, key, position. */
export function hashState(state: TrainState): string {
  const arrays = hashArrays(stateArrays(state));
  return createHash("sha256").update(arrays).update(JSON.stringify(state.position)).digest("hex");
}
