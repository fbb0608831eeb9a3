// Gradient accumulation: the gradients of a large batch from micro-batches, one after the other in a loop of the plan.
import { ArgumentError } from "../../engine/core/index.ts";
import {
  arange,
  asTensor,
  flattenTensors,
  full,
  scan,
  where,
  zerosLike,
  type Tensor,
} from "../../engine/tensor/index.ts";
import { mapTensors, type TensorMap } from "../optim/index.ts";
import type { StepBatch } from "./objective.ts";

/** Sums over micro-batches: of `count · loss`, of its gradients, of the counts. */
interface Sums {
  readonly gradients: TensorMap;
  readonly loss: Tensor;
  readonly count: Tensor;
  readonly states: TensorMap;
}

/** What a micro-batch adds: its share of the loss (which is differentiated), of the parts and of the counts. */
export type MicroValue = readonly [
  total: Tensor,
  rest: { readonly parts: readonly Tensor[]; readonly count: Tensor; readonly states: TensorMap },
];

/** Value and gradients of one micro-batch; `micro` is its number in the step. */
export type MicroPass = (
  states: TensorMap,
  part: StepBatch,
  micro: Tensor,
) => readonly [value: MicroValue, gradients: TensorMap];

/** Loss, parts, gradients and running values of a whole step. */
export interface Accumulated {
  readonly loss: Tensor;
  readonly parts: readonly Tensor[];
  readonly gradients: TensorMap;
  readonly states: TensorMap;
}

/** Samples of a micro-batch; the last one may have fewer. */
export function microBatchSize(rows: number, accumulate: number): number {
  return Math.ceil(rows / accumulate);
}

/**
 * Loss and gradients of a batch in `n` micro-batches of ⌈B / n⌉ samples, the last one smaller where it does not come out even:
 * `L = Σ cᵢ Lᵢ / Σ cᵢ`, with `cᵢ` the terms of micro-batch i (the trained tokens of a language model, 0 among them), so
 * that it equals the large batch but for rounding. Memory: activations of one micro-batch, the gradients once more.
 */
export function accumulateGradients(
  pass: MicroPass,
  { batch, accumulate, params, states }: { batch: StepBatch; accumulate: number; params: TensorMap; states: TensorMap },
): Accumulated {
  const flat = flattenTensors({ ...batch }, "batch");
  const rows = flat.tensors[0]?.shape[0];
  if (rows === undefined || flat.tensors.some((x) => x.shape[0] !== rows))
    throw new ArgumentError("accumulate", "all arrays of a batch must have the same number of samples");
  const size = microBatchSize(rows, accumulate);
  const whole = Math.floor(rows / size);
  const turn = (sums: Sums, part: StepBatch, micro: Tensor): readonly [Sums, readonly Tensor[]] => {
    const [[total, { parts, count, states: after }], gradients] = pass(sums.states, part, micro);
    const next = {
      gradients: mapTensors(sums.gradients, (sum, path) => sum.add(gradients[path]!)),
      loss: sums.loss.add(total),
      count: sums.count.add(count),
      states: mapTensors(sums.states, (_, path) => after[path]!),
    };
    return [next, parts];
  };
  const init: Sums = {
    gradients: mapTensors(params, zerosLike),
    loss: full([], 0),
    count: full([], 0),
    states,
  };
  const slices = flat.tensors.map((x) => {
    const even = size * whole === rows ? x : x.slice(0, size * whole);
    return even.reshape([whole, size, ...x.shape.slice(1)]);
  });
  const looped = scan(
    (carry: Sums, { micro, part }: { readonly micro: Tensor; readonly part: readonly Tensor[] }) =>
      turn(carry, flat.rebuild(part) as StepBatch, micro),
    { init, xs: { micro: arange(whole), part: slices } },
  );
  let sums = looped.carry;
  let parts = looped.ys.map((each) => each.sum());
  if (size * whole < rows) {
    const rest = flat.rebuild(flat.tensors.map((x) => x.slice(size * whole, rows))) as StepBatch;
    const [next, more] = turn(sums, rest, asTensor(whole, "int32"));
    [sums, parts] = [next, parts.map((part, i) => part.add(more[i]!))];
  }
  // A step without a single trained term has the loss 0 and leaves the weights to decay and momentum.
  const terms = where(sums.count.greater(0), sums.count, 1);
  const mean = (sum: Tensor): Tensor => sum.div(terms);
  return {
    loss: mean(sums.loss),
    parts: parts.map(mean),
    gradients: mapTensors(sums.gradients, mean),
    states: sums.states,
  };
}
