// Errors of predicted numbers: mean squared, its root, mean absolute, and the share of variance explained (R²).
import { DataError } from "../../engine/core/index.ts";
import { add, addProduct, addSum, multiply, subtract, valueOf, type ExactSum } from "./exact-sum.ts";
import { empty, readPairs, type Pairs } from "./input.ts";
import { meanMetric, type MeanState } from "./mean.ts";
import type { Metric } from "./metric.ts";

/**
 * Mean squared error `Σ w (y − ŷ)² / Σ w`, over samples and outputs, in the unit of y squared.
 *
 * @example
 * measure(meanSquaredError(), { yTrue: HostArray.from([1, 2]), yPred: HostArray.from([1, 4]) }); // 2
 */
export function meanSquaredError(options: { readonly name?: string } = {}): Metric<MeanState> {
  const name = options.name ?? "mean_squared_error";
  return meanMetric(name, (batch) => errors(readPairs(name, batch), (d) => d * d));
}

/**
 * Root of the mean squared error over samples and outputs, in the unit of y.
 *
 * For several outputs this is Keras's number; scikit-learn's is the mean of the outputs' roots.
 *
 * @example
 * measure(rootMeanSquaredError(), { yTrue: HostArray.from([1, 2]), yPred: HostArray.from([1, 4]) }); // 1.4142135623730951
 */
export function rootMeanSquaredError(options: { readonly name?: string } = {}): Metric<MeanState> {
  const name = options.name ?? "root_mean_squared_error";
  return meanMetric(name, (batch) => errors(readPairs(name, batch), (d) => d * d), Math.sqrt);
}

/**
 * Mean absolute error `Σ w |y − ŷ| / Σ w`, over samples and outputs, in the unit of y.
 *
 * @example
 * measure(meanAbsoluteError(), { yTrue: HostArray.from([1, 2]), yPred: HostArray.from([1, 4]) }); // 1
 */
export function meanAbsoluteError(options: { readonly name?: string } = {}): Metric<MeanState> {
  const name = options.name ?? "mean_absolute_error";
  return meanMetric(name, (batch) => errors(readPairs(name, batch), Math.abs));
}

/** Per output the exact sums of `w`, `w y`, `w y²` and `w (y − ŷ)²`, and the number of samples. */
export interface R2State {
  samples: number;
  readonly weight: ExactSum;
  readonly outputs: { readonly y: ExactSum; readonly y2: ExactSum; readonly error: ExactSum }[];
}

/**
 * R², the coefficient of determination: `1 − Σ w (y − ŷ)² / Σ w (y − ȳ)²`, the mean over the outputs.
 *
 * 1 is perfect, 0 as good as the mean, below 0 worse. A constant truth gives 1 when met exactly, else 0 (as scikit-learn's
 * `r2_score`); fewer than two samples give NaN. `average: "variance"` weights the outputs by their variance.
 *
 * @example
 * measure(r2Score(), { yTrue: HostArray.from([1, 2, 3]), yPred: HostArray.from([1, 2, 4]) }); // 0.5
 */
export function r2Score(
  options: { readonly name?: string; readonly average?: "uniform" | "variance" } = {},
): Metric<R2State> {
  const name = options.name ?? "r2_score";
  return r2Metric(name, (scores, spreads) => {
    const all = spreads.reduce((a, b) => a + b, 0);
    const weight =
      options.average === "variance" && all > 0 ? spreads.map((s) => s / all) : scores.map(() => 1 / scores.length);
    return scores.reduce((sum, score, i) => sum + score * weight[i]!, 0);
  });
}

/** R² of each output. */
export function r2Scores(options: { readonly name?: string } = {}): Metric<R2State, readonly number[]> {
  return r2Metric(options.name ?? "r2_scores", (scores) => scores);
}

function r2Metric<R>(name: string, finish: (scores: number[], spreads: number[]) => R): Metric<R2State, R> {
  const merge = (into: R2State, from: R2State): void => {
    if (into.outputs.length !== from.outputs.length && into.samples > 0 && from.samples > 0) {
      throw new DataError(
        name,
        `the number of outputs changed: received ${from.outputs.length} after ${into.outputs.length}`,
      );
    }
    into.samples += from.samples;
    addSum(into.weight, from.weight);
    from.outputs.forEach((sums, o) => {
      const own = (into.outputs[o] ??= { y: [], y2: [], error: [] });
      for (const key of ["y", "y2", "error"] as const) addSum(own[key], sums[key]);
    });
  };
  return {
    name,
    initial: () => ({ samples: 0, weight: [], outputs: [] }),
    update: (state, batch) => merge(state, sumsOf(readPairs(name, batch))),
    merge,
    result(state) {
      if (state.samples === 0) throw empty(name);
      const weight = valueOf(state.weight);
      // Σ w (y − ȳ)² = (Σ w y² Σ w − (Σ w y)²) / Σ w: exact sums make the difference safe, however far y is from 0.
      const spreads = state.outputs.map(
        ({ y, y2 }) => valueOf(subtract(multiply(y2, state.weight), multiply(y, y))) / weight,
      );
      const scores = state.outputs.map(({ error }, o) => {
        if (state.samples < 2) return NaN;
        const residual = valueOf(error);
        if (spreads[o] === 0) return residual === 0 ? 1 : 0;
        return 1 - residual / spreads[o]!;
      });
      return finish(scores, spreads);
    },
  };
}

function sumsOf({ outputs, index, weight, truth, predicted }: Pairs): R2State {
  const state: R2State = {
    samples: index.length,
    weight: [],
    outputs: Array.from({ length: outputs }, () => ({ y: [], y2: [], error: [] })),
  };
  for (let i = 0; i < index.length; i++) {
    const w = weight[i]!;
    add(state.weight, w);
    for (let o = 0; o < outputs; o++) {
      const y = truth[index[i]! * outputs + o]!;
      const d = y - predicted[index[i]! * outputs + o]!;
      const { y: sum, y2, error } = state.outputs[o]!;
      addProduct(sum, w, y);
      const square: ExactSum = [];
      addProduct(square, y, y);
      for (const part of square) addProduct(y2, w, part);
      add(error, w * d * d);
    }
  }
  return state;
}

function errors(
  { outputs, index, weight, truth, predicted }: Pairs,
  of: (difference: number) => number,
): { value: Float64Array; weight: Float64Array } {
  const value = new Float64Array(index.length * outputs);
  const repeated = new Float64Array(value.length);
  for (let i = 0; i < index.length; i++) {
    for (let o = 0; o < outputs; o++) {
      const at = index[i]! * outputs + o;
      value[i * outputs + o] = of(truth[at]! - predicted[at]!);
      repeated[i * outputs + o] = weight[i]!;
    }
  }
  return { value, weight: repeated };
}
