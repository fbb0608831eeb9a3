// Metrics that are a weighted mean over positions: Σ w v / Σ w.
import { add, addSum, valueOf, type ExactSum } from "./exact-sum.ts";
import { empty } from "./input.ts";
import type { Metric, MetricBatch } from "./metric.ts";

/** Exact sums of `w v` and of `w`. */
export interface MeanState {
  readonly sum: ExactSum;
  readonly weight: ExactSum;
}

/** One value and one weight per position. */
export interface Terms {
  readonly value: ArrayLike<number>;
  readonly weight: ArrayLike<number>;
}

/**
 * A metric from the value of each position: `finish(Σ w v / Σ w)`.
 *
 * @example
 * const bias = meanMetric("bias", ({ yTrue, yPred }) => ({
 *   value: yPred.toFlat().map((p, i) => p - yTrue.get(i)),
 *   weight: new Array(yPred.size).fill(1),
 * }));
 */
export function meanMetric(
  name: string,
  terms: (batch: MetricBatch) => Terms,
  finish: (mean: number) => number = (mean) => mean,
): Metric<MeanState> {
  return {
    name,
    initial: () => ({ sum: [], weight: [] }),
    update(state, batch) {
      const { value, weight } = terms(batch);
      const sum: ExactSum = [];
      const total: ExactSum = [];
      for (let i = 0; i < value.length; i++) {
        add(sum, weight[i]! * value[i]!);
        add(total, weight[i]!);
      }
      addSum(state.sum, sum);
      addSum(state.weight, total);
    },
    merge(into, from) {
      addSum(into.sum, from.sum);
      addSum(into.weight, from.weight);
    },
    result(state) {
      if (state.weight.length === 0) throw empty(name);
      return finish(valueOf(state.sum) / valueOf(state.weight));
    },
  };
}
