// What the loop reads of a step's outputs: loss and predictions into the measures of the epoch; then their memory goes back.
import { ArgumentError, HostArray } from "../../engine/core/index.ts";
import { flattenTensors, type Tensor } from "../../engine/tensor/index.ts";
import type { Measures } from "./measures.ts";
import type { CallOptions, StepOutputs, TrainStep } from "./step.ts";
import type { HostBatch } from "./train-options.ts";

/** Measures one step. */
export function measureStep(
  measures: Measures,
  outputs: StepOutputs,
  { host, count }: { readonly host: HostBatch; readonly count: number },
): void {
  measures.update({
    count,
    loss: outputs.loss.item(),
    parts: outputs.parts.map((part) => part.item()),
    y: host.y,
    predictions: outputs.predictions.map((x) => x.host()),
    weights: host.weights,
  });
}

/** Measures the good ones of several steps, whose outputs lie stacked; gives the loss of the last, if there is one. */
export function measureSteps(
  measures: Measures,
  { loss, parts, predictions }: StepOutputs,
  {
    host,
    indices,
    size,
    good,
  }: { readonly host: HostBatch; readonly indices: Uint32Array; readonly size: number; readonly good: number },
): number | undefined {
  const losses = loss.host();
  const [partLosses, outputs] = [parts.map((part) => part.host()), predictions.map((one) => one.host())];
  for (let i = 0; i < good; i++)
    measures.updateLoss({ count: size, loss: losses.get(i), parts: partLosses.map((part) => part.get(i)) });
  // Answers are read by metrics alone, and these need predictions.
  if (outputs.length > 0 && good > 0) {
    const rows = indices.subarray(0, good * size);
    measures.updateMetrics({
      y: host.y.map((array) => array.takeRows(rows)),
      predictions: outputs.map((array) => joined(array, good)),
      weights: host.weights?.map((array) => array.takeRows(rows)),
    });
  }
  return good === 0 ? undefined : losses.get(good - 1);
}

/** Loss and gradient norm of a step; the norm is NaN where it is not told. */
export interface StepFigures {
  readonly loss: number;
  readonly norm: number;
}

/** The figures of a step, or of one of several whose outputs lie stacked. */
export function figuresOf({ loss, gradientNorm }: StepOutputs, at: number = 0): StepFigures {
  return { loss: loss.host().get(at), norm: gradientNorm?.host().get(at) ?? NaN };
}

/** The largest loss and gradient norm that are trained on. */
export class Limits {
  loss: number = Infinity;
  norm: number = Infinity;

  /** What a step is told: nothing where it takes no limits. */
  of({ lossLimit, gradientNorm }: TrainStep): CallOptions {
    if (!lossLimit) return {};
    return gradientNorm ? { lossLimit: this.loss, normLimit: this.norm } : { lossLimit: this.loss };
  }

  /** Sets one; as the device compares it. */
  set(which: "loss" | "norm", value: number, step: TrainStep): void {
    if (!step.lossLimit || (which === "norm" && !step.gradientNorm)) {
      const [what, options] = which === "loss" ? ["loss", ""] : ["gradient norm", ", gradientNorm: true"];
      throw new ArgumentError(`${which}Limit`, `the step takes no limit of its ${what}`, {
        hint: `makeStep(model, { lossLimit: true${options}, … })`,
      });
    }
    this[which] = Math.fround(value);
  }

  /** Which of them finite figures are above, if they are. */
  exceeded({ loss, norm }: StepFigures): { where: string; problem: string } | undefined {
    if (loss > this.loss && Number.isFinite(loss))
      return { where: "loss", problem: `the loss is ${loss}, above ${this.loss}` };
    if (norm > this.norm && Number.isFinite(norm) && Number.isFinite(loss))
      return { where: "gradients", problem: `the norm of the gradients is ${norm}, above ${this.norm}` };
    return undefined;
  }
}

/** A number, whose memory then goes back. */
export function readOnce(x: Tensor): number {
  const value = x.item();
  x.dispose();
  return value;
}

/** Batches are many: their memory goes back now, not when the garbage collector finds it. */
export function release(tree: object): void {
  for (const x of flattenTensors({ ...tree }).tensors) x.dispose();
}

// The first `steps` of an array [steps, batch, …] as one batch, sharing memory.
function joined(array: HostArray, steps: number): HostArray {
  const [, batch = 1, ...rest] = array.shape;
  const size = (array.size / array.shape[0]!) * steps;
  return new HostArray(array.dtype, [steps * batch, ...rest], array.data.subarray(0, size));
}
