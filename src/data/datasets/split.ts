// Splitting a dataset in two: by fraction, shuffled from a key, with the classes in proportion if asked.
import { ArgumentError, foldIn, keyOf, permutation, ShapeError, type HostArray } from "../../engine/core/index.ts";
import { subset, type Batch, type Dataset, type SyncDataset } from "./dataset.ts";

/** How to split. */
export interface SplitOptions {
  /** Part of the samples that goes into the second set, between 0 and 1; their number is rounded. */
  readonly fraction: number;
  /** Default 0. */
  readonly seed?: number;
  /** False takes the second set from the end, as Keras's `validation_split` does; default true. */
  readonly shuffle?: boolean;
  /** One label a sample (integers, [n] or [n, 1]): each class is split in the same proportion. */
  readonly stratify?: HostArray;
}

/** Numbers of the samples of both sets, each in increasing order. */
export interface SplitIndices {
  readonly train: Uint32Array;
  readonly test: Uint32Array;
}

/**
 * Numbers 0 … n − 1 in two sets; round(n · fraction) go into `test`.
 *
 * With `stratify` the class c gets n_c · fraction of them, rounded by largest remainders so that the sum is exact.
 * Errors: ArgumentError where a set would be empty or options contradict, ShapeError for labels of another length.
 *
 * @example
 * splitIndices(10, { fraction: 0.2, seed: 1 }).test.length; // 2
 */
export function splitIndices(n: number, options: SplitOptions): SplitIndices {
  const { fraction, seed = 0, shuffle = true, stratify } = options;
  if (!(fraction > 0 && fraction < 1)) {
    throw new ArgumentError("split", `\`fraction\` is between 0 and 1: received ${fraction}`);
  }
  const count = Math.round(n * fraction);
  if (count === 0 || count === n) {
    throw new ArgumentError("split", `a fraction of ${fraction} of ${n} samples leaves one of the two sets empty`);
  }
  if (!shuffle) {
    if (stratify !== undefined) throw new ArgumentError("split", "`stratify` needs `shuffle`");
    const all = Uint32Array.from({ length: n }, (_, i) => i);
    return { train: all.slice(0, n - count), test: all.slice(n - count) };
  }
  const key = keyOf(seed);
  const test =
    stratify === undefined
      ? permutation(key, n).slice(0, count)
      : drawByClass(n, classesOf(stratify, n), {
          count,
          fraction,
          draw: (c, size) => permutation(foldIn(key, c), size),
        });
  const inTest = new Set(test);
  return { train: Uint32Array.from({ length: n }, (_, i) => i).filter((i) => !inTest.has(i)), test: test.sort() };
}

/** Splits a dataset; the first set has the rest, the second `fraction` of the samples. */
export function split<B extends Batch>(dataset: SyncDataset<B>, options: SplitOptions): Halves<SyncDataset<B>>;
export function split<B extends Batch>(dataset: Dataset<B>, options: SplitOptions): Halves<Dataset<B>>;
export function split<B extends Batch>(dataset: Dataset<B>, options: SplitOptions): Halves<Dataset<B>> {
  const { train, test } = splitIndices(dataset.length, options);
  return [subset(dataset, train), subset(dataset, test)];
}

/** The set to train on, and the rest. */
export type Halves<D> = [train: D, test: D];

/** Samples of each class, classes in the order of their labels. */
function classesOf(labels: HostArray, n: number): number[][] {
  if (labels.size !== n || labels.shape[0] !== n) {
    throw new ShapeError(
      "split",
      `\`stratify\` has one label a sample: received ${labels.toString()} for ${n} samples`,
    );
  }
  const classes = new Map<number, number[]>();
  for (let i = 0; i < n; i++) {
    const label = labels.get(i);
    const members = classes.get(label);
    if (members === undefined) classes.set(label, [i]);
    else members.push(i);
  }
  return [...classes].sort(([a], [b]) => a - b).map(([, members]) => members);
}

function drawByClass(
  n: number,
  classes: readonly number[][],
  how: { count: number; fraction: number; draw: (index: number, size: number) => Uint32Array },
): Uint32Array {
  const exact = classes.map((members) => (members.length * how.count) / n);
  const counts = exact.map(Math.floor);
  const missing = how.count - counts.reduce((a, b) => a + b, 0);
  // Largest remainders first; equal ones in the order of the classes.
  const byRemainder = exact.map((x, c) => [x - counts[c]!, c] as const).sort(([a, i], [b, j]) => b - a || i - j);
  for (const [, c] of byRemainder.slice(0, missing)) counts[c]!++;
  const chosen = classes.map((members, c) =>
    Array.from(how.draw(c, members.length).slice(0, counts[c]), (i) => members[i]!),
  );
  return Uint32Array.from(chosen.flat());
}
