// Model checkpoint: saves the run while it goes on, every so many epochs or steps, and keeps the last and the best.
import { ArgumentError, checkRange } from "../../../engine/core/index.ts";
import type { JsonValue } from "../../../data/index.ts";
import type { Callback, Logs, TrainRun } from "../callback.ts";
import { CheckpointStore } from "../checkpoint.ts";
import { Monitor, type Mode } from "./monitor.ts";

export interface ModelCheckpointOptions {
  /** Save after every so many epochs; default 1, 0 never. */
  readonly everyEpochs?: number;
  /** Save also after every so many steps, in the middle of an epoch; default 0: never. */
  readonly everySteps?: number;
  /** Save also when so many seconds have gone by since the last time, after the step under way; default 0: never. */
  readonly everySeconds?: number;
  /** How many of the newest stay; default 3. */
  readonly keepLast?: number;
  /** The best by this value, of an epoch or of the loop's `evaluation`, is saved and stays too. */
  readonly monitor?: string;
  readonly mode?: Mode;
  /** Save at the end of an epoch only if the monitored value became better. */
  readonly saveBestOnly?: boolean;
  /** The model's configuration, saved beside its weights. */
  readonly config?: JsonValue;
}

/**
 * Saves whole runs into `folder/<step>/`: weights, optimizer, key, place in the data, what was measured so far. A run goes
 * on from there bit for bit: `fit(x, y, { checkpoint: { folder }, resume: true })`.
 * When a run is stopped early, or interrupted, its last state is saved too.
 */
export function modelCheckpoint(folder: string, options: ModelCheckpointOptions = {}): Callback {
  const {
    everyEpochs = 1,
    everySteps = 0,
    everySeconds = 0,
    keepLast,
    monitor: name,
    mode = "auto",
    saveBestOnly = false,
    config,
  } = options;
  for (const [key, value] of Object.entries({ everyEpochs, everySteps })) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new ArgumentError("modelCheckpoint", `\`${key}\` is a whole number ≥ 0: received ${value}`);
  }
  checkRange("modelCheckpoint", "everySeconds", everySeconds, 0);
  if (saveBestOnly && name === undefined)
    throw new ArgumentError("modelCheckpoint", "`saveBestOnly` needs a value to `monitor`");
  const monitor = name === undefined ? undefined : new Monitor("modelCheckpoint", { monitor: name, mode });
  const store = new CheckpointStore(folder, {
    ...(keepLast === undefined ? {} : { keepLast }),
    keepEvery: everySteps,
    ...(monitor === undefined ? {} : { keepBest: { monitor: monitor.name, mode: monitor.direction } }),
  });
  let best: number | undefined;
  let saved = -1;
  let time = performance.now();
  let resumed = false;
  const save = async (run: TrainRun, values: Logs = {}): Promise<void> => {
    await store.save(run.snapshot(), { values, ...(config === undefined ? {} : { config }) });
    saved = run.step;
    time = performance.now();
  };
  return {
    name: "modelCheckpoint",
    last: true,
    onTrainBegin(run) {
      if (!resumed) best = undefined;
      resumed = false;
      saved = run.step;
      time = performance.now();
    },
    batchesUntilDue: (run) => (everySteps === 0 ? Infinity : everySteps - (run.step % everySteps)),
    async onStepEnd(run) {
      const value = monitor === undefined ? undefined : run.evaluated?.[monitor.name];
      const better = value !== undefined && monitor!.better(value, best);
      if (better) best = value;
      // The last batch of an epoch is followed by the save of the epoch, if there is one.
      const ends = Math.ceil(run.state.position.sample / run.batchSize) === run.batchesPerEpoch;
      if (ends && everyEpochs > 0 && (run.epoch + 1) % everyEpochs === 0 && !saveBestOnly) return;
      const due = everySteps > 0 && run.step % everySteps === 0;
      const late = everySeconds > 0 && performance.now() - time >= 1000 * everySeconds;
      if (better || due || late) await save(run, run.evaluated ?? {});
    },
    async onEpochEnd(epoch, logs, run) {
      // A value of evaluations may have none at the end of an epoch; one that nobody tells is an error.
      const told = { ...run.evaluated, ...logs };
      const elsewhere = monitor !== undefined && !(monitor.name in told) && run.evaluates;
      const value = monitor === undefined || elsewhere ? undefined : monitor.read(told);
      const better = monitor === undefined || (value !== undefined && monitor.better(value, best));
      if (better && value !== undefined) best = value;
      const due = everyEpochs > 0 && (epoch + 1) % everyEpochs === 0;
      if (saveBestOnly ? better : due || run.stopped !== undefined) await save(run, { ...run.evaluated, ...logs });
    },
    async onInterrupt(run) {
      if (run.step !== saved && !saveBestOnly) await save(run, run.evaluated ?? {});
    },
    async onRollback(_, run) {
      // Later checkpoints are gone, and what was best among them.
      saved = run.step;
      if (monitor !== undefined) best = (await store.best())?.value;
    },
    save: () => ({ values: { best: best ?? null } }),
    load({ values }) {
      best = (values as { best: number | null }).best ?? undefined;
      resumed = true;
    },
  };
}
