// The one interface of all metrics: a plain state that batches are added to, that merges exactly, and a result.
import type { HostArray } from "../../engine/core/index.ts";

/** One batch of answers and what the model said. */
export interface MetricBatch {
  /** Labels `[…]`, one-hot rows `[…, C]`, or numbers to predict. */
  readonly yTrue: HostArray;
  /** Scores `[…, C]` or `[…]` (floats), or predicted labels `[…]` (integers). */
  readonly yPred: HostArray;
  /** One weight per sample (or per position); a position of weight 0 is not looked at, its label included. */
  readonly sampleWeight?: HostArray | undefined;
}

/**
 * A quantity measured over a stream of batches.
 *
 * The state `S` is plain data (numbers, arrays, objects): it can be saved as JSON and sent. Sums in it are exact, so any cut
 * of the same samples into batches or workers, in any order, gives the same bits.
 *
 * @example
 * const metric = accuracy();
 * const state = metric.initial();
 * metric.update(state, { yTrue: HostArray.from([0, 1], "int32"), yPred: HostArray.from([[0.9, 0.1], [0.8, 0.2]]) });
 * metric.result(state); // 0.5
 */
export interface Metric<S = unknown, R = number> {
  readonly name: string;
  /** The state before the first batch. */
  initial(): S;
  /** Adds a batch to the state; a batch that is refused leaves the state as it was. */
  update(state: S, batch: MetricBatch): void;
  /** Adds another state to the first one. */
  merge(into: S, from: S): void;
  /** The value so far. Throws a DataError while there is no sample; NaN where the quantity is not defined for these samples. */
  result(state: S): R;
}

/**
 * The value of a metric on one batch that holds everything.
 *
 * @example
 * measure(meanSquaredError(), { yTrue: HostArray.from([1, 2]), yPred: HostArray.from([1, 4]) }); // 2
 */
export function measure<S, R>(metric: Metric<S, R>, batch: MetricBatch): R {
  const state = metric.initial();
  metric.update(state, batch);
  return metric.result(state);
}
