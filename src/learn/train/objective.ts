// Objective: from a model's output and the answers to one number to minimize, with weights as Keras counts them.
import { ArgumentError, ShapeError } from "../../engine/core/index.ts";
import { Tensor, type TensorTree } from "../../engine/tensor/index.ts";
import type { Loss } from "../nn/index.ts";

/** One batch inside a step: inputs, answers, and weights of the samples where given. Answers and weights by output. */
export interface StepBatch {
  readonly x: TensorTree;
  readonly y: readonly Tensor[];
  /** One weight a sample for each output; none weighs 1. */
  readonly weights?: readonly (Tensor | undefined)[];
}

/** The loss of a batch, and of each output where there are several. */
export interface ObjectiveValue {
  readonly loss: Tensor;
  readonly parts: readonly Tensor[];
  /**
   * Of how many terms `loss` is the mean: what a micro-batch weighs in its step. A float32 scalar; the number of samples
   * unless said. "sum" where the loss is no mean: then micro-batches add up.
   */
  readonly count?: Tensor | "sum";
}

/** A scalar to minimize, from the output of the model and the batch. */
export type Objective = (output: unknown, batch: StepBatch) => ObjectiveValue;

export interface ObjectiveOptions {
  /** "mean" divides by the number of samples (Keras's `sum_over_batch_size`), "sum" does not. */
  readonly reduction?: "mean" | "sum";
  /** Factor of each output's loss; 1 unless said. */
  readonly lossWeights?: readonly number[];
}

/**
 * The objective of losses, one for each output: `Σ_o λ_o · Σ_i w_i ℓ_o(y_i, ŷ_i) / n`.
 * As in Keras, weights do not change the divisor n: a sample of weight 0 is still counted.
 *
 * @example
 * const objective = makeObjective([resolveLoss("mse")]);
 */
export function makeObjective(losses: readonly Loss[], options: ObjectiveOptions = {}): Objective {
  const { reduction = "mean", lossWeights } = options;
  if (lossWeights !== undefined && lossWeights.length !== losses.length) {
    throw new ArgumentError("loss", `${lossWeights.length} loss weights for ${losses.length} outputs`);
  }
  return (output, batch) => {
    const outputs = outputsOf(output);
    if (outputs.length !== losses.length || batch.y.length !== losses.length) {
      throw new ArgumentError(
        "loss",
        `${losses.length} losses need as many outputs and answers: received ${outputs.length} and ${batch.y.length}`,
      );
    }
    const parts = losses.map((loss, o) => {
      const each = loss.perSample(batch.y[o]!, outputs[o]!);
      const weight = batch.weights?.[o];
      return reduce(weighted(each, weight), reduction);
    });
    const scaled = parts.map((part, o) => (lossWeights === undefined ? part : part.mul(lossWeights[o]!)));
    const loss = scaled.reduce((a, b) => a.add(b));
    return {
      loss,
      parts: parts.length === 1 ? [] : parts,
      ...(reduction === "sum" ? { count: "sum" as const } : {}),
    };
  };
}

/** The outputs of a model as a list. */
export function outputsOf(output: unknown): readonly Tensor[] {
  const list = Array.isArray(output) ? (output as unknown[]) : [output];
  for (const one of list) {
    if (!(one instanceof Tensor))
      throw new ArgumentError("loss", "a model's output is a Tensor or an array of Tensors");
  }
  return list as Tensor[];
}

function weighted(each: Tensor, weight: Tensor | undefined): Tensor {
  if (weight === undefined) return each;
  if (weight.rank !== 1 || weight.shape[0] !== each.shape[0]) {
    throw new ShapeError("loss", `weights are one a sample [${each.shape[0]}]: received [${weight.shape.join(",")}]`);
  }
  return each.mul(weight);
}

function reduce(each: Tensor, reduction: "mean" | "sum"): Tensor {
  return reduction === "mean" ? each.mean() : each.sum();
}
