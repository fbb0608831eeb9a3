// Early stopping: ends training when a value has not become better for some epochs, and can bring back the best weights.
import { ArgumentError, type HostArray } from "../../../engine/core/index.ts";
import { tensor } from "../../../engine/tensor/index.ts";
import type { TensorMap } from "../../optim/index.ts";
import type { Callback, TrainRun } from "../callback.ts";
import { valuesOf } from "../state.ts";
import { Monitor, type MonitorOptions } from "./monitor.ts";

export interface EarlyStoppingOptions extends MonitorOptions {
  /** Epochs without a better value that are borne; default 0. */
  readonly patience?: number;
  /** A value that must be beaten for an epoch to count as better. */
  readonly baseline?: number;
  /** Whether the weights of the best epoch come back at the end; default false, as in Keras. */
  readonly restoreBestWeights?: boolean;
  /** Epochs before which nothing is watched; default 0. */
  readonly startFromEpoch?: number;
}

/**
 * Ends training when the monitored value has not become better for `patience` epochs. Keras's rules.
 *
 * @example
 * await model.fit(x, y, { epochs: 100, validationSplit: 0.1, callbacks: [earlyStopping({ patience: 3, restoreBestWeights: true })] });
 */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  const { patience = 0, baseline, restoreBestWeights = false, startFromEpoch = 0 } = options;
  if (!Number.isSafeInteger(patience) || patience < 0) {
    throw new ArgumentError("earlyStopping", `\`patience\` is a whole number ≥ 0: received ${patience}`);
  }
  const monitor = new Monitor("earlyStopping", options);
  let wait = 0;
  let best: number | undefined;
  let bestEpoch = 0;
  let weights: { [path: string]: HostArray } | undefined;
  const keep = (run: TrainRun): void => {
    if (restoreBestWeights) {
      weights = Object.fromEntries(Object.entries(valuesOf(run.state)).map(([path, value]) => [path, value.host()]));
    }
  };
  let resumed = false;
  return {
    name: "earlyStopping",
    onTrainBegin() {
      if (!resumed) [wait, best, bestEpoch, weights] = [0, undefined, 0, undefined];
      resumed = false;
    },
    onEpochEnd(epoch, logs, run) {
      if (epoch < startFromEpoch) return;
      const value = monitor.read(logs);
      if (weights === undefined) {
        keep(run);
        bestEpoch = epoch;
      }
      wait++;
      if (monitor.better(value, best)) {
        best = value;
        bestEpoch = epoch;
        keep(run);
        if (baseline === undefined || monitor.better(value, baseline)) wait = 0;
        return;
      }
      if (wait >= patience && epoch > 0) {
        run.stop(`${monitor.name} has not become better for ${wait} epochs`);
        run.note(`epoch ${epoch + 1}: early stopping, ${monitor.name} was best in epoch ${bestEpoch + 1}`);
      }
    },
    onTrainEnd(_, run) {
      if (weights === undefined) return;
      const saved = weights;
      const bring = (map: TensorMap): TensorMap =>
        Object.fromEntries(
          Object.entries(map).map(([path, value]) => [path, tensor(saved[path]!, { dtype: value.dtype })]),
        );
      const { params, frozen, states } = run.state;
      run.state = { ...run.state, params: bring(params), frozen: bring(frozen), states: bring(states) };
    },
    save: () => ({
      values: { wait, best: best ?? null, bestEpoch },
      ...(weights === undefined ? {} : { tensors: weights }),
    }),
    load({ values, tensors }) {
      const saved = values as { wait: number; best: number | null; bestEpoch: number };
      [wait, best, bestEpoch] = [saved.wait, saved.best ?? undefined, saved.bestEpoch];
      weights = tensors === undefined || Object.keys(tensors).length === 0 ? undefined : { ...tensors };
      resumed = true;
    },
  };
}
