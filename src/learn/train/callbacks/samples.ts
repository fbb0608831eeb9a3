// Samples of a model while it trains: text, every so many steps, shown and kept in the run folder.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError } from "../../../engine/core/index.ts";
import { writeFileAtomic } from "../../../data/index.ts";
import type { Callback, TrainRun } from "../callback.ts";

export interface SamplesOptions {
  /** After every so many steps, and after the last one. */
  readonly everySteps: number;
  /** Makes the text. The state's Tensors are the live ones: read, do not keep them. */
  readonly sample: (run: TrainRun) => string | Promise<string>;
  /** Where `step-<n>.txt` is written; nowhere unless said. */
  readonly folder?: string;
}

/**
 * Shows what the model says after every so many steps. The sample must draw from keys of its own, so that training does not
 * depend on it.
 */
export function samples({ everySteps, sample, folder }: SamplesOptions): Callback {
  if (!Number.isSafeInteger(everySteps) || everySteps < 1)
    throw new ArgumentError("samples", `\`everySteps\` is a whole number ≥ 1: received ${everySteps}`);
  return {
    name: "samples",
    batchesUntilDue: (run) => everySteps - (run.step % everySteps),
    async onStepEnd(run) {
      if (run.step % everySteps !== 0 && run.step !== run.maxSteps) return;
      const text = await sample(run);
      run.note(`step ${run.step}:\n${text}`);
      if (folder === undefined) return;
      await mkdir(folder, { recursive: true });
      await writeFileAtomic(join(folder, `step-${run.step}.txt`), `${text}\n`);
    },
  };
}
