// Sampler and loader: the order of samples is a function of (seed, epoch, position) and of nothing else.
import { ArgumentError, foldIn, keyOf, permutation } from "../../engine/core/index.ts";
import type { Batch, Dataset, SyncDataset } from "./dataset.ts";

/** How an epoch is cut into batches. */
export interface SamplerOptions {
  readonly batchSize: number;
  /** Key of the order; default 0. */
  readonly seed?: number;
  /** A new order in every epoch (default), or the order of the dataset. */
  readonly shuffle?: boolean;
  /** Leave out a last batch that is smaller than the others; default false: it is kept. */
  readonly dropLast?: boolean;
}

/** The order of samples of each epoch. */
export interface Sampler {
  readonly length: number;
  readonly batchSize: number;
  readonly batchesPerEpoch: number;
  /** Samples seen in an epoch: all of them, or less with `dropLast`. */
  readonly samplesPerEpoch: number;
  /** The numbers of all samples in the order of an epoch. */
  order(epoch: number): Uint32Array;
  /** The numbers of the batch that begins after `position` samples of an epoch, or of `batches` of them in a row. */
  indices(epoch: number, position: number, batches?: number): Uint32Array;
}

/** One step of an epoch. */
export interface Loaded<B extends Batch = Batch> {
  readonly batch: B;
  /** Numbers of the samples in the dataset. */
  readonly indices: Uint32Array;
  /** Samples of the epoch used up with this batch: what to save, and where to go on. */
  readonly position: number;
}

/** What to load. */
export interface LoaderOptions extends SamplerOptions {
  /** Default 0. */
  readonly epoch?: number;
  /** Samples of the epoch that were already used; default 0. */
  readonly position?: number;
}

/**
 * The order of samples: epoch e is `permutation(foldIn(keyOf(seed), e), length)`.
 *
 * @example
 * sampler(10, { batchSize: 4 }).batchesPerEpoch; // 3, the last with 2 samples
 */
export function sampler(length: number, options: SamplerOptions): Sampler {
  const { batchSize, seed = 0, shuffle = true, dropLast = false } = options;
  checkCount("length", length, 1);
  checkCount("batchSize", batchSize, 1);
  if (dropLast && batchSize > length) {
    throw new ArgumentError("sampler", `\`dropLast\` leaves nothing of ${length} samples with batches of ${batchSize}`);
  }
  const samplesPerEpoch = dropLast ? length - (length % batchSize) : length;
  const key = keyOf(seed);
  let asTheyCome: Uint32Array | undefined;
  let known: { readonly epoch: number; readonly order: Uint32Array } | undefined;
  const order = (epoch: number): Uint32Array => {
    checkCount("epoch", epoch, 0);
    if (!shuffle) return (asTheyCome ??= Uint32Array.from({ length }, (_, i) => i));
    if (known?.epoch !== epoch) known = { epoch, order: permutation(foldIn(key, epoch), length) };
    return known.order;
  };
  return {
    length,
    batchSize,
    samplesPerEpoch,
    batchesPerEpoch: Math.ceil(samplesPerEpoch / batchSize),
    order: (epoch) => order(epoch).slice(),
    indices(epoch, position, batches = 1) {
      checkCount("position", position, 0);
      return order(epoch).slice(position, Math.min(position + batches * batchSize, samplesPerEpoch));
    },
  };
}

/**
 * The batches of one epoch, from `position` on.
 *
 * Positions count samples. Starting at the `position` of a batch gives exactly the batches that followed it.
 *
 * @example
 * const data = arrayDataset({ x: HostArray.from([[1], [2], [3]]) });
 * let seen = 0;
 * for await (const { batch } of loader(data, { batchSize: 2, seed: 1, epoch: 0 })) seen += batch.x.shape[0]!;
 * seen; // 3
 */
export async function* loader<B extends Batch>(
  dataset: Dataset<B>,
  options: LoaderOptions,
): AsyncGenerator<Loaded<B>, void, undefined> {
  for (const { indices, position } of plan(dataset.length, options)) {
    yield { batch: await dataset.batch(indices), indices, position };
  }
}

/** As `loader`, for a dataset whose batches are there at once. */
export function* syncLoader<B extends Batch>(
  dataset: SyncDataset<B>,
  options: LoaderOptions,
): Generator<Loaded<B>, void, undefined> {
  for (const { indices, position } of plan(dataset.length, options)) {
    yield { batch: dataset.batch(indices), indices, position };
  }
}

function* plan(length: number, options: LoaderOptions): Generator<{ indices: Uint32Array; position: number }> {
  const { epoch = 0, position: start = 0 } = options;
  const order = sampler(length, options);
  checkCount("position", start, 0);
  if (start > order.samplesPerEpoch) {
    throw new ArgumentError("loader", `\`position\` is at most ${order.samplesPerEpoch}: received ${start}`);
  }
  for (let position = start; position < order.samplesPerEpoch;) {
    const indices = order.indices(epoch, position);
    position += indices.length;
    yield { indices, position };
  }
}

function checkCount(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least || value >= 2 ** 32) {
    throw new ArgumentError("sampler", `\`${name}\` is a whole number ≥ ${least}: received ${value}`);
  }
}
