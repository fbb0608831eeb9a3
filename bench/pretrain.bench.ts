// Pretraining as users run it: the recipe `shakespeare-cpu` from its first step to its last, evaluation and checkpoints included.
//
//   npm run bench -- pretrain [--peers] [--preset shakespeare-cpu] [--steps N]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultDevice } from "chainrule";
import { checkRecipe, pretrain, recipePreset } from "chainrule/tasks";
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about =
  "a language model on Shakespeare's characters, by recipe: loss, speed; with --peers against the bare steps of PyTorch";

interface Options {
  readonly preset?: string;
  readonly steps?: string;
  readonly peers?: boolean;
  readonly rounds?: string;
}

export default async function measure(options: Options, place: Place): Promise<Measured[]> {
  const { preset = "shakespeare-cpu", steps, peers = false } = options;
  const folder = mkdtempSync(join(tmpdir(), "chainrule-bench-"));
  try {
    const recipe = checkRecipe(recipePreset(preset, join(folder, "run")));
    const training = { ...recipe.training, ...(steps === undefined ? {} : { steps: Number(steps) }) };
    const result = await pretrain({ ...recipe, training }, { say: (line) => console.error(line) });
    const perStep = (result.seconds / result.steps) * 1e3;
    const { name: device, threads } = defaultDevice();
    const row = (name: string, unit: string, ours: number, peer: Measured["peer"] = null): Measured => ({
      name: `${preset} ${name}`,
      unit,
      ours,
      peer,
      ratio: peer === null ? null : peer.value / ours,
      threads,
      device,
      peakShare: null,
    });
    const rows = [
      row("val_loss", "nats", result.last!["val_loss"]!),
      row("best val_loss", "nats", result.best!.values["val_loss"]!),
      row("whole run", "s", result.seconds),
      row("step, all included", "ms", perStep),
      row("speed", "tokens/s", result.tokensPerSecond),
    ];
    if (!peers || preset !== "shakespeare-cpu") return rows;
    // Their steps alone, without data, evaluation or checkpoints.
    const against = await contest("gpt-small", options, place);
    const bare = against.filter(({ name, peer }) => name === "gpt-small" && peer !== null);
    return [...rows, ...bare.map(({ peer }) => row("step, all included", "ms", perStep, peer))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
