// TensorBoard: event files of a run, in the folders and under the tags Keras uses.
import { join } from "node:path";
import { ArgumentError } from "../../../engine/core/index.ts";
import type { Callback, Logs } from "../callback.ts";
import { EventWriter, type ScalarEvent } from "../tfevents.ts";

/**
 * Writes values for TensorBoard: `<folder>/train` and `<folder>/validation`, tags `epoch_loss`, `epoch_accuracy`, …, and
 * with `updateFreq` "batch" or a number of batches also `batch_loss`, …
 *
 * @example
 * await model.fit(x, y, { callbacks: [tensorBoard("logs")] }); // then: tensorboard --logdir logs
 */
export function tensorBoard(
  folder: string,
  options: { readonly updateFreq?: "epoch" | "batch" | number } = {},
): Callback {
  const { updateFreq = "epoch" } = options;
  const every = updateFreq === "epoch" ? 0 : updateFreq === "batch" ? 1 : updateFreq;
  if (!Number.isSafeInteger(every) || every < 0) {
    throw new ArgumentError(
      "tensorBoard",
      `\`updateFreq\` is "epoch", "batch" or a number of batches: received ${String(updateFreq)}`,
    );
  }
  let writers: { readonly train: EventWriter; validation: EventWriter | undefined } | undefined;
  const write = (prefix: string, logs: Logs, step: number): void => {
    const [train, validation]: [ScalarEvent[], ScalarEvent[]] = [[], []];
    for (const [name, value] of Object.entries(logs)) {
      if (name.startsWith("val_")) validation.push({ tag: `${prefix}_${name.slice(4)}`, value });
      else train.push({ tag: `${prefix}_${name}`, value });
    }
    writers!.train.scalars(step, train);
    if (validation.length > 0) writers!.validation ??= new EventWriter(join(folder, "validation"));
    writers!.validation?.scalars(step, validation);
  };
  return {
    name: "tensorBoard",
    last: true,
    onTrainBegin() {
      writers = { train: new EventWriter(join(folder, "train")), validation: undefined };
    },
    batchesUntilDue: (run) => (every > 0 ? every - (run.step % every) : Infinity),
    onBatchEnd(_, logs, run) {
      if (every > 0 && run.step % every === 0) write("batch", { ...logs }, run.step);
    },
    onEpochEnd(epoch, logs, run) {
      write("epoch", { learning_rate: run.learningRate, ...logs }, epoch);
    },
    onTrainEnd() {
      writers?.train.close();
      writers?.validation?.close();
      writers = undefined;
    },
  };
}
