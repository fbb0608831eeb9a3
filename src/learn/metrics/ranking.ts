// Measures of the order of scores: ROC and precision-recall curves and the areas under them, exact, ties included.
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import { area, averageOf, curve, type Points } from "./curve.ts";
import { exactTotal } from "./exact-sum.ts";
import { empty, readRows } from "./input.ts";
import type { Metric } from "./metric.ts";

/** Every sample seen: its class, its weight and its `width` scores (1 where there is one score per sample). */
export interface ScoresState {
  width: number;
  readonly truth: number[];
  readonly weight: number[];
  readonly scores: number[];
}

/** Options of `rocAuc`. */
export interface RocAucOptions {
  readonly name?: string;
  /** For scores `[N, C]`: mean over the classes, mean weighted by their frequency, or of all entries as one question. */
  readonly average?: "macro" | "weighted" | "micro";
  /** For scores `[N, C]`: each class against the rest (default), or the mean over pairs of classes (Hand & Till 2001). */
  readonly multiClass?: "ovr" | "ovo";
}

/**
 * Area under the ROC curve: the probability that a random positive has a higher score than a random negative, ties counting
 * half. Exact (all scores are kept), as scikit-learn's `roc_auc_score`; NaN where a class or its rest is missing.
 *
 * @example
 * measure(rocAuc(), { yTrue: HostArray.from([0, 1, 1], "int32"), yPred: HostArray.from([0.1, 0.1, 0.9]) }); // 0.75
 */
export function rocAuc(options: RocAucOptions = {}): Metric<ScoresState> {
  const { average = "macro", multiClass = "ovr" } = options;
  const name = options.name ?? "roc_auc";
  if (multiClass === "ovo" && average === "micro")
    throw new ArgumentError(name, 'multiClass "ovo" has no micro average');
  return scoresMetric(name, (state) => {
    if (state.width === 1) return rocArea(questionOf(state, 0));
    return multiClass === "ovo" ? pairwise(state, average === "weighted") : averageOverClasses(state, average, rocArea);
  });
}

/** Options of `averagePrecision`. */
export interface AveragePrecisionOptions {
  readonly name?: string;
  /** For scores `[N, C]`, each class against the rest. Default `macro`. */
  readonly average?: "macro" | "weighted" | "micro";
}

/**
 * Average precision, the area under the precision-recall curve as a step function: `Σ (Rₙ − Rₙ₋₁) Pₙ` over the thresholds.
 * As scikit-learn's `average_precision_score`; 0 where there is no positive.
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 1, 1], "int32"), yPred: HostArray.from([0.5, 0.4, 0.9]) };
 * measure(averagePrecision(), batch); // 0.8333333333333333
 */
export function averagePrecision(options: AveragePrecisionOptions = {}): Metric<ScoresState> {
  const { average = "macro" } = options;
  return scoresMetric(options.name ?? "average_precision", (state) =>
    state.width === 1 ? precisionArea(questionOf(state, 0)) : averageOverClasses(state, average, precisionArea),
  );
}

/** Points of an ROC curve from the highest threshold (Infinity: nothing is positive) down. */
export interface RocCurve {
  readonly falsePositiveRate: readonly number[];
  readonly truePositiveRate: readonly number[];
  readonly thresholds: readonly number[];
}

/** The ROC curve of one score per sample, one point per distinct score. Rates are NaN where their class is missing. */
export function rocCurve(options: { readonly name?: string } = {}): Metric<ScoresState, RocCurve> {
  const name = options.name ?? "roc_curve";
  return scoresMetric(name, (state) => {
    const { truePositives: tp, falsePositives: fp, thresholds } = single(name, state);
    return {
      falsePositiveRate: [0, ...fp].map((x) => x / fp.at(-1)!),
      truePositiveRate: [0, ...tp].map((x) => x / tp.at(-1)!),
      thresholds: [Infinity, ...thresholds],
    };
  });
}

/** Points of a precision-recall curve from the lowest threshold up; the last point (1, 0) has no threshold. */
export interface PrecisionRecallCurve {
  readonly precision: readonly number[];
  readonly recall: readonly number[];
  readonly thresholds: readonly number[];
}

