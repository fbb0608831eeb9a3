// Share of right answers: by the shapes as Keras's "accuracy", or for one stated layout; and among the k best.
import { ArgumentError } from "../../engine/core/index.ts";
import { checkThreshold, predictedClasses, readRows, type LayoutChoice, type Rows } from "./input.ts";
import { meanMetric, type MeanState } from "./mean.ts";
import type { Metric } from "./metric.ts";

/** Options of the accuracy family. */
export interface AccuracyOptions {
  readonly name?: string;
  /** A single score above this counts as class 1. Default 0.5. */
  readonly threshold?: number;
}

/**
 * Share of samples whose class is right: `Σ w [ŷ = y] / Σ w`.
 *
 * Decides by the shapes, as Keras's `"accuracy"`: one score per answer → threshold; answers of the scores' shape `[…, C]` →
 * one-hot; answers `[…]` or `[…, 1]` with scores `[…, C]` → labels. Integer predictions are labels themselves. Among equal
 * scores the first wins.
 *
 * @example
 * measure(accuracy(), { yTrue: HostArray.from([0, 1], "int32"), yPred: HostArray.from([0.2, 0.4]) }); // 0.5
 */
export function accuracy(options: AccuracyOptions = {}): Metric<MeanState> {
  return ofLayout(options.name ?? "accuracy", "auto", options);
}

/**
 * Share of single scores on the right side of the threshold; `[N, C]` counts each of its entries (several labels per sample).
 *
 * @example
 * measure(binaryAccuracy(), { yTrue: HostArray.from([[0, 1]]), yPred: HostArray.from([[0.2, 0.4]]) }); // 0.5
 */
export function binaryAccuracy(options: AccuracyOptions = {}): Metric<MeanState> {
  return ofLayout(options.name ?? "binary_accuracy", "binary", options);
}

/**
 * Share of rows whose largest score is at the one-hot answer's largest entry.
 *
 * @example
 * measure(categoricalAccuracy(), { yTrue: HostArray.from([[0, 1]]), yPred: HostArray.from([[0.2, 0.4]]) }); // 1
 */
export function categoricalAccuracy(options: { readonly name?: string } = {}): Metric<MeanState> {
  return ofLayout(options.name ?? "categorical_accuracy", "categorical", {});
}

/**
 * Share of rows whose largest score is at the label.
 *
 * @example
 * measure(sparseCategoricalAccuracy(), { yTrue: HostArray.from([1], "int32"), yPred: HostArray.from([[0.2, 0.4]]) }); // 1
 */
export function sparseCategoricalAccuracy(options: { readonly name?: string } = {}): Metric<MeanState> {
  return ofLayout(options.name ?? "sparse_categorical_accuracy", "sparse", {});
}

/** Options of `topKAccuracy`. */
export interface TopKOptions {
  readonly name?: string;
  /** How many classes may be named. Default 5. */
  readonly k?: number;
  readonly layout?: "auto" | "sparse" | "categorical";
}

/**
 * Share of rows whose class is among the `k` largest scores. Of equal scores the class with the higher number counts as
 * larger, as in scikit-learn's `top_k_accuracy_score`.
 *
 * @example
 * measure(topKAccuracy({ k: 2 }), { yTrue: HostArray.from([2], "int32"), yPred: HostArray.from([[0.5, 0.2, 0.3]]) }); // 1
 */
export function topKAccuracy(options: TopKOptions = {}): Metric<MeanState> {
  const { k = 5, layout = "auto" } = options;
  const name = options.name ?? "top_k_accuracy";
  if (!Number.isInteger(k) || k < 1) throw new ArgumentError(name, `\`k\` is a whole number from 1: received ${k}`);
  return meanMetric(name, (batch) => {
    const rows = readRows(name, batch, layout);
    if (rows.layout !== "sparse" && rows.layout !== "oneHot") {
      throw new ArgumentError(name, "needs scores for each class […, classes]", {
        hint: "for one score per sample use binaryAccuracy",
      });
    }
    return { value: rows.truth.map((label, i) => (rank(rows, i, label) < k ? 1 : 0)), weight: rows.weight };
  });
}

// How many classes stand before this one.
function rank(rows: Rows, i: number, label: number): number {
  const start = rows.index[i]! * rows.width;
  const own = rows.scores[start + label]!;
  let before = 0;
  for (let c = 0; c < rows.width; c++) {
    const other = rows.scores[start + c]!;
    if (other > own || (other === own && c > label)) before++;
  }
  return before;
}

function ofLayout(name: string, layout: LayoutChoice, { threshold = 0.5 }: AccuracyOptions): Metric<MeanState> {
  checkThreshold(name, threshold);
  return meanMetric(name, (batch) => {
    const rows = readRows(name, batch, layout);
    const predicted = predictedClasses(name, rows, threshold);
    return { value: predicted.map((label, i) => (label === rows.truth[i] ? 1 : 0)), weight: rows.weight };
  });
}
