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
      // Small whole numbers (hits, weights of 1) add up exactly as they are.
      let wholeSum = 0;
      let wholeTotal = 0;
      for (let i = 0; i < value.length; i++) {
        const w = weight[i]!;
        const product = w * value[i]!;
        if (isSmallWhole(product)) wholeSum += product;
        else add(sum, product);
        if (isSmallWhole(w)) wholeTotal += w;
        else add(total, w);
      }
      add(sum, wholeSum);
      add(total, wholeTotal);
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

// 2^31 positions of such numbers stay below 2^53.
function isSmallWhole(x: number): boolean {
  return (x & 0x1fffff) === x;
}
