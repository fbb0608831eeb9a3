// Preparing arrays: one-hot labels, scaling to a range, and normalisation that is fitted on training data only.
import {
  ArgumentError,
  DataError,
  HostArray,
  IndexError,
  normalizeAxis,
  ShapeError,
  sizeOf,
} from "../../engine/core/index.ts";

/**
 * One-hot rows of integer labels [...] → float32 [..., classes]: 1 at the label, 0 elsewhere.
 *
 * Errors: IndexError for a label that is no whole number from 0 to classes − 1.
 *
 * @example
 * oneHot(HostArray.from([2, 0], "int32"), 3).toNested(); // [[0, 0, 1], [1, 0, 0]]
 */
export function oneHot(labels: HostArray, classes: number): HostArray<"float32"> {
  if (!Number.isSafeInteger(classes) || classes < 1) {
    throw new ArgumentError("oneHot", `\`classes\` is a whole number ≥ 1: received ${classes}`);
  }
  const out = new HostArray("float32", [...labels.shape, classes]);
  for (let i = 0; i < labels.size; i++) {
    const label = labels.get(i);
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new IndexError("oneHot", `label ${label} at ${i} is outside 0 to ${classes - 1}`);
    }
    out.data[i * classes + label] = 1;
  }
  return out;
}

/**
 * x · scale + offset as float32, as Keras's `Rescaling`; pixels become [0, 1] with a scale of 1/255.
 *
 * @example
 * rescale(HostArray.from([0, 255], "uint8"), 1 / 255).toFlat(); // [0, 1]
 */
export function rescale(x: HostArray, scale: number, offset: number = 0): HostArray<"float32"> {
  const out = new HostArray("float32", x.shape);
  for (let i = 0; i < x.size; i++) out.data[i] = x.get(i) * scale + offset;
  return out;
}

/** Mean and standard deviation of training data, to apply to any data. */
export interface Normalizer {
  /** One value for each index of the kept axis; a single one without it. */
  readonly mean: Float64Array;
  readonly std: Float64Array;
  /** Indices whose values were all equal: they become 0, their standard deviation counts as 1. */
  readonly constant: readonly number[];
  /** (x − mean) / std as float32; the kept axis must have the size it had when fitted. */
  apply(x: HostArray): HostArray<"float32">;
}

/**
 * Fits mean and standard deviation (population: divided by n) over all axes but one, as Keras's `Normalization`.
 *
 * `axis` is the kept axis (default −1: one mean per feature or channel); `null` keeps none. Fit on the training part
 * only: statistics of test data leak it. Sums are in float64, in two passes.
 * Errors: DataError without samples or with NaN or infinity, ShapeError for an axis that does not exist.
 *
 * @example
 * const normal = fitNormalizer(HostArray.from([[1], [3]])); // on the training data, applied to both
 * normal.apply(HostArray.from([[5]])).toNested(); // [[3]]
 */
export function fitNormalizer(x: HostArray, options: { readonly axis?: number | null } = {}): Normalizer {
  const axis = options.axis === undefined ? -1 : options.axis;
  if (x.size === 0) throw new DataError("fitNormalizer", `there is nothing to fit: received ${x.toString()}`);
  const groups = groupsOf(x, axis);
  const mean = new Float64Array(groups.count);
  const std = new Float64Array(groups.count);
  const n = x.size / groups.count;
  for (let i = 0; i < x.size; i++) {
    const value = x.get(i);
    if (!Number.isFinite(value)) throw new DataError("fitNormalizer", `element ${i} is ${value}`);
    mean[groups.of(i)]! += value;
  }
  mean.forEach((sum, g) => (mean[g] = sum / n));
  for (let i = 0; i < x.size; i++) std[groups.of(i)]! += (x.get(i) - mean[groups.of(i)]!) ** 2 / n;
  const constant: number[] = [];
  for (let g = 0; g < groups.count; g++) {
    std[g] = Math.sqrt(std[g]!);
    // Equal values leave rounding noise of the mean, not exactly zero.
    if (std[g]! <= 1e-12 * Math.abs(mean[g]!)) {
      std[g] = 1;
      constant.push(g);
    }
  }
  return { mean, std, constant, apply: (data) => applyNormalizer(data, axis, { mean, std }) };
}

function applyNormalizer(
  x: HostArray,
  axis: number | null,
  fitted: { mean: Float64Array; std: Float64Array },
): HostArray<"float32"> {
  const groups = groupsOf(x, axis);
  if (groups.count !== fitted.mean.length) {
    throw new ShapeError("normalize", `fitted on ${fitted.mean.length} features: received ${x.toString()}`);
  }
  const out = new HostArray("float32", x.shape);
  for (let i = 0; i < x.size; i++) {
    const g = groups.of(i);
    out.data[i] = (x.get(i) - fitted.mean[g]!) / fitted.std[g]!;
  }
  return out;
}

/** Which index of the kept axis an element of the flat data belongs to. */
function groupsOf(x: HostArray, axis: number | null): { count: number; of: (element: number) => number } {
  if (axis === null) return { count: 1, of: () => 0 };
  const kept = normalizeAxis("normalize", axis, x.shape.length);
  const count = x.shape[kept]!;
  const inner = sizeOf(x.shape.slice(kept + 1));
  return { count, of: (element) => Math.floor(element / inner) % count };
}
