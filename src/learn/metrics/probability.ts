// How good predicted probabilities are: log loss (cross-entropy), perplexity, Brier score.
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import { readRows, type LayoutChoice, type Rows } from "./input.ts";
import { meanMetric, type MeanState } from "./mean.ts";
import type { Metric, MetricBatch } from "./metric.ts";

/** Options of `logLoss` and `perplexity`. */
export interface LogLossOptions {
  readonly name?: string;
  /** The scores are logits (one per class, or one for class 1), not probabilities. */
  readonly fromLogits?: boolean;
  /** Probabilities are kept in `[ε, 1 − ε]`. Default: 2⁻⁵² for float64 and 2⁻²³ for narrower floats, as scikit-learn; Keras: 1e-7. */
  readonly epsilon?: number;
  /** `binary` treats each entry of `[N, C]` as a yes/no question of its own. Default `auto`, by the shapes. */
  readonly layout?: LayoutChoice;
}

/**
 * Log loss, the mean negative log-likelihood in nats: `−Σ w ln p(y) / Σ w`; with soft answers `[…, C]`, `−Σ w Σ_c y_c ln p_c / Σ w`.
 *
 * Takes one probability of class 1 per sample, or `[…, C]`. As scikit-learn's `log_loss`.
 *
 * @example
 * measure(logLoss(), { yTrue: HostArray.from([1], "int32"), yPred: HostArray.from([[0.5, 0.5]]) }); // 0.6931471805599453
 */
export function logLoss(options: LogLossOptions = {}): Metric<MeanState> {
  const name = options.name ?? "log_loss";
  checkEpsilon(name, options.epsilon);
  return meanMetric(name, (batch) => negativeLogLikelihood(name, batch, options));
}

/**
 * Perplexity `exp(mean negative log-likelihood)`: among how many equally likely tokens the model hesitates; 1 is certainty.
 *
 * Takes labels `[…]` and scores `[…, vocabulary]`, logits unless `fromLogits: false`. Give positions that do not count
 * (padding, prompt) the sample weight 0.
 *
 * @example
 * measure(perplexity(), { yTrue: HostArray.from([1], "int32"), yPred: HostArray.from([[0, 0, 0, 0]]) }); // 4
 */
export function perplexity(options: LogLossOptions = {}): Metric<MeanState> {
  const name = options.name ?? "perplexity";
  checkEpsilon(name, options.epsilon);
  const withLogits = { ...options, fromLogits: options.fromLogits ?? true };
  return meanMetric(name, (batch) => negativeLogLikelihood(name, batch, withLogits), Math.exp);
}

/**
 * Brier score: mean squared distance of the probabilities from the answer: `(p − y)²` for one probability per sample (0 to 1),
 * `Σ_c (p_c − [c = y])²` for `[…, C]` (0 to 2).
 *
 * @example
 * measure(brierScore(), { yTrue: HostArray.from([1], "int32"), yPred: HostArray.from([0.5]) }); // 0.25
 */
export function brierScore(options: { readonly name?: string } = {}): Metric<MeanState> {
  const name = options.name ?? "brier_score";
  return meanMetric(name, (batch) => {
    const rows = probabilityRows(name, batch, "auto");
    const value = Float64Array.from(rows.index, (row, i) => {
      if (rows.layout === "binary") return (rows.scores[row]! - rows.truth[i]!) ** 2;
      let sum = 0;
      for (let c = 0; c < rows.width; c++) sum += (rows.scores[row * rows.width + c]! - answer(rows, i, c)) ** 2;
      return sum;
    });
    return { value, weight: rows.weight };
  });
}

/** Rows whose scores are probabilities: in [0, 1], and adding up to 1 (within 1 %) where there is one per class. */
export function probabilityRows(where: string, batch: MetricBatch, layout: LayoutChoice): Rows {
  const rows = scoreRows(where, batch, layout);
  for (const row of rows.index) {
    let sum = 0;
    for (let at = row * rows.width; at < (row + 1) * rows.width; at++) {
      const p = rows.scores[at]!;
      // A softmax in float32 may end a rounding above 1.
      if (p < 0 || p > 1 + 1e-6)
        throw new DataError(where, `a probability is in [0, 1]: received ${p} at row ${row} of yPred`, {
          hint: LOGITS,
        });
      sum += p;
    }
    if (rows.width > 1 && Math.abs(sum - 1) > 0.01) {
      throw new DataError(where, `the probabilities of a row add up to 1: received ${sum} at row ${row} of yPred`, {
        hint: LOGITS,
      });
    }
  }
  return rows;
}

const LOGITS = "apply a softmax or sigmoid to logits first, or set fromLogits where the metric has it";

function negativeLogLikelihood(
  name: string,
  batch: MetricBatch,
  options: LogLossOptions,
): { value: Float64Array; weight: Float64Array } {
  const { fromLogits = false, layout = "auto" } = options;
  const epsilon = options.epsilon ?? (batch.yPred.dtype === "float64" ? 2 ** -52 : 2 ** -23);
  const rows = fromLogits ? scoreRows(name, batch, layout) : probabilityRows(name, batch, layout);
  const clip = (p: number): number => Math.min(Math.max(p, epsilon), 1 - epsilon);
  const { scores, width, truth } = rows;
  const value = Float64Array.from(rows.index, (row, i) => {
    if (rows.layout === "binary") {
      const s = scores[row]!;
      if (fromLogits) return softplus(truth[i] === 1 ? -s : s);
      return -Math.log(clip(truth[i] === 1 ? s : 1 - s));
    }
    const start = row * width;
    const normalizer = fromLogits ? logSumExp(scores, start, width) : 0;
    const surprise = (c: number): number =>
      fromLogits ? normalizer - scores[start + c]! : -Math.log(clip(scores[start + c]!));
    if (rows.layout === "sparse") return surprise(truth[i]!);
    let sum = 0;
    for (let c = 0; c < width; c++) if (answer(rows, i, c) !== 0) sum += answer(rows, i, c) * surprise(c);
    return sum;
  });
  return { value, weight: rows.weight };
}

function scoreRows(where: string, batch: MetricBatch, layout: LayoutChoice): Rows {
  const rows = readRows(where, batch, layout);
  if (rows.layout === "labels") {
    throw new DataError(where, "needs scores: received integer predictions", {
      hint: "give the model's probabilities or logits",
    });
  }
  return rows;
}

function answer(rows: Rows, i: number, c: number): number {
  return rows.layout === "oneHot" ? rows.answers[rows.index[i]! * rows.width + c]! : rows.truth[i] === c ? 1 : 0;
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function logSumExp(values: ArrayLike<number>, start: number, width: number): number {
  let largest = -Infinity;
  for (let c = start; c < start + width; c++) largest = Math.max(largest, values[c]!);
  let sum = 0;
  for (let c = start; c < start + width; c++) sum += Math.exp(values[c]! - largest);
  return largest + Math.log(sum);
}

function checkEpsilon(name: string, epsilon: number | undefined): void {
  if (epsilon !== undefined && !(epsilon >= 0 && epsilon < 0.5)) {
    throw new ArgumentError(name, `\`epsilon\` is in [0, 0.5): received ${epsilon}`);
  }
}
