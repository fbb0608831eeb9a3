// Callback: what may listen to a training run and change it. And what it sees: the run, its logs, its history.
import type { HostArray } from "../../engine/core/index.ts";
import type { JsonValue } from "../../data/index.ts";
import type { Module } from "../nn/index.ts";
import type { TrainState } from "./state.ts";
import type { TrainStep } from "./step.ts";

/** Values by name: `loss`, `accuracy`, `val_loss`, `learning_rate`, … */
export interface Logs {
  [name: string]: number;
}

/** What a callback remembers, for a checkpoint: a resumed run goes on as if it had never stopped. */
export interface CallbackMemory {
  readonly values: JsonValue;
  readonly tensors?: { readonly [name: string]: HostArray };
}

/**
 * Functions called while a model is trained; each may be left out, each may be async. Epochs and batches count from 0.
 *
 * @example
 * await model.fit(x, y, { callbacks: [{ onEpochEnd: (epoch, logs) => console.log(epoch, logs.loss) }] });
 */
export interface Callback {
  /** Names its memory in a checkpoint; needed only with `save`. */
  readonly name?: string;
  /** Called after the others at each event: it sees what they did. */
  readonly last?: boolean;
  onTrainBegin?(run: TrainRun): void | Promise<void>;
  onTrainEnd?(logs: Logs, run: TrainRun): void | Promise<void>;
  onEpochBegin?(epoch: number, run: TrainRun): void | Promise<void>;
  onEpochEnd?(epoch: number, logs: Logs, run: TrainRun): void | Promise<void>;
  onBatchBegin?(batch: number, run: TrainRun): void | Promise<void>;
  /** `logs` holds running values of the epoch, computed when read. */
  onBatchEnd?(batch: number, logs: Logs, run: TrainRun): void | Promise<void>;
  /** Values of other data, every so many steps: the option `evaluation` of the loop. */
  onEvaluation?(logs: Logs, run: TrainRun): void | Promise<void>;
  /** Called last of all after a step, evaluation included: what saves a run does it here. After several steps in one call, once. */
  onStepEnd?(run: TrainRun): void | Promise<void>;
  /** A batch that was not trained on: its loss or gradients were not finite, or its loss or their norm above `run.lossLimit` or `run.normLimit`. */
  onRejected?(rejection: Rejection, run: TrainRun): void | Promise<void>;
  /** The run was set back to an earlier step; the state is the one of that step already. */
  onRollback?(from: number, run: TrainRun): void | Promise<void>;
  /**
   * How many batches may go by until it must be called for one again; 1 without this. Then short steps run several at a
   * time: `onBatchBegin` is called for the first of them, `onBatchEnd` for the last.
   */
  batchesUntilDue?(run: TrainRun): number;
  /** Called before `onTrainEnd` where the run ends without the end of an epoch, or at `maxSteps`: the state is the last one trained. */
  onInterrupt?(run: TrainRun): void | Promise<void>;
  /** Told of lines for people; without any listener they go to stderr. */
  onNote?(line: string): void;
  save?(): CallbackMemory;
  load?(memory: CallbackMemory): void;
}

/** Values of each epoch, as Keras's History. */
export interface History {
  readonly epoch: number[];
  readonly history: { [name: string]: number[] };
}

/** Values of other data after a step. */
export interface Evaluated {
  readonly step: number;
  readonly values: Logs;
}

/** A batch that was left out. */
export interface Rejection {
  /** Updates done before it. */
  readonly step: number;
  /** Counted from 0. */
  readonly epoch: number;
  readonly batch: number;
  /** Samples of the epoch used up, this batch included: rises over a whole epoch, also where a run is set back. */
  readonly sample: number;
  /** Numbers of its samples in the dataset. */
  readonly indices: Uint32Array;
  readonly loss: number;
  readonly limit: number;
  /** NaN where it is not told. */
  readonly gradientNorm: number;
  /** What was wrong, for people. */
  readonly problem: string;
}

/** How far a call of the loop is, besides the state: plain JSON, so that a checkpoint can hold it. */
export interface Progress {
  /** The epoch under way, counted as the caller counts. */
  readonly epoch: number;
  /** Sums of the epoch under way. */
  readonly measures: JsonValue;
  readonly history: History;
  readonly callbacks: { readonly [name: string]: JsonValue };
  readonly evaluations?: readonly Evaluated[];
  /** Why the run was stopped for good, if it was. */
  readonly stopped?: string;
}

