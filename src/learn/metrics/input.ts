// Reads a batch: which layout it has, the rows that count, their labels and weights; refuses what cannot be measured.
import {
  ArgumentError,
  DataError,
  formatType,
  IndexError,
  isFloat,
  sameShape,
  ShapeError,
  sizeOf,
  type HostArray,
  type Shape,
} from "../../engine/core/index.ts";
import { LARGEST } from "./exact-sum.ts";
import type { MetricBatch } from "./metric.ts";

/**
 * How predictions and answers lie:
 * - `labels`: integer predictions, one per position;
 * - `binary`: one score per position, answers 0 or 1;
 * - `sparse`: scores `[…, C]`, answers `[…]` or `[…, 1]`;
 * - `oneHot`: scores and answers `[…, C]`.
 */
export type Layout = "labels" | "binary" | "sparse" | "oneHot";

/** Which layouts a metric takes; `auto` decides by the shapes as Keras's "accuracy" does. */
export type LayoutChoice = "auto" | "binary" | "sparse" | "categorical";

/** The rows of a batch that have a weight. */
export interface Rows {
  readonly layout: Layout;
  /** Scores per row: C, or 1 for `labels` and `binary`. */
  readonly width: number;
  /** Number of classes where the layout tells it, else `undefined`. */
  readonly classes: number | undefined;
  /** Row numbers in the flat arrays. */
  readonly index: Int32Array;
  /** Class of each row. */
  readonly truth: Int32Array;
  readonly weight: Float64Array;
  /** Flat predictions and answers of the whole batch. */
  readonly scores: ArrayLike<number>;
  readonly answers: ArrayLike<number>;
}

/** Rows of a classification batch. */
export function readRows(where: string, batch: MetricBatch, choice: LayoutChoice = "auto"): Rows {
  const { yTrue, yPred } = batch;
  const layout = layoutOf(where, yTrue, yPred, choice);
  const wide = layout === "sparse" || layout === "oneHot";
  const width = wide ? yPred.shape.at(-1)! : 1;
  const positions = wide ? yPred.shape.slice(0, -1) : squeeze(yPred.shape);
  const scores = numbersOf(yPred);
  const answers = numbersOf(yTrue);
  const { index, weight } = weighted(where, batch.sampleWeight, positions);
  const classes = layout === "labels" ? undefined : layout === "binary" ? 2 : width;
  const truth = new Int32Array(index.length);
  for (let i = 0; i < index.length; i++) {
    const row = index[i]!;
    for (let c = row * width; c < (row + 1) * width; c++) checkNumber(where, "yPred", scores[c]!, c);
    truth[i] =
      layout === "oneHot" ? hottest(where, answers, row, width) : labelOf(where, "yTrue", answers[row]!, row, classes);
  }
  return { layout, width, classes, index, truth, weight, scores, answers };
}

/** Class of each row by the model: the label, the score against the threshold, or the largest score (first of equals). */
export function predictedClasses(where: string, rows: Rows, threshold: number): Int32Array {
  const { index, scores, width, layout } = rows;
  const out = new Int32Array(index.length);
  for (let i = 0; i < index.length; i++) {
    const row = index[i]!;
    if (layout === "labels") out[i] = labelOf(where, "yPred", scores[row]!, row, undefined);
    else if (layout === "binary") out[i] = scores[row]! > threshold ? 1 : 0;
    else out[i] = argmax(scores, row * width, width);
  }
  return out;
}

/** Numbers to predict: `[N]` or `[N, …outputs]`, both of the same shape. */
export interface Pairs {
  readonly outputs: number;
  readonly index: Int32Array;
  readonly weight: Float64Array;
  readonly truth: ArrayLike<number>;
  readonly predicted: ArrayLike<number>;
}

/** Rows of a regression batch. `[N]` and `[N, 1]` mean the same; nothing else is stretched. */
export function readPairs(where: string, batch: MetricBatch): Pairs {
  const { yTrue, yPred } = batch;
  const shape = squeeze(yPred.shape);
  if (!sameShape(squeeze(yTrue.shape), shape)) throw mismatch(where, yTrue, yPred, "numbers of the same shape");
  if (shape.length === 0) throw mismatch(where, yTrue, yPred, "at least one axis of samples");
  const outputs = sizeOf(shape.slice(1));
  const truth = numbersOf(yTrue);
  const predicted = numbersOf(yPred);
  const { index, weight } = weighted(where, batch.sampleWeight, shape.slice(0, 1));
  for (const row of index) {
    for (let i = row * outputs; i < (row + 1) * outputs; i++) {
      checkNumber(where, "yTrue", truth[i]!, i);
      checkNumber(where, "yPred", predicted[i]!, i);
    }
  }
  return { outputs, index, weight, truth, predicted };
}

/** First index of the largest of `width` numbers from `start`, relative to `start`. */
export function argmax(values: ArrayLike<number>, start: number, width: number): number {
  let best = 0;
  for (let c = 1; c < width; c++) if (values[start + c]! > values[start + best]!) best = c;
  return best;
}

/** Refuses a threshold that is not a number. */
export function checkThreshold(where: string, threshold: number): void {
  if (!Number.isFinite(threshold))
    throw new ArgumentError(where, `\`threshold\` must be a number: received ${threshold}`);
}

/** What a metric throws when it has seen nothing. */
export function empty(where: string): DataError {
  return new DataError(where, "no sample with a weight above 0 was seen", {
    hint: "update the metric with at least one sample",
  });
}

