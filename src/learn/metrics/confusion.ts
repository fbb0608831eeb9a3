// Counts of (true class, predicted class): the state behind precision, recall, F1, kappa, Matthews and the confusion matrix.
import { ArgumentError, DataError, IndexError } from "../../engine/core/index.ts";
import { add, addSum, valueOf, type ExactSum } from "./exact-sum.ts";
import { checkThreshold, empty, predictedClasses, readRows } from "./input.ts";
import type { Metric, MetricBatch } from "./metric.ts";

/** Exact weight of each cell that occurred, under the key `"true,predicted"`. */
export interface ConfusionState {
  readonly cells: { [cell: string]: ExactSum };
}

/** Options of every metric made from predicted classes. */
export interface ClassOptions {
  readonly name?: string;
  /** Number of classes: then all of them count. Without it, those that occur as truth or prediction. */
  readonly classes?: number;
  /** A single score above this counts as class 1. Default 0.5. */
  readonly threshold?: number;
  /** Each entry of `[N, C]` is a yes/no question of its own (several labels per sample). Default false. */
  readonly elementwise?: boolean;
}

/** What the formulas need. Position `i` of the lists belongs to class `labels[i]`; labels ascend. */
export interface Confusion {
  readonly labels: readonly number[];
  /** Weight of samples whose class was right, per class. */
  readonly hit: readonly number[];
  /** Weight of samples that are of the class. */
  readonly truth: readonly number[];
  /** Weight of samples that were predicted to be of the class. */
  readonly predicted: readonly number[];
  readonly total: number;
  /** The cells that occurred, as positions in `labels`. */
  readonly cells: readonly { readonly truth: number; readonly predicted: number; readonly weight: number }[];
}

/** A metric that is a function of the confusion counts. */
export function confusionMetric<R>(
  name: string,
  options: ClassOptions,
  formula: (confusion: Confusion) => R,
): Metric<ConfusionState, R> {
  const { threshold = 0.5, classes, elementwise = false } = options;
  checkThreshold(name, threshold);
  if (classes !== undefined && (!Number.isInteger(classes) || classes < 1)) {
    throw new ArgumentError(name, `\`classes\` is a whole number from 1: received ${classes}`);
  }
  return {
    name,
    initial: () => ({ cells: {} }),
    update(state, batch) {
      for (const [cell, weight] of count(name, batch, { threshold, classes, elementwise })) {
        addSum((state.cells[cell] ??= []), weight);
      }
    },
    merge(into, from) {
      for (const [cell, weight] of Object.entries(from.cells)) addSum((into.cells[cell] ??= []), weight);
    },
    result: (state) => formula(summarize(name, state, classes)),
  };
}

/** Options of `confusionMatrix`. */
export interface ConfusionMatrixOptions extends ClassOptions {
  /** Divide by the row sum (`truth`), the column sum (`predicted`) or the total (`all`); an empty row or column gives 0. */
  readonly normalize?: "truth" | "predicted" | "all";
}

/** Rows are true classes, columns predicted ones. */
export interface ConfusionMatrix {
  readonly labels: readonly number[];
  readonly matrix: readonly (readonly number[])[];
}

/**
 * The confusion matrix: `matrix[i][j]` is the weight of samples of class `labels[i]` that were predicted as `labels[j]`.
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 1, 1], "int32"), yPred: HostArray.from([0, 1, 0], "int32") };
 * measure(confusionMatrix(), batch).matrix; // [[1, 0], [1, 1]]
 */
export function confusionMatrix(options: ConfusionMatrixOptions = {}): Metric<ConfusionState, ConfusionMatrix> {
  const name = options.name ?? "confusion_matrix";
  const { normalize } = options;
  return confusionMetric(name, options, (confusion) => {
    const { labels, truth, predicted, total } = confusion;
    if (labels.length > MATRIX_LIMIT) {
      throw new ArgumentError(
        name,
        `a matrix of ${labels.length} classes is too large to be shown: at most ${MATRIX_LIMIT}`,
        {
          hint: "use classificationReport or f1Score, which need no matrix",
        },
      );
    }
    const matrix = labels.map(() => new Array<number>(labels.length).fill(0));
    for (const cell of confusion.cells) {
      const by = { truth: truth[cell.truth]!, predicted: predicted[cell.predicted]!, all: total };
      matrix[cell.truth]![cell.predicted] = normalize === undefined ? cell.weight : cell.weight / by[normalize];
    }
    return { labels, matrix };
  });
}

const MATRIX_LIMIT = 4096;

function count(
  name: string,
  batch: MetricBatch,
  options: { threshold: number; classes: number | undefined; elementwise: boolean },
): Map<string, ExactSum> {
  const rows = readRows(name, batch, options.elementwise ? "binary" : "auto");
  const predicted = predictedClasses(name, rows, options.threshold);
  const bound = options.classes ?? Infinity;
  const cells = new Map<number, ExactSum>();
  for (let i = 0; i < predicted.length; i++) {
    const label = Math.max(rows.truth[i]!, predicted[i]!);
    if (label >= bound) {
      throw new IndexError(
        name,
        `\`classes\` is ${bound}, so labels are below it: received ${label} at row ${rows.index[i]!}`,
      );
    }
    const key = rows.truth[i]! * WIDTH + predicted[i]!;
    let cell = cells.get(key);
    if (cell === undefined) cells.set(key, (cell = []));
    add(cell, rows.weight[i]!);
  }
  return new Map([...cells].map(([key, weight]) => [`${Math.floor(key / WIDTH)},${key % WIDTH}`, weight]));
}

// Labels are below 2^26, so a pair of them is one exact number.
const WIDTH = 2 ** 26;

function summarize(name: string, state: ConfusionState, classes: number | undefined): Confusion {
  const found = Object.entries(state.cells).map(([cell, weight]) => {
    const [truth, predicted] = cell.split(",").map(Number);
    return { truth: truth!, predicted: predicted!, weight };
  });
  if (found.length === 0) throw empty(name);
  const present = new Set(found.flatMap((cell) => [cell.truth, cell.predicted]));
  const labels =
    classes === undefined ? [...present].sort((a, b) => a - b) : Array.from({ length: classes }, (_, i) => i);
  const position = new Map(labels.map((label, i) => [label, i]));
  const hit = labels.map(() => 0);
  const truth = labels.map((): ExactSum => []);
  const predicted = labels.map((): ExactSum => []);
  const total: ExactSum = [];
  const cells = found.map((cell) => {
    const t = position.get(cell.truth);
    const p = position.get(cell.predicted);
    if (t === undefined || p === undefined)
      throw new DataError(name, `the state holds class ${Math.max(cell.truth, cell.predicted)}`);
    addSum(truth[t]!, cell.weight);
    addSum(predicted[p]!, cell.weight);
    addSum(total, cell.weight);
    if (t === p) hit[t] = valueOf(cell.weight);
    return { truth: t, predicted: p, weight: valueOf(cell.weight) };
  });
  cells.sort((a, b) => a.truth - b.truth || a.predicted - b.predicted);
  return { labels, hit, truth: truth.map(valueOf), predicted: predicted.map(valueOf), total: valueOf(total), cells };
}
