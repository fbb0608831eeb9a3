// bfloat16 storage: memory of the state, time a step and the loss after 300 steps, against float32
import { HostArray, tensor } from "chainrule";
import { createModel, presets } from "chainrule/models";
import { adamw } from "chainrule/optim";
import { checkRecipe, pretrain, recipePreset } from "chainrule/tasks";
import { createState, makeStep, stateArrays, tokenObjective, type Callback } from "chainrule/train";
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

/**
 * Times of steps, the storages in turns: of the model of `--preset` (shakespeare-cpu) on `--batch` (12) windows. Then the
 * recipe of that name with each storage: `--steps` 300 (0: none), `--seeds` 1, `--rate` of the learning rate.
 */
export default async function measure(
  options: { steps?: string; seeds?: string; preset?: string; rate?: string; batch?: string } = {},
): Promise<Row[]> {
  const steps = Number(options.steps ?? 300);
  const times = stepTimes(options.preset ?? "shakespeare-cpu", Number(options.batch ?? 12));
  const rows: Row[] = SETTINGS.map((storage, i) => ({ ...storage, ...times[i]! }));
  if (steps === 0) return rows;
  for (const storage of SETTINGS) {
    for (let seed = 0; seed < Number(options.seeds ?? 1); seed++) {
      const out = mkdtempSync(join(tmpdir(), "chainrule-storage-"));
      const { training, ...preset } = recipePreset(options.preset ?? "shakespeare-cpu", out);
      const losses: number[] = [];
      const watch: Callback = {
        name: "watch",
        onBatchEnd(_, __, run) {
          losses.push(run.batchLoss);
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
        "loss of the last 50 steps": tail.reduce((sum, x) => sum + x, 0) / tail.length,
        val_loss: best?.values["val_loss"] ?? NaN,
      });
    }
  }
  return rows;
}

const TURNS = 11;

function stepTimes(preset: string, batch: number): Row[] {
  const config = { ...presets[preset]!, attn_pdrop: 0, resid_pdrop: 0, embd_pdrop: 0 };
  const runs = SETTINGS.map(({ rounding, ...storage }) => {
    const model = createModel(config);
    model.init(0, { dtype: "int32", shape: [1, 1] });
    const optimizer = adamw({ convention: "torch", globalClipNorm: 1, weightDecay: 0.1, decayMatricesOnly: true });
    const step = makeStep(model, { objective: tokenObjective(), optimizer, rounding, predictions: false });
    let state = createState(model, { optimizer, seed: 0, take: true, storage });
    const shape = [batch, model.contextLength];
    const ids = (by: number): HostArray =>
      new HostArray(
        "int32",
        shape,
        Int32Array.from({ length: batch * model.contextLength }, (_, i) => (i * by) % 61),
      );
    const data = { x: { ids: tensor(ids(7)) }, y: [tensor(ids(11))] };
    const once = (): void => {
      [state] = step(state, data);
      state.step.item();
    };
    once(); // compiles
    const arena = step.lower(state, data).plan.arenaBytes;
    return { once, arena, bytes: sizeOf(stateArrays(state)), times: [] as number[] };
  });
  for (let turn = 0; turn < TURNS; turn++) {
    for (const { once, times } of runs) {
      const start = performance.now();
      once();
      times.push(performance.now() - start);
    }
  }
  const median = (times: number[]): number => times.toSorted((a, b) => a - b)[Math.floor(TURNS / 2)]!;
  return runs.map(({ times, bytes, arena }) => ({
    "state MiB": bytes / 2 ** 20,
    "arena MiB": arena / 2 ** 20,
    "ms a step": median(times),
    "of float32": median(times) / median(runs[0]!.times),
  }));
}

function sizeOf(arrays: ReadonlyMap<string, HostArray>): number {
  return [...arrays.values()].reduce((sum, array) => sum + array.byteLength, 0);
}
