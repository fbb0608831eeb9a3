// Dataset: what a training loop consumes. Rows by number in, a batch of host arrays out.
import { DataError, HostArray, IndexError, leaves, mapTree, ShapeError, type Tree } from "../../engine/core/index.ts";

/** A tree of arrays whose first axis counts the samples: `{ x, y }`, `{ x: { image, text }, y }`, … */
export type Batch = Tree<HostArray>;

/**
 * Samples that can be taken by number.
 *
 * `batch(indices)` gives the samples with these numbers, in this order; it must be a function of the indices alone, so
 * that a resumed run sees the same data.
 */
export interface Dataset<B extends Batch = Batch> {
  readonly length: number;
  batch(indices: Uint32Array): B | Promise<B>;
}

/** A dataset whose batches are there at once. */
export interface SyncDataset<B extends Batch = Batch> extends Dataset<B> {
  batch(indices: Uint32Array): B;
}

/** A dataset over arrays in memory. */
export interface ArrayDataset<B extends Batch = Batch> extends SyncDataset<B> {
  readonly arrays: B;
}

/** Whether a node of a tree is an array. */
export function isHostArray(x: unknown): x is HostArray {
  return x instanceof HostArray;
}

/**
 * A dataset over arrays in memory: any tree of arrays with the same number of rows.
 *
 * Errors: DataError without rows or arrays, ShapeError where the numbers of rows differ, IndexError in `batch`.
 *
 * @example
 * const data = arrayDataset({ x: HostArray.from([[1, 2], [3, 4]]), y: HostArray.from([0, 1], "int32") });
 * data.batch(Uint32Array.of(1)).x.toNested(); // [[3, 4]]
 */
export function arrayDataset<B extends Batch>(arrays: B): ArrayDataset<B> {
  const length = countRows(arrays);
  return {
    arrays,
    length,
    batch(indices) {
      checkIndices("arrayDataset", indices, length);
      return mapTree(arrays, isHostArray, (array) => array.takeRows(indices)) as B;
    },
  };
}

/** The samples of a dataset with these numbers, in this order, as a dataset. */
export function subset<B extends Batch>(dataset: SyncDataset<B>, indices: Uint32Array): SyncDataset<B>;
export function subset<B extends Batch>(dataset: Dataset<B>, indices: Uint32Array): Dataset<B>;
export function subset<B extends Batch>(dataset: Dataset<B>, indices: Uint32Array): Dataset<B> {
  checkIndices("subset", indices, dataset.length);
  if (indices.length === 0) throw new DataError("subset", "no samples are left");
  return {
    length: indices.length,
    batch(wanted) {
      checkIndices("subset", wanted, indices.length);
      return dataset.batch(wanted.map((i) => indices[i]!));
    },
  };
}

/** Number of rows that all arrays of a tree share. */
export function countRows(arrays: Batch): number {
  const all = leaves(arrays, isHostArray);
  const first = all[0];
  if (first === undefined) throw new DataError("dataset", "there are no arrays");
  for (const [path, array] of all) {
    if (array.shape.length === 0) throw new ShapeError("dataset", `\`${path}\` is a scalar: it has no rows`);
    if (array.shape[0] !== first[1].shape[0]) {
      const rows = all.map(([name, { shape }]) => `${name} ${shape[0]}`).join(", ");
      throw new ShapeError("dataset", `arrays differ in their number of rows: received ${rows}`);
    }
  }
  const rows = first[1].shape[0]!;
  if (rows === 0) throw new DataError("dataset", "there are no samples: the arrays have no rows");
  return rows;
}

function checkIndices(where: string, indices: Uint32Array, length: number): void {
  for (let i = 0; i < indices.length; i++) {
    if (indices[i]! >= length)
      throw new IndexError(where, `sample ${indices[i]} does not exist: received ${length} samples`);
  }
}
