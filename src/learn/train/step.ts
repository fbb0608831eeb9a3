// The training step: forward, loss, backward, update, traced once and run as one plan. Evaluation and prediction likewise.
import {
  checkpoint,
  flattenTensors,
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
import { applyUpdates, type Optimizer, type TensorMap } from "../optim/index.ts";
import { outputsOf, type Objective, type ObjectiveValue, type StepBatch } from "./objective.ts";
import type { Carried, TrainState } from "./state.ts";

/** What a step tells besides the new state. */
export interface StepOutputs {
  /** The number that was minimized on this batch, penalties included; scalar. */
  readonly loss: Tensor;
  /** Loss of each output, without weights of outputs and penalties; empty for a single output. */
  readonly parts: readonly Tensor[];
  /** Whether loss and gradients were finite. If not, the state is the one before the step. */
  readonly finite: Tensor;
  /** The model's outputs on the batch, as trained on. Empty where nobody asked for them. */
  readonly predictions: readonly Tensor[];
}

/** A compiled training step. The state given to it is used up. */
export interface TrainStep {
  readonly module: Module<never, unknown>;
  readonly optimizer: Optimizer;
  readonly objective: Objective;
  /** On the caller's thread. */
  (state: TrainState, batch: StepBatch): readonly [TrainState, StepOutputs];
  /** Off the event loop where the device can. */
  run(state: TrainState, batch: StepBatch): Promise<readonly [TrainState, StepOutputs]>;
  /**
   * Steps in one call, without JavaScript in between: `data` are all samples on the device, each row of `indices`
   * (int32[steps, batch]) picks a batch. A step that is not finite is the last. Outputs come stacked, one slice a step.
   * Undefined where the device has no such calls.
   */
  many(state: TrainState, data: StepBatch, indices: Tensor): ManySteps | undefined;
  /** The compiled program and plan for such a batch. */
  lower(state: TrainState, batch: StepBatch): ReturnType<Jitted<readonly unknown[], unknown>["lower"]>;
  /** The arrays that program is run on. */
  inputs(state: TrainState, batch: StepBatch): ReturnType<Jitted<readonly unknown[], unknown>["inputs"]>;
}

/** Steps to be run once, on the caller's thread or off the event loop; they use the state up when they run. */
export type ManySteps = TurnCall<readonly [TrainState, StepOutputs]>;

export interface StepOptions {
  readonly objective: Objective;
  readonly optimizer: Optimizer;
  /** Whether the outputs of the model are returned, for metrics. Default true. */
  readonly predictions?: boolean;
  /**
   * Whether a step whose loss or gradients are not finite leaves the state as it was. Default true: one selection over
   * the state and one sum over the gradients, both fused with the update where the device fuses.
   */
  readonly guard?: boolean;
  /** Computes the forward pass again in the backward one instead of keeping it: less memory for a third more work. */
  readonly rematerialize?: boolean;
}

type Fixed = { readonly frozen: TensorMap; readonly key: Tensor };

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
  const { objective, optimizer, predictions = true, guard = true, rematerialize = false } = options;
  const body = (carried: Carried, fixed: Fixed, batch: StepBatch): readonly [Carried, StepOutputs] => {
    const context = new Context({ training: true, key: random.foldIn(fixed.key, carried.step) });
    const pass = (params: TensorMap): Forward =>
      forward({ module, objective, context, values: { ...params, ...fixed.frozen, ...carried.states }, batch });
    const [[loss, extra], gradients] = valueAndGrad(rematerialize ? checkpoint(pass) : pass)(carried.params);
    // Known before the update, so that update and selection are one pass over the parameters.
    const finite = allFinite(loss, gradients);
    const { updates, state: optState } = optimizer.transformation.update(gradients, carried.optState, carried.params);
    const next: Carried = {
      step: carried.step.add(1),
      params: applyUpdates(carried.params, updates),
      states: extra.states,
      optState: optState,
    };
    const outputs = { loss, parts: extra.parts, finite, predictions: predictions ? extra.predictions : [] };
    return [guard ? (select(finite, next, carried) as Carried) : next, outputs];
  };
  const compiled = jit(body, { donate: [0] });
  const gathered = jit(
    (carried: Carried, fixed: Fixed, data: StepBatch, indices: Tensor) => body(carried, fixed, rows(data, indices)),
    { donate: [0] },
  );
  const split = ({ step, params, states, optState, frozen, key }: TrainState): [Carried, Fixed] => [
    { step, params, states, optState },
    { frozen, key },
  ];
  const merge = (
    state: TrainState,
    [carried, outputs]: readonly [Carried, StepOutputs],
  ): readonly [TrainState, StepOutputs] => [
    { ...carried, frozen: state.frozen, key: state.key, position: state.position },
    outputs,
  ];
  const call = (state: TrainState, batch: StepBatch): readonly [TrainState, StepOutputs] =>
    merge(state, compiled(...split(state), batch));
  return Object.assign(call, {
    module,
    optimizer,
    objective,
    many: (state: TrainState, data: StepBatch, indices: Tensor): ManySteps | undefined => {
      const goOn = ([, { finite }]: readonly [Carried, StepOutputs]): Tensor => finite;
      const turns = gathered.turns({ count: indices.shape[0]!, slices: [3], goOn }, ...split(state), data, indices);
      if (turns === undefined) return undefined;
      const merged = ({ done, result }: TurnResult<readonly [Carried, StepOutputs]>) => ({
        done,
        result: merge(state, result),
      });
      return { run: () => merged(turns.run()), runAsync: async () => merged(await turns.runAsync()) };
    },
    run: async (state: TrainState, batch: StepBatch) => merge(state, await compiled.run(...split(state), batch)),
    lower: (state: TrainState, batch: StepBatch) => compiled.lower(...split(state), batch),
    inputs: (state: TrainState, batch: StepBatch) => compiled.inputs(...split(state), batch),
  });
}