/** A whole run at one moment: what a checkpoint writes and a resumed run starts from. */
export interface Snapshot {
  readonly state: TrainState;
  readonly progress: Progress;
  /** Tensors of callbacks by `name/tensor`. */
  readonly tensors: { readonly [name: string]: HostArray };
}

/** The run as callbacks see it. */
export interface TrainRun {
  readonly module: Module<never, unknown>;
  readonly trainStep: TrainStep;
  /** The newest state. Replacing it changes what is trained next. */
  state: TrainState;
  /** Updates done since the state was made. */
  readonly step: number;
  /** The epoch under way, from `initialEpoch` to before `epochs`. */
  readonly epoch: number;
  readonly initialEpoch: number;
  /** Infinity where only `maxSteps` says the end. */
  readonly epochs: number;
  readonly maxSteps: number | undefined;
  readonly batchSize: number;
  readonly batchesPerEpoch: number;
  readonly history: History;
  /** The loss of the newest batch alone; NaN before the first one. */
  readonly batchLoss: number;
  /** The norm of all its gradients, before clipping; NaN where the step does not tell it. */
  readonly batchGradientNorm: number;
  /** The learning rate of the next step. Set it to change it; refused where a schedule says it. */
  learningRate: number;
  /** Ends the run after the present batch (from `onBatchEnd`) or epoch. */
  stop(reason: string): void;
  readonly stopped: string | undefined;
  /** What was evaluated after which step. */
  readonly evaluations: readonly Evaluated[];
  /** The newest values of `evaluation`, if they are of this very step. */
  readonly evaluated: Logs | undefined;
  /** Whether other data is evaluated every so many steps. */
  readonly evaluates: boolean;
  /** What happens to a batch whose loss or gradients are not finite, or above the limits: an error unless "stop" or "skip". */
  onNonFinite: "throw" | "stop" | "skip";
  /** The largest loss that is trained on; Infinity unless a callback sets it (the step must be made with `lossLimit`). */
  lossLimit: number;
  /** The same for the norm of all gradients (`lossLimit` and `gradientNorm`). */
  normLimit: number;
  /**
   * Weights, optimizer and step become those of an earlier state, while the place in the data stays: what was trained since is
   * forgotten, its batches do not come again.
   */
  rollback(state: TrainState): Promise<void>;
  /** Everything, to be saved: Tensors are still the live ones and must be read before the next step. */
  snapshot(): Snapshot;
  /** A line for people, shown above the progress bar. */
  note(line: string): void;
}

type Event = keyof Callback & `on${string}` extends infer E ? Exclude<E, "onNote"> : never;

/** Calls an event of all callbacks, one after the other, those marked `last` at the end. */
export async function notify(callbacks: readonly Callback[], event: Event, ...args: readonly unknown[]): Promise<void> {
  for (const late of [false, true]) {
    for (const callback of callbacks) {
      if ((callback.last ?? false) !== late) continue;
      const listener = callback[event] as ((...all: unknown[]) => void | Promise<void>) | undefined;
      const result = listener?.apply(callback, [...args]);
      if (result instanceof Promise) await result;
    }
  }
}

/** How many batches may go by before some callback must hear of one. */
export function batchesUntilDue(callbacks: readonly Callback[], run: TrainRun): number {
  return callbacks.reduce((least, callback) => {
    const { onBatchBegin, onBatchEnd, onStepEnd } = callback;
    if (onBatchBegin === undefined && onBatchEnd === undefined && onStepEnd === undefined) return least;
    return Math.min(least, callback.batchesUntilDue?.(run) ?? 1);
  }, Infinity);
}

/** Appends the logs of an epoch; a name that comes later is filled with NaN for the epochs before. */
export function record(history: History, epoch: number, logs: Logs): void {
  const before = history.epoch.length;
  history.epoch.push(epoch);
  for (const [name, value] of Object.entries(logs)) {
    (history.history[name] ??= new Array<number>(before).fill(NaN)).push(value);
  }
  for (const values of Object.values(history.history)) if (values.length === before) values.push(NaN);
}
