// The training step: forward, loss, backward, update, traced once and run as one plan. Evaluation and prediction likewise.
import { ArgumentError } from "../../engine/core/index.ts";
import {
  checkpoint,
  flattenTensors,
  full,
  isFinite,
  jit,
  logicalAnd,
  random,
  valueAndGrad,
  where,
  type Jitted,
  type Tensor,
  type TensorTree,
  type TurnCall,
  type TurnResult,
} from "../../engine/tensor/index.ts";
import { Context, inference, regularization, type Module } from "../nn/index.ts";
import { applyUpdates, globalNorm, mapTensors, type Optimizer, type TensorMap } from "../optim/index.ts";
import { accumulateGradients, type Accumulated, type MicroPass, type MicroValue } from "./accumulate.ts";
import { outputsOf, type Objective, type ObjectiveValue, type StepBatch } from "./objective.ts";
import type { Carried, TrainState } from "./state.ts";
import { keeper, widen, type Rounding } from "./storage.ts";

/** What a step tells besides the new state. */
export interface StepOutputs {
  /** The number that was minimized on this batch, penalties included; scalar. */
  readonly loss: Tensor;
  /** Loss of each output, without weights of outputs and penalties; empty for a single output. */
  readonly parts: readonly Tensor[];
  /** The L2 norm of all gradients together, before clipping; only where the step was made with `gradientNorm`. */
  readonly gradientNorm: Tensor | undefined;
  /** Whether loss and gradients were finite, and loss and norm within their limits. If not, the state is the one before the step. */
  readonly finite: Tensor;
  /** The model's outputs on the batch, as trained on. Empty where nobody asked for them. */
  readonly predictions: readonly Tensor[];
}

/** A compiled training step. The state given to it is used up. */
export interface TrainStep {
  readonly module: Module<never, unknown>;
  readonly optimizer: Optimizer;
  readonly objective: Objective;
  /** Micro-batches a step. */
  readonly accumulate: number;
  /** Whether calls take a largest loss. */
  readonly lossLimit: boolean;
  /** Whether it tells the norm of the gradients; with `lossLimit`, calls then take a largest one too. */
  readonly gradientNorm: boolean;
  /** On the caller's thread. */
  (state: TrainState, batch: StepBatch, how?: CallOptions): readonly [TrainState, StepOutputs];
  /** Off the event loop where the device can. */
  run(state: TrainState, batch: StepBatch, how?: CallOptions): Promise<readonly [TrainState, StepOutputs]>;
  /**
   * Steps in one call, without JavaScript in between: `data` are all samples on the device, each row of `indices`
   * (int32[steps, batch]) picks a batch. A step that is not finite is the last. Outputs come stacked, one slice a step.
   * Undefined where the device has no such calls.
   */
  many(state: TrainState, data: StepBatch, indices: Tensor, how?: CallOptions): ManySteps | undefined;
  /** The compiled program and plan for such a batch. */
  lower(state: TrainState, batch: StepBatch): ReturnType<Jitted<readonly unknown[], unknown>["lower"]>;
  /** The arrays that program is run on. */
  inputs(state: TrainState, batch: StepBatch): ReturnType<Jitted<readonly unknown[], unknown>["inputs"]>;
}

/** What may differ from call to call. */
export interface CallOptions {
  /** The largest loss that is trained on; Infinity unless said. Only where the step was made with `lossLimit`. */
  readonly lossLimit?: number;
  /** The same for the norm of all gradients; only where it was made with `gradientNorm` besides. */
  readonly normLimit?: number;
}

/** Steps to be run once, on the caller's thread or off the event loop; they use the state up when they run. */
export type ManySteps = TurnCall<readonly [TrainState, StepOutputs]>;

