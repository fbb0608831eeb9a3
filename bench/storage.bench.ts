// bfloat16 storage: memory of the state, time a step and the loss after 300 steps, against float32
import type { HostArray } from "chainrule";
import { checkRecipe, pretrain, recipePreset } from "chainrule/tasks";
import { stateArrays, type Callback } from "chainrule/train";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const about = "bfloat16 storage: memory of the state, time a step and the loss after 300 steps, against float32";

interface Row {
  readonly [column: string]: string | number;
}

const SETTINGS = [
  { weights: "float32", states: "float32", rounding: "stochastic" },
  { weights: "bfloat16", states: "float32", rounding: "stochastic" },
  { weights: "bfloat16", states: "bfloat16", rounding: "stochastic" },
  { weights: "bfloat16", states: "bfloat16", rounding: "nearest" },
] as const;

/** The recipe shakespeare-cpu, or `--preset`, with each storage; `--steps` 300, `--seeds` 1, `--rate` of the learning rate. */
export default async function measure(
  options: { steps?: string; seeds?: string; preset?: string; rate?: string } = {},
): Promise<Row[]> {
  const steps = Number(options.steps ?? 300);
  const rows: Row[] = [];
  for (const storage of SETTINGS) {
    for (let seed = 0; seed < Number(options.seeds ?? 1); seed++) {
      const out = mkdtempSync(join(tmpdir(), "chainrule-storage-"));
      const { training, ...preset } = recipePreset(options.preset ?? "shakespeare-cpu", out);
      const losses: number[] = [];
      const times: number[] = [];
      let bytes = 0;
      let last = performance.now();
      const watch: Callback = {
        name: "watch",
        onBatchEnd(_, __, run) {
          losses.push(run.batchLoss);
          times.push(performance.now() - last);
          if (bytes === 0) bytes = sizeOf(stateArrays(run.state));
          last = performance.now();
        },
      };
      const recipe = checkRecipe({
        ...preset,
        seed: 1337 + seed,
        training: {
          ...training,
          steps,
          storage,
          ...(options.rate === undefined
            ? {}
            : { optimizer: { ...training?.optimizer, learningRate: Number(options.rate) } }),
        },
        evaluation: { every: steps, batch: 24, batches: 20 },
        checkpoints: { every: steps, keep: 1, minutes: 0 },
        samples: undefined,
      });
      const { best } = await pretrain(recipe, { progress: false, callbacks: [watch] });
      rmSync(out, { recursive: true, force: true });
      const tail = losses.slice(-50);
      rows.push({
        weights: storage.weights,
        states: storage.states,
        rounding: storage.rounding,
        seed: 1337 + seed,
        "state MiB": bytes / 2 ** 20,
        "loss of the last 50 steps": tail.reduce((sum, x) => sum + x, 0) / tail.length,
        val_loss: best?.values["val_loss"] ?? NaN,
        "ms a step": times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!,
      });
    }
  }
  return rows;
}

function sizeOf(arrays: ReadonlyMap<string, HostArray>): number {
  return [...arrays.values()].reduce((sum, array) => sum + array.byteLength, 0);
}
