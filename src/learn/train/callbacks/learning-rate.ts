// Callbacks that change the learning rate: by a function of the epoch, or when a value stops becoming better.
import { ArgumentError, checkRange } from "../../../engine/core/index.ts";
import type { Callback } from "../callback.ts";
import { Monitor, type MonitorOptions } from "./monitor.ts";

/**
 * Sets the learning rate at the beginning of each epoch: `rate ← schedule(epoch, rate)`; Keras's `LearningRateScheduler`.
 * For a rate that changes with every step give the optimizer a schedule instead.
 *
 * @example
 * learningRateScheduler((epoch, rate) => (epoch < 10 ? rate : rate * 0.9));
 */
export function learningRateScheduler(schedule: (epoch: number, learningRate: number) => number): Callback {
  return {
    name: "learningRateScheduler",
    onEpochBegin(epoch, run) {
      run.learningRate = schedule(epoch, run.learningRate);
    },
    onEpochEnd(_, logs, run) {
      logs["learning_rate"] = run.learningRate;
    },
  };
}

export interface ReduceOnPlateauOptions extends MonitorOptions {
  /** `rate ← rate · factor`; default 0.1. */
  readonly factor?: number;
  /** Epochs without a better value before the rate is reduced; default 10. */
  readonly patience?: number;
  /** Epochs after a reduction in which nothing is counted; default 0. */
  readonly cooldown?: number;
  /** Default 0. */
  readonly minLearningRate?: number;
}

/** Multiplies the learning rate by a factor when the monitored value has stopped becoming better; Keras's `ReduceLROnPlateau`. */
export function reduceOnPlateau(options: ReduceOnPlateauOptions = {}): Callback {
  const { factor = 0.1, patience = 10, cooldown = 0, minLearningRate = 0 } = options;
  checkRange("reduceOnPlateau", "factor", factor, 0, 1);
  if (factor === 1) throw new ArgumentError("reduceOnPlateau", "`factor` must be below 1");
  const monitor = new Monitor("reduceOnPlateau", { minDelta: 1e-4, ...options });
  let [wait, rest] = [0, 0];
  let best: number | undefined;
  let resumed = false;
  return {
    name: "reduceOnPlateau",
    onTrainBegin() {
      if (!resumed) [wait, rest, best] = [0, 0, undefined];
      resumed = false;
    },
    onEpochEnd(epoch, logs, run) {
      logs["learning_rate"] = run.learningRate;
      const value = monitor.read(logs);
      if (rest > 0) {
        rest--;
        wait = 0;
      }
      if (monitor.better(value, best)) {
        best = value;
        wait = 0;
      } else if (rest === 0 && ++wait >= patience) {
        const old = run.learningRate;
        if (old <= minLearningRate) return;
        run.learningRate = Math.max(old * factor, minLearningRate);
        run.note(`epoch ${epoch + 1}: learning rate ${old} → ${run.learningRate}`);
        rest = cooldown;
        wait = 0;
      }
    },
    save: () => ({ values: { wait, rest, best: best ?? null } }),
    load({ values }) {
      const saved = values as { wait: number; rest: number; best: number | null };
      [wait, rest, best] = [saved.wait, saved.rest, saved.best ?? undefined];
      resumed = true;
    },
  };
}