export interface StepOptions {
  readonly objective: Objective;
  readonly optimizer: Optimizer;
  /** Whether the outputs of the model are returned, for metrics. Default true without accumulation. */
  readonly predictions?: boolean;
  /**
   * Whether a step whose loss or gradients are not finite leaves the state as it was. Default true: one selection over
   * the state and one sum over the gradients, both fused with the update where the device fuses.
   */
  readonly guard?: boolean;
  /** Computes the forward pass again in the backward one instead of keeping it: less memory for a third more work. */
  readonly rematerialize?: boolean;
  /**
   * Micro-batches a step; default 1. A batch is cut into so many parts, which go through the model one after the other: the
   * step of the large batch in the memory of a small one, equal to it but for rounding. Means are weighed by what they are
   * means of (`ObjectiveValue.count`: trained tokens). Random layers draw anew in each part. No predictions.
   */
  readonly accumulate?: number;
  /** How what the state keeps in bfloat16 is rounded; default "stochastic", by a key of its own for each step. */
  readonly rounding?: Rounding;
  /**
   * Whether calls take a largest loss (`lossLimit`): a step above it leaves the state as it was, like one that is not
   * finite. For guards against spikes. Default false.
   */
  readonly lossLimit?: boolean;
  /** Whether the norm of all gradients is told: free where they are clipped by it, else one more pass over them. Default false. */
  readonly gradientNorm?: boolean;
}

// The stream of a step's key that rounds; micro-batches have the small numbers.
const ROUNDING = 0x726f756e;

type Fixed = { readonly frozen: TensorMap; readonly key: Tensor; readonly limit?: Tensor; readonly normLimit?: Tensor };

/**
 * A training step of a module: `(state, batch) → [state, outputs]`, one compiled program for each shape of batch.
 * Random layers draw from the state's key folded with the number of the step.
 *
 * @example
 * const loss = resolveLoss("sparse_categorical_crossentropy");
 * const step = makeStep(model, { objective: makeObjective([loss]), optimizer: adam() });
 * let state = createState(model, { optimizer: step.optimizer, seed: 0 });
 * [state] = await step.run(state, { x: tensor(x), y: [tensor(y)] });
 * state.step.item(); // 1
 */