function layoutOf(where: string, yTrue: HostArray, yPred: HostArray, choice: LayoutChoice): Layout {
  if (yPred.shape.length === 0) throw mismatch(where, yTrue, yPred, "at least one axis of samples");
  const single = sameShape(squeeze(yTrue.shape), squeeze(yPred.shape));
  const last = yPred.shape.at(-1)!;
  const wide = yPred.shape.length > 1 && last > 1;
  const sparse =
    wide &&
    (sameShape(yTrue.shape, yPred.shape.slice(0, -1)) || sameShape(yTrue.shape, [...yPred.shape.slice(0, -1), 1]));
  switch (choice) {
    case "binary":
      if (single) return isFloat(yPred.dtype) ? "binary" : "labels";
      throw mismatch(where, yTrue, yPred, "one score for each answer");
    case "categorical":
      if (wide && sameShape(yTrue.shape, yPred.shape)) return "oneHot";
      throw mismatch(
        where,
        yTrue,
        yPred,
        "one-hot answers and scores, both […, classes]",
        "for integer labels use the sparse variant",
      );
    case "sparse":
      if (sparse) return "sparse";
      throw mismatch(
        where,
        yTrue,
        yPred,
        "labels […] and scores […, classes]",
        "for one-hot answers use the categorical variant",
      );
    case "auto":
      if (!isFloat(yPred.dtype)) {
        if (single) return "labels";
        throw mismatch(where, yTrue, yPred, "one predicted label (integers) for each answer");
      }
      if (single) return wide ? "oneHot" : "binary";
      if (sparse) return "sparse";
      throw mismatch(
        where,
        yTrue,
        yPred,
        "labels […] or one-hot answers […, classes] with scores […, classes], or one score for each answer",
      );
  }
}

function weighted(
  where: string,
  weights: HostArray | undefined,
  positions: Shape,
): { index: Int32Array; weight: Float64Array } {
  const count = sizeOf(positions);
  if (weights === undefined)
    return { index: Int32Array.from({ length: count }, (_, i) => i), weight: new Float64Array(count).fill(1) };
  let shape = weights.shape;
  while (shape.length > positions.length && shape.at(-1) === 1) shape = shape.slice(0, -1);
  if (shape.length === 0 || !sameShape(shape, positions.slice(0, shape.length))) {
    const wanted = `[${positions.join(",")}] or its first axes`;
    throw new ShapeError(where, `sampleWeight does not fit: expected ${wanted}, received ${formatType(weights)}`);
  }
  const repeat = sizeOf(positions.slice(shape.length));
  const index = new Int32Array(count);
  const weight = new Float64Array(count);
  let kept = 0;
  for (let i = 0; i < weights.size; i++) {
    const w = weights.get(i);
    if (!(w >= 0) || w > LARGEST)
      throw new DataError(where, `weights are finite and not negative: received ${w} at ${i} of sampleWeight`);
    if (w === 0) continue;
    for (let j = i * repeat; j < (i + 1) * repeat; j++) {
      index[kept] = j;
      weight[kept++] = w;
    }
  }
  return { index: index.subarray(0, kept), weight: weight.subarray(0, kept) };
}

function labelOf(where: string, name: string, value: number, row: number, classes: number | undefined): number {
  if (!Number.isInteger(value)) {
    throw new DataError(where, `a label is a whole number: received ${value} at row ${row} of ${name}`, {
      hint:
        name === "yTrue"
          ? "for numbers to predict use meanSquaredError; for one-hot rows give scores of the same shape"
          : "give scores as floats, labels as integers",
    });
  }
  if (value < 0 || value >= (classes ?? 2 ** 26)) {
    const range = classes === undefined ? "not negative" : `in 0 … ${classes - 1}`;
    throw new IndexError(where, `labels are ${range}: received ${value} at row ${row} of ${name}`, {
      hint: "give positions without a label the sample weight 0",
    });
  }
  return value;
}

function hottest(where: string, answers: ArrayLike<number>, row: number, width: number): number {
  let sum = 0;
  for (let c = row * width; c < (row + 1) * width; c++) {
    checkNumber(where, "yTrue", answers[c]!, c);
    if (answers[c]! < 0)
      throw new DataError(where, `one-hot answers are not negative: received ${answers[c]} at row ${row} of yTrue`);
    sum += answers[c]!;
  }
  if (sum === 0) throw new DataError(where, `row ${row} of yTrue names no class: all its ${width} entries are 0`);
  return argmax(answers, row * width, width);
}

function checkNumber(where: string, name: string, value: number, position: number): void {
  if (!(Math.abs(value) <= LARGEST)) throw new DataError(where, `${name} holds ${value} at flat position ${position}`);
}

function numbersOf(array: HostArray): ArrayLike<number> {
  const { dtype } = array;
  if (dtype === "bfloat16" || dtype === "float16" || dtype === "int64" || dtype === "uint64")
    return array.cast("float64").data;
  return array.data as ArrayLike<number>;
}

// [N, 1] means [N]; a lone [1] stays.
function squeeze(shape: Shape): Shape {
  return shape.length > 1 && shape.at(-1) === 1 ? shape.slice(0, -1) : shape;
}

function mismatch(where: string, yTrue: HostArray, yPred: HostArray, wanted: string, hint?: string): ShapeError {
  const problem = `expected ${wanted}: received yTrue ${formatType(yTrue)}, yPred ${formatType(yPred)}`;
  return new ShapeError(where, problem, hint === undefined ? {} : { hint });
}