/** The precision-recall curve of one score per sample. Recall is 1 where there is no positive. */
export function precisionRecallCurve(
  options: { readonly name?: string } = {},
): Metric<ScoresState, PrecisionRecallCurve> {
  const name = options.name ?? "precision_recall_curve";
  return scoresMetric(name, (state) => {
    const { truePositives: tp, falsePositives: fp, thresholds } = single(name, state);
    const positives = tp.at(-1)!;
    return {
      precision: [1, ...tp.map((t, i) => t / (t + fp[i]!))].reverse(),
      recall: [0, ...tp.map((t) => (positives === 0 ? 1 : t / positives))].reverse(),
      thresholds: [...thresholds].reverse(),
    };
  });
}

interface Question {
  readonly score: readonly number[];
  readonly positive: readonly boolean[];
  readonly weight: readonly number[];
}

function scoresMetric<R>(name: string, result: (state: ScoresState) => R): Metric<ScoresState, R> {
  const append = (into: ScoresState, from: ScoresState): void => {
    if (into.width !== 0 && from.width !== 0 && into.width !== from.width) {
      throw new DataError(name, `the number of scores per sample changed: received ${from.width} after ${into.width}`);
    }
    if (from.width !== 0) into.width = from.width;
    for (const key of ["truth", "weight", "scores"] as const) for (const x of from[key]) into[key].push(x);
  };
  return {
    name,
    initial: () => ({ width: 0, truth: [], weight: [], scores: [] }),
    update(state, batch) {
      const rows = readRows(name, batch);
      if (rows.layout === "labels") {
        throw new DataError(name, "needs scores: received integer predictions", {
          hint: "give the model's probabilities or logits",
        });
      }
      const scores: number[] = [];
      for (const row of rows.index)
        for (let c = 0; c < rows.width; c++) scores.push(rows.scores[row * rows.width + c]!);
      append(state, { width: rows.width, truth: [...rows.truth], weight: [...rows.weight], scores });
    },
    merge: append,
    result(state) {
      if (state.truth.length === 0) throw empty(name);
      return result(state);
    },
  };
}

// "Is it class c?" for every sample; with one score per sample, "is it class 1?".
function questionOf(state: ScoresState, c: number): Question {
  const positive = state.width === 1 ? 1 : c;
  return {
    score: state.truth.map((_, i) => state.scores[i * state.width + c]!),
    positive: state.truth.map((label) => label === positive),
    weight: state.weight,
  };
}

function single(name: string, state: ScoresState): Points {
  if (state.width !== 1) {
    throw new DataError(name, `is for one score per sample: received ${state.width}`, {
      hint: "give the column of one class",
    });
  }
  const { score, positive, weight } = questionOf(state, 0);
  return curve(score, positive, weight);
}

function rocArea({ score, positive, weight }: Question): number {
  return area(curve(score, positive, weight));
}

function precisionArea({ score, positive, weight }: Question): number {
  return averageOf(curve(score, positive, weight));
}

function averageOverClasses(
  state: ScoresState,
  average: "macro" | "weighted" | "micro",
  value: (question: Question) => number,
): number {
  const questions = Array.from({ length: state.width }, (_, c) => questionOf(state, c));
  if (average === "micro") {
    const all = {
      score: questions.flatMap((q) => q.score),
      positive: questions.flatMap((q) => q.positive),
      weight: questions.flatMap((q) => q.weight),
    };
    return value(all);
  }
  let sum = 0;
  let weights = 0;
  for (const question of questions) {
    const frequency = exactTotal(question.weight.filter((_, i) => question.positive[i] === true));
    const weight = average === "macro" ? 1 : frequency;
    if (weight === 0) continue;
    sum += weight * value(question);
    weights += weight;
  }
  return sum / weights;
}

// Mean over pairs of classes that are true somewhere: a against b by a's score, b against a by b's, averaged.
function pairwise(state: ScoresState, byFrequency: boolean): number {
  const classes = [...new Set(state.truth)].sort((a, b) => a - b);
  let sum = 0;
  let weights = 0;
  for (const [i, a] of classes.entries()) {
    for (const b of classes.slice(i + 1)) {
      const members = state.truth.flatMap((label, row) => (label === a || label === b ? [row] : []));
      const weight = members.map((row) => state.weight[row]!);
      const of = (c: number): number =>
        rocArea({
          score: members.map((row) => state.scores[row * state.width + c]!),
          positive: members.map((row) => state.truth[row] === c),
          weight,
        });
      const share = byFrequency ? exactTotal(weight) : 1;
      sum += (share * (of(a) + of(b))) / 2;
      weights += share;
    }
  }
  return sum / weights;
}