export function makeStep(module: Module<never, unknown>, options: StepOptions): TrainStep {
  const { objective, optimizer, guard = true, rematerialize = false, accumulate = 1 } = options;
  const { predictions = accumulate === 1, lossLimit = false, rounding = "stochastic" } = options;
  const { gradientNorm = false } = options;
  if (!Number.isSafeInteger(accumulate) || accumulate < 1)
    throw new ArgumentError("makeStep", `\`accumulate\` is a whole number ≥ 1: received ${accumulate}`);
  if (accumulate > 1 && predictions)
    throw new ArgumentError("makeStep", "micro-batches keep no predictions", { hint: "predictions: false" });
  const body = (carried: Carried, fixed: Fixed, batch: StepBatch): readonly [Carried, StepOutputs] => {
    const key = random.foldIn(fixed.key, carried.step);
    const params = widen(carried.params);
    const pass = (part: StepBatch, states: TensorMap, passKey: Tensor): ((params: TensorMap) => Forward) => {
      const context = new Context({ training: true, key: passKey });
      return (params) => {
        const values = { ...params, ...fixed.frozen, ...states };
        return forward({ module, objective, context, values, batch: part, predictions, penalize: accumulate === 1 });
      };
    };
    const kept = <R>(fn: (params: TensorMap) => R): ((params: TensorMap) => R) => (rematerialize ? checkpoint(fn) : fn);
    const whole = (): readonly [Forward, TensorMap] =>
      valueAndGrad(kept(pass(batch, carried.states, key)))(widen(carried.params));
    const inParts = (): readonly [Forward, TensorMap] => {
      const micro: MicroPass = (states, part, number) => {
        const run = pass(part, states, random.foldIn(key, number));
        return valueAndGrad(kept((params: TensorMap) => weighed(run(params), part)))(widen(carried.params));
      };
      const sums = accumulateGradients(micro, { batch, accumulate, params, states: carried.states });
      return withPenalty(module, params, { ...sums, frozen: fixed.frozen });
    };
    const [[loss, extra], gradients] = accumulate === 1 ? whole() : inParts();
    // Known before the update, so that update and selection are one pass over the parameters.
    const sound = allFinite(loss, gradients);
    const norm = gradientNorm ? globalNorm(gradients) : undefined;
    const low = fixed.limit === undefined ? sound : logicalAnd(sound, loss.lessEqual(fixed.limit));
    const finite = fixed.normLimit === undefined ? low : logicalAnd(low, norm!.lessEqual(fixed.normLimit));
    const keep = keeper(carried, { key: random.foldIn(key, ROUNDING), rounding });
    const { updates, state: optState } = optimizer.transformation.update(gradients, widen(carried.optState), params);
    const updated = { params: applyUpdates(params, updates), optState };
    const stored = keep(updated);
    const next: Carried = {
      step: carried.step.add(1),
      params: stored.params,
      states: extra.states,
      optState: stored.optState,
    };
    const outputs = { loss, parts: extra.parts, gradientNorm: norm, finite, predictions: extra.predictions };
    return [guard ? (select(finite, next, carried) as Carried) : next, outputs];
  };
  const compiled = jit(body, { donate: [0] });
  const gathered = jit(
    (carried: Carried, fixed: Fixed, data: StepBatch, indices: Tensor) => body(carried, fixed, rows(data, indices)),
    { donate: [0] },
  );
  const split = (state: TrainState, how: CallOptions = {}): [Carried, Fixed] => {
    const { step, params, states, optState, frozen, key } = state;
    if (!lossLimit && how.lossLimit !== undefined)
      throw new ArgumentError("step", "this step takes no `lossLimit`", { hint: "makeStep(…, { lossLimit: true })" });
    if (!(lossLimit && gradientNorm) && how.normLimit !== undefined)
      throw new ArgumentError("step", "this step takes no `normLimit`", {
        hint: "makeStep(…, { lossLimit: true, gradientNorm: true })",
      });
    const limit = {
      ...(lossLimit ? { limit: full([], how.lossLimit ?? Infinity) } : {}),
      ...(lossLimit && gradientNorm ? { normLimit: full([], how.normLimit ?? Infinity) } : {}),
    };
    return [
      { step, params, states, optState },
      { frozen, key, ...limit },
    ];
  };
  const merge = (
    state: TrainState,
    [carried, outputs]: readonly [Carried, StepOutputs],
  ): readonly [TrainState, StepOutputs] => [
    { ...carried, frozen: state.frozen, key: state.key, position: state.position },
    outputs,
  ];
  const call = (state: TrainState, batch: StepBatch, how?: CallOptions): readonly [TrainState, StepOutputs] =>
    merge(state, compiled(...split(state, how), batch));
  return Object.assign(call, {
    module,
    optimizer,
    objective,
    accumulate,
    lossLimit,
    gradientNorm,
    many: (state: TrainState, data: StepBatch, indices: Tensor, how?: CallOptions): ManySteps | undefined => {
      const goOn = ([, { finite }]: readonly [Carried, StepOutputs]): Tensor => finite;
      const turns = gathered.turns(
        { count: indices.shape[0]!, slices: [3], goOn },
        ...split(state, how),
        data,
        indices,
      );
      if (turns === undefined) return undefined;
      const merged = ({ done, result }: TurnResult<readonly [Carried, StepOutputs]>) => ({
        done,
        result: merge(state, result),
      });
      return { run: () => merged(turns.run()), runAsync: async () => merged(await turns.runAsync()) };
    },
    run: async (state: TrainState, batch: StepBatch, how?: CallOptions) =>
      merge(state, await compiled.run(...split(state, how), batch)),
    lower: (state: TrainState, batch: StepBatch) => compiled.lower(...split(state), batch),
    inputs: (state: TrainState, batch: StepBatch) => compiled.inputs(...split(state), batch),
  });
}

// The samples with these numbers, gathered on the device.
function rows(data: StepBatch, indices: Tensor): StepBatch {
  const flat = flattenTensors({ ...data }, "data");
  return flat.rebuild(flat.tensors.map((x) => x.take(indices))) as StepBatch;
}

type Extra = {
  readonly states: TensorMap;
  readonly parts: readonly Tensor[];
  readonly predictions: readonly Tensor[];
  readonly count?: Tensor | "sum" | undefined;
};
type Forward = readonly [loss: Tensor, extra: Extra];

/** Told of each module's input and output in a pass. */
export type CallListener = (module: Module<never, unknown>, input: unknown, output: unknown) => void;

