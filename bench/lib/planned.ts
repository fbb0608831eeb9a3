// The process of the planner's benchmark: a recipe planned, or run for some steps; prints what was predicted or what was true.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultDevice } from "chainrule/tensor";
import { checkRecipe, plan, pretrain, type Recipe } from "chainrule/tasks";
import { gpt2Sizes } from "./gpt2.ts";

/** Bytes and seconds, predicted or measured. */
export interface Planned {
  /** Largest resident size once steps run, and of the run with evaluation and checkpoint. */
  readonly training: number;
  readonly peak: number;
  readonly step: number;
  /** How long that took to know. */
  readonly took: number;
  readonly threads: number;
  readonly device: string;
}

const [how, name, steps] = process.argv.slice(2) as ["plan" | "run", keyof typeof gpt2Sizes, string];

function recipeOf(out: string): Recipe {
  const { layers, heads, width, vocabulary, time, batch } = gpt2Sizes[name];
  const sizes = { n_layer: layers, n_head: heads, n_embd: width, vocab_size: vocabulary, n_positions: time };
  return checkRecipe({
    out,
    data: { text: "shakespeare" },
    model: { config: { model_type: "gpt2", ...sizes, attn_pdrop: 0, resid_pdrop: 0, embd_pdrop: 0 } },
    training: { batch, steps: Number(steps) },
    evaluation: { every: Number(steps), batches: 1 },
    checkpoints: { every: Number(steps) },
  });
}

async function predicted(recipe: Recipe): Promise<Pick<Planned, "training" | "peak" | "step">> {
  const { memory, time } = await plan(recipe);
  return { training: memory.training, peak: memory.peak, step: time!.step };
}

async function measured(recipe: Recipe): Promise<Pick<Planned, "training" | "peak" | "step">> {
  const most = (): number => process.resourceUsage().maxRSS * 1024;
  const times: number[] = [];
  let [training, began] = [0, 0];
  const watch = {
    name: "watch",
    onBatchBegin: () => void (began = performance.now()),
    onBatchEnd: () => {
      times.push((performance.now() - began) / 1000);
      training = most();
    },
  };
  await pretrain(recipe, { progress: false, callbacks: [watch] });
  const [, ...warm] = times; // the first one compiles
  return { training, peak: most(), step: warm.toSorted((a, b) => a - b)[warm.length >> 1]! };
}

const began = performance.now();
const out = await mkdtemp(join(tmpdir(), "chainrule-planned-"));
try {
  const values = await (how === "plan" ? predicted : measured)(recipeOf(join(out, "run")));
  const { threads, name: device } = defaultDevice();
  const result: Planned = { ...values, took: (performance.now() - began) / 1000, threads, device };
  console.log(JSON.stringify(result));
} finally {
  await rm(out, { recursive: true });
}
