// Options of fit, evaluate and predict, with Keras's names and defaults.
import type { Dataset } from "../../../data/index.ts";
import type { Callback, Snapshot } from "../callback.ts";
import type { HostBatch } from "../loop.ts";
import type { BaseModel } from "./base-model.ts";
import type { ArraysInput } from "./inputs.ts";

/** How much is shown: nothing, a bar for each epoch, a line for each epoch. "auto" is the bar. */
export type Verbose = "auto" | 0 | 1 | 2;

export interface FitOptions {
  /** Samples a step; default 32. */
  readonly batchSize?: number;
  /** The number of the epoch to stop before; default 1. */
  readonly epochs?: number;
  /** The number of the first epoch, for runs that go on; default 0. */
  readonly initialEpoch?: number;
  /** A new order of the samples in each epoch; default true. */
  readonly shuffle?: boolean;
  /** Part of the arrays, from their end, that is not trained on but measured after each epoch. */
  readonly validationSplit?: number;
  /** Other data measured after each epoch: `[x, y]`, `[x, y, sampleWeight]` or a dataset. */
  readonly validationData?: readonly [x: ArraysInput, y: ArraysInput, sampleWeight?: ArraysInput] | Dataset<HostBatch>;
  readonly validationBatchSize?: number;
  /** Factor of the loss of each class number. */
  readonly classWeight?: { readonly [label: number]: number };
  /** Factor of the loss of each sample. */
  readonly sampleWeight?: ArraysInput;
  readonly callbacks?: readonly Callback[];
  readonly verbose?: Verbose;
  /** Ends training after the batch under way. */
  readonly signal?: AbortSignal;
}

export interface EvaluateOptions {
  readonly batchSize?: number;
  readonly sampleWeight?: ArraysInput;
}

export interface PredictOptions {
  readonly batchSize?: number;
}

/** The callbacks of a call of fit, and where it goes on from. */
export async function fitCallbacks(
  _model: BaseModel,
  options: FitOptions,
): Promise<{ callbacks: readonly Callback[]; resume?: Snapshot }> {
  return { callbacks: options.callbacks ?? [] };
}
