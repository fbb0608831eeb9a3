// What the training loop is given and what it gives back.
import type { HostArray, Tree } from "../../engine/core/index.ts";
import type { Dataset } from "../../data/index.ts";
import type { Callback, Evaluated, History, Logs, Snapshot } from "./callback.ts";
import type { Measures } from "./measures.ts";
import type { StepBatch } from "./objective.ts";
import type { TrainState } from "./state.ts";
import type { TrainStep } from "./step.ts";

/** A batch on the host: inputs, the answers of each output, weights of the samples for each output where there are any. */
export type HostBatch = {
  readonly x: Tree<HostArray>;
  readonly y: readonly HostArray[];
  readonly weights?: readonly HostArray[];
};

/** All samples at once: where the device reads them, and on the host. */
export interface Resident {
  readonly data: StepBatch;
  readonly host: HostBatch;
}

/** When to evaluate, and how. */
export interface Evaluation {
  /** After every so many steps. */
  readonly everySteps: number;
  /** Values by name, `val_loss` and the like; see `tokenEvaluation`. */
  readonly evaluate: (state: TrainState) => Promise<Logs>;
}

export interface TrainOptions {
  readonly step: TrainStep;
  readonly state: TrainState;
  readonly dataset: Dataset<HostBatch>;
  /** Copies a batch to the device, in the dtypes the model takes. */
  readonly upload: (batch: HostBatch) => StepBatch;
  /** The dataset's arrays, where the device can read them as they are: it then gathers batches itself, several a call. */
  readonly resident?: Resident | undefined;
  /** Loss and metrics of an epoch. */
  readonly measures: Measures;
  /** The number of the epoch to stop before; default 1, or as many as `maxSteps` needs. */
  readonly epochs?: number;
  /** Ends the run when the state has so many updates, in the middle of an epoch too. */
  readonly maxSteps?: number;
  /** Values of other data every so many steps and after the last one: what callbacks hear in `onEvaluation`. */
  readonly evaluation?: Evaluation;
  /** The number of the first epoch; default 0. */
  readonly initialEpoch?: number;
  /** Default 32. */
  readonly batchSize?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Values of other data after each epoch, added to the logs. */
  readonly validate?: (state: TrainState) => Promise<Logs>;
  readonly callbacks?: readonly Callback[];
  /** Told of each new state; the one before is used up. */
  readonly onState?: (state: TrainState) => void;
  /** Where an interrupted run stood; its state must be `state`. */
  readonly resume?: Snapshot;
  /** Ends the run after the batch under way. */
  readonly signal?: AbortSignal;
}

export interface TrainResult {
  readonly state: TrainState;
  readonly history: History;
  /** What was evaluated after which step, over all parts of a resumed run. */
  readonly evaluations: readonly Evaluated[];
  /** Why it ended early, if it did. */
  readonly stopped: string | undefined;
}
