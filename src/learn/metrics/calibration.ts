// Calibration: does "90 % sure" mean right nine times of ten? Reliability table and expected calibration error.
import { ArgumentError } from "../../engine/core/index.ts";
import { add, addSum, valueOf, type ExactSum } from "./exact-sum.ts";
import { argmax, empty } from "./input.ts";
import type { Metric, MetricBatch } from "./metric.ts";
import { probabilityRows } from "./probability.ts";

/** Per bin the exact sums of weight, confidence and right answers. */
export interface CalibrationState {
  readonly bins: { readonly weight: ExactSum; readonly confidence: ExactSum; readonly right: ExactSum }[];
}

/** Options of the calibration metrics. */
export interface CalibrationOptions {
  readonly name?: string;
  /** Number of bins of equal width over [0, 1]. Default 15. */
  readonly bins?: number;
}

/** One line of a reliability table. */
export interface ReliabilityBin {
  /** The bin holds confidences in (lower, upper]; the first one also 0. */
  readonly lower: number;
  readonly upper: number;
  /** Weight of the samples in it. */
  readonly weight: number;
  /** Mean confidence; NaN for an empty bin. */
  readonly confidence: number;
  /** Share of right answers (of class 1 for one score per sample); NaN for an empty bin. */
  readonly accuracy: number;
}

/**
 * Expected calibration error: `Σ_b (w_b / w) |accuracy_b − confidence_b|` over bins of equal width.
 *
 * For probabilities `[…, C]` the confidence is that of the most likely class, right if it is the answer; for one probability
 * per sample it is that of class 1, compared with how often class 1 is true. Source: Naeini et al. (2015); Guo et al. (2017).
 *
 * @example
 * measure(expectedCalibrationError(), { yTrue: HostArray.from([1], "int32"), yPred: HostArray.from([0.75]) }); // 0.25
 */
export function expectedCalibrationError(options: CalibrationOptions = {}): Metric<CalibrationState> {
  return calibration(options.name ?? "expected_calibration_error", options, (table) => {
    const used = table.filter((bin) => bin.weight > 0);
    const all = used.reduce((sum, bin) => sum + bin.weight, 0);
    return used.reduce((sum, bin) => sum + bin.weight * Math.abs(bin.accuracy - bin.confidence), 0) / all;
  });
}

/**
 * The reliability table behind the calibration error: one line per bin, empty bins included.
 *
 * @example
 * const batch = { yTrue: HostArray.from([1, 0], "int32"), yPred: HostArray.from([0.75, 0.25]) };
 * measure(reliabilityTable({ bins: 2 }), batch)[1]; // { lower: 0.5, upper: 1, weight: 1, confidence: 0.75, accuracy: 1 }
 */
export function reliabilityTable(
  options: CalibrationOptions = {},
): Metric<CalibrationState, readonly ReliabilityBin[]> {
  return calibration(options.name ?? "reliability_table", options, (table) => table);
}

function calibration<R>(
  name: string,
  { bins = 15 }: CalibrationOptions,
  finish: (table: ReliabilityBin[]) => R,
): Metric<CalibrationState, R> {
  if (!Number.isInteger(bins) || bins < 1)
    throw new ArgumentError(name, `\`bins\` is a whole number from 1: received ${bins}`);
  const initial = (): CalibrationState => ({
    bins: Array.from({ length: bins }, () => ({ weight: [], confidence: [], right: [] })),
  });
  const merge = (into: CalibrationState, from: CalibrationState): void => {
    if (into.bins.length !== from.bins.length) {
      throw new ArgumentError(name, `states have different bins: received ${into.bins.length} and ${from.bins.length}`);
    }
    into.bins.forEach((bin, b) => {
      for (const key of ["weight", "confidence", "right"] as const) addSum(bin[key], from.bins[b]![key]);
    });
  };
  return {
    name,
    initial,
    update(state, batch) {
      const seen = initial();
      for (const { weight, confidence, right } of judge(name, batch)) {
        const bin = seen.bins[binOf(confidence, bins)]!;
        add(bin.weight, weight);
        add(bin.confidence, weight * confidence);
        if (right) add(bin.right, weight);
      }
      merge(state, seen);
    },
    merge,
    result(state) {
      if (state.bins.every((bin) => bin.weight.length === 0)) throw empty(name);
      return finish(
        state.bins.map((bin, b) => {
          const weight = valueOf(bin.weight);
          return {
            lower: b / bins,
            upper: (b + 1) / bins,
            weight,
            confidence: valueOf(bin.confidence) / weight,
            accuracy: valueOf(bin.right) / weight,
          };
        }),
      );
    },
  };
}

function judge(name: string, batch: MetricBatch): { weight: number; confidence: number; right: boolean }[] {
  const rows = probabilityRows(name, batch, "auto");
  return Array.from(rows.index, (row, i) => {
    const weight = rows.weight[i]!;
    if (rows.layout === "binary") return { weight, confidence: rows.scores[row]!, right: rows.truth[i] === 1 };
    const best = argmax(rows.scores, row * rows.width, rows.width);
    return { weight, confidence: rows.scores[row * rows.width + best]!, right: best === rows.truth[i] };
  });
}

// How many inner edges b / bins lie below: an edge belongs to the bin under it.
function binOf(confidence: number, bins: number): number {
  let bin = Math.min(Math.max(Math.ceil(confidence * bins) - 1, 0), bins - 1);
  // The product may round across an edge; the edges themselves decide.
  while (bin > 0 && confidence <= bin / bins) bin--;
  while (bin < bins - 1 && confidence > (bin + 1) / bins) bin++;
  return bin;
}
