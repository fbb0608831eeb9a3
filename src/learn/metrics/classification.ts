// Precision, recall, F-score, balanced accuracy, Matthews' and Cohen's coefficients: formulas on the confusion counts.
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import { confusionMetric, type ClassOptions, type Confusion, type ConfusionState } from "./confusion.ts";
import type { Metric } from "./metric.ts";

/** How scores of classes become one number. */
export type Average = "binary" | "micro" | "macro" | "weighted";

/** Options of precision, recall and F-score. */
export interface ScoreOptions extends ClassOptions {
  /**
   * `binary` (default): the score of class 1, for answers 0 and 1 only. `macro`: mean over the classes. `weighted`: mean
   * weighted by how often a class is true. `micro`: from the summed counts.
   */
  readonly average?: Average;
  /** The value of 0 / 0. Default 0. */
  readonly zeroDivision?: 0 | 1;
}

/**
 * Precision: `TP / (TP + FP)`, the share of those called positive that are. As scikit-learn's `precision_score`.
 *
 * @example
 * measure(precision(), { yTrue: HostArray.from([0, 1], "int32"), yPred: HostArray.from([0.7, 0.9]) }); // 0.5
 */
export function precision(options: ScoreOptions = {}): Metric<ConfusionState> {
  return score(options.name ?? "precision", options, (hit, _truth, predicted) => [hit, predicted]);
}

/**
 * Recall: `TP / (TP + FN)`, the share of the positives that were found. As scikit-learn's `recall_score`.
 *
 * @example
 * measure(recall(), { yTrue: HostArray.from([0, 1], "int32"), yPred: HostArray.from([0.7, 0.9]) }); // 1
 */
export function recall(options: ScoreOptions = {}): Metric<ConfusionState> {
  return score(options.name ?? "recall", options, (hit, truth) => [hit, truth]);
}

/**
 * F-score: `(1 + β²) TP / ((1 + β²) TP + β² FN + FP)`; with β = 1 (default) the harmonic mean of precision and recall.
 *
 * @example
 * measure(f1Score(), { yTrue: HostArray.from([0, 1], "int32"), yPred: HostArray.from([0.7, 0.9]) }); // 0.6666666666666666
 */
export function f1Score(options: ScoreOptions & { readonly beta?: number } = {}): Metric<ConfusionState> {
  const { beta = 1 } = options;
  const name = options.name ?? (beta === 1 ? "f1_score" : "fbeta_score");
  if (!(beta > 0 && beta < Infinity)) throw new ArgumentError(name, `\`beta\` must be above 0: received ${beta}`);
  const b2 = beta * beta;
  return score(name, options, (hit, truth, predicted) => [(1 + b2) * hit, b2 * truth + predicted]);
}

/**
 * Balanced accuracy: mean recall of the classes that are true somewhere; `adjusted` maps guessing to 0 and perfection to 1
 * (not defined for one class).
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 0, 0, 1], "int32"), yPred: HostArray.from([0, 0, 0, 0], "int32") };
 * measure(balancedAccuracy(), batch); // 0.5
 */
export function balancedAccuracy(options: ClassOptions & { readonly adjusted?: boolean } = {}): Metric<ConfusionState> {
  return confusionMetric(options.name ?? "balanced_accuracy", options, ({ hit, truth }) => {
    const recalls = hit.flatMap((h, i) => (truth[i]! > 0 ? [h / truth[i]!] : []));
    const mean = total(recalls) / recalls.length;
    if (options.adjusted !== true) return mean;
    const chance = 1 / recalls.length;
    return chance === 1 ? NaN : (mean - chance) / (1 - chance);
  });
}

/**
 * Matthews' correlation coefficient for any number of classes: the correlation of truth and prediction, −1 to 1; 0 where
 * either is constant. Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient" (2004).
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 1], "int32"), yPred: HostArray.from([1, 0], "int32") };
 * measure(matthewsCorrcoef(), batch); // -1
 */
