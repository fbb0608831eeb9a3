// How sure a measured value is: Wilson's interval for a share, and the bootstrap for any metric.
import { ArgumentError, DataError, foldIn, randomBits, type HostKey } from "../../engine/core/index.ts";
import { measure, type Metric, type MetricBatch } from "./metric.ts";

/** An interval around an estimate. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson's score interval for `hits` of `total` (an accuracy and its test-set size):
 * `(p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n)`.
 *
 * It stays in [0, 1] and holds for small samples and shares near 0 or 1. Source: Wilson (1927).
 *
 * @example
 * wilsonInterval(913, 1000); // { estimate: 0.913, low: 0.8939…, high: 0.9289… }
 */
export function wilsonInterval(hits: number, total: number, options: { readonly confidence?: number } = {}): Interval {
  const where = "wilsonInterval";
  if (!(total > 0 && total < Infinity)) throw new ArgumentError(where, `\`total\` must be above 0: received ${total}`);
  if (!(hits >= 0 && hits <= total)) throw new ArgumentError(where, `\`hits\` is in [0, ${total}]: received ${hits}`);
  const z = normalQuantile(0.5 + checkConfidence(where, options.confidence) / 2);
  const p = hits / total;
  const z2 = (z * z) / total;
  const middle = p + z2 / 2;
  const reach = Math.sqrt(z2 * (p * (1 - p) + z2 / 4));
  return {
    estimate: p,
    low: hits === 0 ? 0 : Math.max(0, (middle - reach) / (1 + z2)),
    high: hits === total ? 1 : Math.min(1, (middle + reach) / (1 + z2)),
  };
}

/** Options of `bootstrapInterval`. */
export interface BootstrapOptions {
  /** Decides which samples are drawn: equal keys give equal intervals. */
  readonly key: HostKey;
  /** Number of resamples. Default 1000. */
  readonly resamples?: number;
  /** Default 0.95. */
  readonly confidence?: number;
}

/** A bootstrap interval; `undefinedResamples` were left out because the metric is NaN for them (no positives, say). */
export interface BootstrapInterval extends Interval {
  readonly undefinedResamples: number;
}

/**
 * Percentile bootstrap: the metric of samples drawn with replacement, many times; its quantiles are the interval.
 *
 * Samples are rows of the first axis. Source: Efron & Tibshirani, "An introduction to the bootstrap" (1993), chapter 13.
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 1, 1, 0], "int32"), yPred: HostArray.from([0.2, 0.9, 0.4, 0.1]) };
 * bootstrapInterval(accuracy(), batch, { key: keyOf(0) }); // { estimate: 0.75, low: 0.25, high: 1, undefinedResamples: 0 }
 */
export function bootstrapInterval<S>(
  metric: Metric<S>,
  batch: MetricBatch,
  options: BootstrapOptions,
): BootstrapInterval {
  const where = "bootstrapInterval";
  const { key, resamples = 1000 } = options;
  const confidence = checkConfidence(where, options.confidence);
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw new ArgumentError(where, `\`resamples\` is a whole number from 1: received ${resamples}`);
  }
  const estimate = measure(metric, batch);
  const count = batch.yPred.shape[0]!;
  const values: number[] = [];
  for (let r = 0; r < resamples; r++) {
    const bits = randomBits(foldIn(key, r), 2 * count);
    const rows = Uint32Array.from({ length: count }, (_, i) => {
      const unit = (bits[2 * i]! * 2 ** 21 + (bits[2 * i + 1]! >>> 11)) * 2 ** -53;
      return Math.floor(unit * count);
    });
    const value = measure(metric, {
      yTrue: batch.yTrue.takeRows(rows),
      yPred: batch.yPred.takeRows(rows),
      sampleWeight: batch.sampleWeight?.takeRows(rows),
    });
    if (!Number.isNaN(value)) values.push(value);
  }
  if (values.length === 0)
    throw new DataError(where, `${metric.name} is not defined for any of the ${resamples} resamples`);
  values.sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return {
    estimate,
    low: quantile(values, tail),
    high: quantile(values, 1 - tail),
    undefinedResamples: resamples - values.length,
  };
}

/**
 * The z with `P(Z ≤ z) = p` for a standard normal Z, to a relative error of about 1e-15.
 * Source: Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (1988).
 *
 * @example
 * normalQuantile(0.975); // 1.9599639845400536
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new ArgumentError("normalQuantile", `\`p\` is between 0 and 1: received ${p}`);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(CENTER, 0.180625 - q * q);
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  return Math.sign(q) * (r <= 5 ? ratio(SHOULDER, r - 1.6) : ratio(TAIL, r - 5));
}

type Polynomials = readonly [above: readonly number[], below: readonly number[]];

const CENTER: Polynomials = [
  [
    3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457,
    67265.770927008700853, 33430.575583588128105, 2509.0809287301226727,
  ],
  [
    1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867, 39307.89580009271061,
    28729.085735721942674, 5226.495278852854561,
  ],
];
const SHOULDER: Polynomials = [
  [
    1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
    1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4,
  ],
  [
    1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459,
    0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9,
  ],
];
const TAIL: Polynomials = [
  [
    6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123,
    0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
  ],
  [
    1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525, 7.868691311456132591e-4,
    1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15,
  ],
];

function ratio([above, below]: Polynomials, x: number): number {
  const horner = (coefficients: readonly number[]): number => coefficients.reduceRight((sum, c) => sum * x + c, 0);
  return horner(above) / horner(below);
}

// Linear between order statistics, as NumPy's default.
function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (at - below);
}

function checkConfidence(where: string, confidence = 0.95): number {
  if (!(confidence > 0 && confidence < 1)) {
    throw new ArgumentError(where, `\`confidence\` is between 0 and 1: received ${confidence}`);
  }
  return confidence;
}
