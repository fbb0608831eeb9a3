// Names of metrics as users write them, Keras's and scikit-learn's, to the metrics they mean.
import { ArgumentError } from "../../engine/core/index.ts";
import { accuracy, binaryAccuracy, categoricalAccuracy, sparseCategoricalAccuracy, topKAccuracy } from "./accuracy.ts";
import { expectedCalibrationError } from "./calibration.ts";
import { balancedAccuracy, cohenKappa, f1Score, matthewsCorrcoef, precision, recall } from "./classification.ts";
import type { Metric } from "./metric.ts";
import { brierScore, logLoss, perplexity } from "./probability.ts";
import { averagePrecision, rocAuc } from "./ranking.ts";
import { meanAbsoluteError, meanSquaredError, r2Score, rootMeanSquaredError } from "./regression.ts";

// Keras keeps probabilities in [1e-7, 1 - 1e-7].
const KERAS_EPSILON = 1e-7;

const makers: { readonly [name: string]: (name: string) => Metric } = {
  accuracy: (name) => accuracy({ name }),
  binary_accuracy: (name) => binaryAccuracy({ name }),
  categorical_accuracy: (name) => categoricalAccuracy({ name }),
  sparse_categorical_accuracy: (name) => sparseCategoricalAccuracy({ name }),
  top_k_accuracy: (name) => topKAccuracy({ name }),
  top_k_categorical_accuracy: (name) => topKAccuracy({ name, layout: "categorical" }),
  sparse_top_k_categorical_accuracy: (name) => topKAccuracy({ name, layout: "sparse" }),
  precision: (name) => precision({ name }),
  recall: (name) => recall({ name }),
  f1_score: (name) => f1Score({ name }),
  balanced_accuracy: (name) => balancedAccuracy({ name }),
  matthews_corrcoef: (name) => matthewsCorrcoef({ name }),
  cohen_kappa: (name) => cohenKappa({ name }),
  roc_auc: (name) => rocAuc({ name }),
  average_precision: (name) => averagePrecision({ name }),
  mean_squared_error: (name) => meanSquaredError({ name }),
  root_mean_squared_error: (name) => rootMeanSquaredError({ name }),
  mean_absolute_error: (name) => meanAbsoluteError({ name }),
  r2_score: (name) => r2Score({ name }),
  log_loss: (name) => logLoss({ name }),
  binary_crossentropy: (name) => logLoss({ name, layout: "binary", epsilon: KERAS_EPSILON }),
  categorical_crossentropy: (name) => logLoss({ name, layout: "categorical", epsilon: KERAS_EPSILON }),
  sparse_categorical_crossentropy: (name) => logLoss({ name, layout: "sparse", epsilon: KERAS_EPSILON }),
  brier_score: (name) => brierScore({ name }),
  expected_calibration_error: (name) => expectedCalibrationError({ name }),
  perplexity: (name) => perplexity({ name }),
};

const aliases: { readonly [name: string]: string } = {
  acc: "accuracy",
  bce: "binary_crossentropy",
  f1: "f1_score",
  auc: "roc_auc",
  pr_auc: "average_precision",
  mse: "mean_squared_error",
  rmse: "root_mean_squared_error",
  mae: "mean_absolute_error",
  r2: "r2_score",
  ece: "expected_calibration_error",
  mcc: "matthews_corrcoef",
};

/** Every name `resolveMetric` knows. */
export const metricNames: readonly string[] = [...Object.keys(makers), ...Object.keys(aliases)].sort();

/**
 * The metric of a name (`"accuracy"`, `"acc"`, `"meanSquaredError"`, `"MSE"`); a metric is returned as it is.
 *
 * The metric keeps the name as written, so that histories and logs show what was asked for.
 *
 * @example
 * resolveMetric("acc").name; // "acc"
 */
export function resolveMetric(metric: string | Metric): Metric {
  if (typeof metric !== "string") return metric;
  const name = spellings.get(squash(metric));
  if (name !== undefined) return makers[name]!(metric);
  throw new ArgumentError("metrics", `there is no metric "${metric}"`, {
    hint: `did you mean "${nearest(metric)}"? Known are ${metricNames.join(", ")}`,
  });
}

// topKAccuracy, top_k_accuracy and TopKAccuracy are one name.
function squash(name: string): string {
  return name.replaceAll("_", "").toLowerCase();
}

const spellings: ReadonlyMap<string, string> = new Map(
  metricNames.map((name) => [squash(name), aliases[name] ?? name]),
);

function nearest(name: string): string {
  const far = (other: string): number => distance(squash(name), squash(other));
  return metricNames.reduce((best, other) => (far(other) < far(best) ? other : best));
}

// Levenshtein's distance: the fewest letters to insert, delete or replace.
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