// The samples with these numbers, gathered on the device.
function rows(data: StepBatch, indices: Tensor): StepBatch {
  const flat = flattenTensors({ ...data }, "data");
  return flat.rebuild(flat.tensors.map((x) => x.take(indices))) as StepBatch;
}

type Extra = { readonly states: TensorMap; readonly parts: readonly Tensor[]; readonly predictions: readonly Tensor[] };
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
}: {
  readonly module: Module<never, unknown>;
  readonly objective: Objective;
  readonly context: Context;
  readonly values: TensorMap;
  readonly batch: StepBatch;
  readonly onCall?: CallListener;
}): Forward {
  const { output, states } = module.pure(values, batch.x as never, context, onCall === undefined ? {} : { onCall });
  const { loss, parts } = penalized(module, values, objective(output, batch));
  return [loss, { states, parts, predictions: outputsOf(output) }];
}

function penalized(module: Module<never, unknown>, values: TensorMap, value: ObjectiveValue): ObjectiveValue {
  const penalty = regularization(module, values);
  return penalty === undefined ? value : { loss: value.loss.add(penalty), parts: value.parts };
}

// A sum is finite where all its terms are: one number a gradient is enough.
function allFinite(loss: Tensor, gradients: TensorMap): Tensor {
  return Object.values(gradients).reduce((all, g) => logicalAnd(all, isFinite(g.sum())), isFinite(loss));
}

function select(condition: Tensor, yes: TensorTree, no: TensorTree): TensorTree {
  const a = yes as { readonly [key: string]: TensorTree };
  const b = no as { readonly [key: string]: TensorTree };
  if (yes === no) return no;
  if (isTensor(yes)) return where(condition, yes, no as Tensor);
  if (Array.isArray(yes)) return yes.map((child, i) => select(condition, child as TensorTree, (no as TensorTree[])[i]));
  return Object.fromEntries(Object.keys(a).map((key) => [key, select(condition, a[key], b[key])]));
}

function isTensor(x: unknown): x is Tensor {
  return typeof x === "object" && x !== null && "content" in x;
}

/** A compiled evaluation: loss and outputs of a batch with given values, as in use (nothing random, nothing changed). */
export type EvaluateStep = Jitted<
  [TensorMap, StepBatch],
  { readonly loss: Tensor; readonly parts: readonly Tensor[]; readonly predictions: readonly Tensor[] }
>;

/** Makes the evaluation of a module: the objective as in training, without a gradient. */
export function makeEvaluate(module: Module<never, unknown>, objective: Objective): EvaluateStep {
  return jit((values: TensorMap, batch: StepBatch) => {
    const [loss, { parts, predictions }] = forward({ module, objective, context: inference, values, batch });
    return { loss, parts, predictions };
  });
}

/** A compiled prediction: the outputs of a module for a batch of inputs. */
export type PredictStep = Jitted<[TensorMap, TensorTree], readonly Tensor[]>;

/** Makes the prediction of a module. */
export function makePredict(module: Module<never, unknown>): PredictStep {
  return jit((values: TensorMap, x: TensorTree) => outputsOf(module.pure(values, x as never, inference).output));
}