/** One pass from values and a batch to the number that is minimized, with what it leaves behind. */
export function forward({
  module,
  objective,
  context,
  values,
  batch,
  onCall,
  predictions = true,
  penalize = true,
}: {
  readonly module: Module<never, unknown>;
  readonly objective: Objective;
  readonly context: Context;
  readonly values: TensorMap;
  readonly batch: StepBatch;
  readonly onCall?: CallListener;
  readonly predictions?: boolean;
  /** Whether penalties on weights are part of the loss. */
  readonly penalize?: boolean;
}): Forward {
  const { output, states } = module.pure(values, batch.x as never, context, onCall === undefined ? {} : { onCall });
  const value = objective(output, batch);
  const loss = penalize ? penalized(module, values, value) : value.loss;
  return [loss, { states, parts: value.parts, predictions: predictions ? outputsOf(output) : [], count: value.count }];
}

function penalized(module: Module<never, unknown>, values: TensorMap, { loss }: ObjectiveValue): Tensor {
  const penalty = regularization(module, values);
  return penalty === undefined ? loss : loss.add(penalty);
}

// The share of a micro-batch in the sums of its step.
function weighed([loss, { parts, states, count }]: Forward, { y }: StepBatch): MicroValue {
  if (count === "sum") return [loss, { parts, count: full([], 0), states }];
  const terms = count ?? full([], y[0]!.shape[0]!);
  return [loss.mul(terms), { parts: parts.map((part) => part.mul(terms)), count: terms, states }];
}

// Penalties depend on no batch: they are added once a step.
function withPenalty(
  module: Module<never, unknown>,
  params: TensorMap,
  { loss, parts, gradients, states, frozen }: Accumulated & { readonly frozen: TensorMap },
): readonly [Forward, TensorMap] {
  const extra = { states, parts, predictions: [] };
  const fixed = { ...frozen, ...states };
  if (regularization(module, { ...params, ...fixed }) === undefined) return [[loss, extra], gradients];
  const penalty = (values: TensorMap): Tensor => regularization(module, { ...values, ...fixed })!;
  const [value, slopes] = valueAndGrad(penalty)(params);
  return [[loss.add(value), extra], mapTensors(gradients, (gradient, path) => gradient.add(slopes[path]!))];
}

// A sum is finite where all its terms are: one number a gradient is enough.
function allFinite(loss: Tensor, gradients: TensorMap): Tensor {
  return Object.values(gradients).reduce((all, g) => logicalAnd(all, isFinite(g.sum())), isFinite(loss));
}

// In the order of what was: steps in one call go by it.
function select(condition: Tensor, yes: TensorTree, no: TensorTree): TensorTree {
  const a = yes as { readonly [key: string]: TensorTree };
  const b = no as { readonly [key: string]: TensorTree };
  if (yes === no) return no;
  if (isTensor(yes)) return where(condition, yes, no as Tensor);
  if (Array.isArray(yes)) return yes.map((child, i) => select(condition, child as TensorTree, (no as TensorTree[])[i]));
  return Object.fromEntries(Object.keys(b).map((key) => [key, select(condition, a[key], b[key])]));
}

function isTensor(x: unknown): x is Tensor {
  return typeof x === "object" && x !== null && "content" in x;
}

/** A compiled evaluation: loss and outputs of a batch with given values, as in use (nothing random, nothing changed). */
export type EvaluateStep = Jitted<
  [TensorMap, StepBatch],
  {
    readonly loss: Tensor;
    readonly parts: readonly Tensor[];
    readonly predictions: readonly Tensor[];
    /** Of how many terms `loss` is the mean: samples unless the objective says. */
    readonly count: Tensor;
  }
>;

/** Makes the evaluation of a module: the objective as in training, without a gradient. */
export function makeEvaluate(
  module: Module<never, unknown>,
  objective: Objective,
  { predictions = true }: { readonly predictions?: boolean } = {},
): EvaluateStep {
  return jit((values: TensorMap, batch: StepBatch) => {
    const [loss, extra] = forward({ module, objective, context: inference, values, batch, predictions });
    const { parts, count } = extra;
    const terms = count === undefined || count === "sum" ? full([], batch.y[0]?.shape[0] ?? 1) : count;
    return { loss, parts, predictions: extra.predictions, count: terms };
  });
}

/** A compiled prediction: the outputs of a module for a batch of inputs. */
export type PredictStep = Jitted<[TensorMap, TensorTree], readonly Tensor[]>;

/** Makes the prediction of a module. */
export function makePredict(module: Module<never, unknown>): PredictStep {
  return jit((values: TensorMap, x: TensorTree) => outputsOf(module.pure(values, x as never, inference).output));
}
