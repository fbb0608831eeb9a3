// Options of fit, evaluate and predict, with Keras's names and defaults.
import { join } from "node:path";
import { ArgumentError, CheckpointError } from "../../../engine/core/index.ts";
import type { Dataset, JsonValue } from "../../../data/index.ts";
import type { Callback, Snapshot } from "../callback.ts";
import { modelCheckpoint, type ModelCheckpointOptions } from "../callbacks/index.ts";
import { CheckpointStore } from "../checkpoint.ts";
import { progressBar } from "../progress.ts";
import { RUN_FILES, runLog } from "../run-log.ts";
import type { TrainState } from "../state.ts";
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
  readonly validationData?: readonly [x: ArraysInput, y: ArraysInput, sampleWeight?: ArraysInput] | Dataset;
  readonly validationBatchSize?: number;
  /** Factor of the loss of each class number. */
  readonly classWeight?: { readonly [label: number]: number };
  /** Factor of the loss of each sample. */
  readonly sampleWeight?: ArraysInput;
  readonly callbacks?: readonly Callback[];
  readonly verbose?: Verbose;
  /** A folder for everything about the run: config.json, metrics.jsonl, event files, checkpoints/. */
  readonly run?: string;
  /** When to save, and where if there is no `run`: see `modelCheckpoint`. */
  readonly checkpoint?: ModelCheckpointOptions & { readonly folder?: string };
  /** Go on from the newest intact checkpoint, if there is one. */
  readonly resume?: boolean;
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
  options: FitOptions,
  { state, config }: { readonly state: TrainState; readonly config: JsonValue | undefined },
): Promise<{ callbacks: readonly Callback[]; resume?: Snapshot }> {
  const { verbose = "auto", callbacks = [], run, checkpoint, resume = false } = options;
  const folder = checkpoint?.folder ?? (run === undefined ? undefined : join(run, RUN_FILES.checkpoints));
  if (resume && folder === undefined)
    throw new ArgumentError("fit", "`resume` needs a `run` or `checkpoint.folder` to go on from");
  const all: Callback[] = [...callbacks];
  if (verbose !== 0) all.push(progressBar({ verbose: verbose === "auto" ? 1 : verbose }));
  if (run !== undefined) all.push(runLog(run, config === undefined ? {} : { config: { model: config } }));
  // Saved last: a checkpoint holds what all others did.
  if (folder !== undefined)
    all.push(modelCheckpoint(folder, { ...checkpoint, ...(config === undefined ? {} : { config }) }));
  const loaded = folder === undefined ? undefined : await newest(folder, state, resume);
  return { callbacks: all, ...(loaded === undefined ? {} : { resume: loaded }) };
}

async function newest(folder: string, state: TrainState, resume: boolean): Promise<Snapshot | undefined> {
  const store = new CheckpointStore(folder);
  const last = (await store.steps()).at(-1);
  if (last === undefined) return undefined;
  if (!resume) {
    // A second fit of the same model goes on in the same folder; a new model must not mix its checkpoints with old ones.
    if (last <= state.step.item()) return undefined;
    throw new CheckpointError(folder, `there are checkpoints of an earlier run, up to step ${last}`, {
      hint: "resume: true goes on from there; or give another folder",
    });
  }
  const loaded = await store.latest(state);
  for (const reason of loaded?.skipped ?? []) process.stderr.write(`${reason}; the checkpoint before it is used\n`);
  return loaded?.snapshot;
}