export function matthewsCorrcoef(options: ClassOptions = {}): Metric<ConfusionState> {
  return confusionMetric(options.name ?? "matthews_corrcoef", options, (confusion) => {
    // Weights relative to the total keep the squares in range.
    const truth = confusion.truth.map((t) => t / confusion.total);
    const predicted = confusion.predicted.map((p) => p / confusion.total);
    const both = total(confusion.hit) / confusion.total - dot(truth, predicted);
    // Σ t (1 − t), not 1 − Σ t²: it stays exactly 0 for a constant.
    const spread = (of: readonly number[]): number => total(of.map((x) => x * (1 - x)));
    const product = spread(truth) * spread(predicted);
    return product === 0 ? 0 : both / Math.sqrt(product);
  });
}

/**
 * Cohen's kappa: `1 − Σ d o / Σ d e`, agreement beyond chance, for observed counts o, counts e expected from the margins and
 * disagreement d: 1 off the diagonal, or with `weights` the distance of the positions (`linear`) or its square (`quadratic`).
 * NaN where one class alone occurs. Source: Cohen (1960, 1968).
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 0, 1, 1], "int32"), yPred: HostArray.from([0, 1, 1, 1], "int32") };
 * measure(cohenKappa(), batch); // 0.5
 */
export function cohenKappa(
  options: ClassOptions & { readonly weights?: "linear" | "quadratic" } = {},
): Metric<ConfusionState> {
  const { weights } = options;
  const disagreement = (i: number, j: number): number =>
    weights === undefined ? (i === j ? 0 : 1) : weights === "linear" ? Math.abs(i - j) : (i - j) ** 2;
  return confusionMetric(options.name ?? "cohen_kappa", options, ({ cells, truth, predicted, total: all }) => {
    const observed = total(cells.map((cell) => disagreement(cell.truth, cell.predicted) * cell.weight));
    let expected = 0;
    for (let i = 0; i < truth.length; i++) {
      if (truth[i] === 0) continue;
      for (let j = 0; j < predicted.length; j++) expected += disagreement(i, j) * truth[i]! * (predicted[j]! / all);
    }
    return 1 - observed / expected;
  });
}

/** Precision, recall, F1 and support of each class. */
export interface ClassScores {
  readonly label: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  readonly support: number;
}

/** The scores of each class, for reports. */
export function classScores(confusion: Confusion, zeroDivision: 0 | 1 = 0): ClassScores[] {
  return confusion.labels.map((label, i) => {
    const hit = confusion.hit[i]!;
    const support = confusion.truth[i]!;
    const predicted = confusion.predicted[i]!;
    return {
      label,
      precision: divide(hit, predicted, zeroDivision),
      recall: divide(hit, support, zeroDivision),
      f1: divide(2 * hit, support + predicted, zeroDivision),
      support,
    };
  });
}

function score(
  name: string,
  options: ScoreOptions,
  parts: (hit: number, truth: number, predicted: number) => [above: number, below: number],
): Metric<ConfusionState> {
  const { average = "binary", zeroDivision = 0 } = options;
  if (!["binary", "micro", "macro", "weighted"].includes(average)) {
    throw new ArgumentError(name, `\`average\` is binary, micro, macro or weighted: received ${String(average)}`);
  }
  return confusionMetric(name, options, ({ labels, hit, truth, predicted }) => {
    const of = (i: number): number => divide(...parts(hit[i]!, truth[i]!, predicted[i]!), zeroDivision);
    switch (average) {
      case "binary": {
        if (labels.some((label) => label > 1)) {
          throw new DataError(name, `average "binary" is for classes 0 and 1: received class ${labels.at(-1)}`, {
            hint: 'choose average "macro", "weighted" or "micro"',
          });
        }
        const positive = labels.indexOf(1);
        return positive === -1 ? zeroDivision : of(positive);
      }
      case "micro":
        return divide(...parts(total(hit), total(truth), total(predicted)), zeroDivision);
      case "macro":
        return total(labels.map((_, i) => of(i))) / labels.length;
      case "weighted":
        return total(labels.map((_, i) => of(i) * truth[i]!)) / total(truth);
    }
  });
}

function divide(above: number, below: number, zeroDivision: 0 | 1): number {
  return below === 0 ? zeroDivision : above / below;
}

function total(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function dot(a: readonly number[], b: readonly number[]): number {
  return total(a.map((x, i) => x * b[i]!));
}
