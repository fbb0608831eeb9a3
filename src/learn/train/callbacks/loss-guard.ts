// Guard against spikes: a batch whose loss is far above the last ones, or not finite, is left out, or the run is set back.
import { ArgumentError, checkRange, NumericError } from "../../../engine/core/index.ts";
import type { Callback, TrainRun } from "../callback.ts";
import { CheckpointStore } from "../checkpoint.ts";

export interface LossGuardOptions {
  /** Standard deviations above the mean of the window at which a loss is a spike; default 6. Infinity: only what is not finite. */
  readonly threshold?: number;
  /** The same for the norm of all gradients, before clipping; Infinity unless said. Needs `gradientNorm: true` of the step. */
  readonly normThreshold?: number;
  /** Losses looked back on; default 128. Until there are so many, only what is not finite is left out. */
  readonly window?: number;
  /**
   * "skip" leaves the batch out (default). "rollback" also sets weights and optimizer back to the last checkpoint in `folder`;
   * the place in the data stays, so what led to the spike does not come again.
   */
  readonly action?: "skip" | "rollback";
  /** Where the checkpoints are, for "rollback". */
  readonly folder?: string;
  /** Steps of checkpoints that may be gone back to are multiples of it: what `modelCheckpoint` has, so that a resumed run goes back to the same. */
  readonly everySteps?: number;
  /** More batches than this left out in a row end the run with an error; default 10. */
  readonly most?: number;
}

/**
 * Leaves out batches that would spoil a run: before each step the limit `mean + threshold · deviation` of the last losses is
 * handed to the step, which keeps its state where the loss is above. Needs `makeStep(…, { lossLimit: true })`. Everything
 * it knows is in its memory: a resumed run leaves out the same batches. They are noted, and kept in the run folder's
 * rejected.jsonl with the numbers of their samples. Sources: llm.c's outlier detector for the z-score over 128 steps; PaLM (Chowdhery et al. 2022, section 5.1) for going back and
 * passing over the data that led to a spike.
 *
 * @example
 * callbacks: [lossGuard({ threshold: 6 })]
 */
export function lossGuard(options: LossGuardOptions = {}): Callback {
  const {
    threshold = 6,
    normThreshold = Infinity,
    window = 128,
    action = "skip",
    folder,
    everySteps = 1,
    most = 10,
  } = options;
  checkRange("lossGuard", "threshold", threshold, 0);
  checkRange("lossGuard", "normThreshold", normThreshold, 0);
  for (const [name, value] of Object.entries({ window, everySteps, most })) {
    if (!Number.isSafeInteger(value) || value < (name === "window" ? 2 : 1))
      throw new ArgumentError(
        "lossGuard",
        `\`${name}\` is a whole number ≥ ${name === "window" ? 2 : 1}: received ${value}`,
      );
  }
  if (action === "rollback" && folder === undefined)
    throw new ArgumentError("lossGuard", 'action "rollback" needs the `folder` of the checkpoints');
  let losses: number[] = [];
  let norms: number[] = [];
  let inARow = 0;
  let resumed = false;

  const back = async (run: TrainRun): Promise<string> => {
    const store = new CheckpointStore(folder!);
    const found = await store.latest(run.state, { only: (step) => step % everySteps === 0 });
    if (found === undefined) return "; there is no checkpoint to go back to yet";
    const from = run.step;
    [losses, norms] = [[], []]; // those of later weights say nothing about earlier ones
    // Later ones belong to what was given up; a resumed run must not go on from there.
    await store.removeAfter(found.step);
    await run.rollback(found.snapshot.state);
    return `; back from step ${from} to step ${found.step}`;
  };

  return {
    name: "lossGuard",
    onTrainBegin(run) {
      if (!resumed) [losses, norms, inARow] = [[], [], 0];
      resumed = false;
      if (threshold !== Infinity && !run.trainStep.lossLimit)
        throw new ArgumentError("lossGuard", "the step takes no limit of its loss", {
          hint: "makeStep(model, { lossLimit: true, … })",
        });
      if (normThreshold !== Infinity && !(run.trainStep.lossLimit && run.trainStep.gradientNorm))
        throw new ArgumentError("lossGuard", "the step takes no limit of its gradient norm", {
          hint: "makeStep(model, { lossLimit: true, gradientNorm: true, … })",
        });
      run.onNonFinite = "skip";
    },
    onBatchBegin(_, run) {
      if (threshold !== Infinity) run.lossLimit = limitOf(losses, { window, threshold });
      if (normThreshold !== Infinity) run.normLimit = limitOf(norms, { window, threshold: normThreshold });
    },
    onBatchEnd(_, __, run) {
      losses.push(run.batchLoss);
      if (losses.length > window) losses.shift();
      if (normThreshold !== Infinity) norms.push(run.batchGradientNorm);
      if (norms.length > window) norms.shift();
      inARow = 0;
    },
    async onRejected({ epoch, batch, indices, problem }, run) {
      const [first, last] = [indices[0], indices.at(-1)];
      const place = `epoch ${epoch + 1}, batch ${batch} (samples ${indices.length === 1 ? first : `${first} … ${last}`})`;
      if (++inARow > most) {
        throw new NumericError(
          "lossGuard",
          `${inARow} batches in a row were left out, the last in ${place}: ${problem}`,
          {
            hint: "the run has come off its way: try a smaller learning rate, or go on from an earlier checkpoint",
          },
        );
      }
      const done = action === "rollback" ? await back(run) : "";
      run.note(`${place} is left out: ${problem}${done}`);
    },
    save: () => ({ values: { losses, inARow, ...(normThreshold === Infinity ? {} : { norms }) } }),
    load({ values }) {
      const saved = values as { losses: number[]; norms?: number[]; inARow: number };
      [losses, norms, inARow] = [[...saved.losses], [...(saved.norms ?? [])], saved.inARow];
      resumed = true;
    },
  };
}

// Above this a loss, or a norm, is a spike; Infinity until the window is full. Summed anew each time: the same numbers, the same limit.
function limitOf(losses: readonly number[], { window, threshold }: { window: number; threshold: number }): number {
  if (losses.length < window) return Infinity;
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / window;
  const variance = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / (window - 1);
  return mean + threshold * Math.sqrt(variance);
}
