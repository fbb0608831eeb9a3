// `chainrule pretrain`: a language model from nothing, by recipe; Ctrl-C saves, --resume goes on bit for bit.
import { Command, Option } from "commander";
import { ArgumentError } from "../../engine/core/index.ts";
import type { PretrainResult, Recipe } from "../../tasks/index.ts";
import { EXIT, ExitError } from "../failure.ts";
import { columns, outputOf, type Output } from "../output.ts";
import { progressLine } from "./data-prepare.ts";

interface Options {
  readonly preset?: string;
  readonly resume?: string | true;
  readonly out?: string;
  readonly progress: boolean;
}

export function pretrain(): Command {
  return new Command("pretrain")
    .description("train a language model from nothing, by recipe")
    .argument("[recipe]", "YAML file; `chainrule init pretrain` writes one")
    .option("--preset <name>", "a recipe by its name: shakespeare-cpu (a minute), shakespeare (hours)")
    .option("--out <folder>", "where the run is written, instead of the recipe's `out`")
    .addOption(new Option("--resume [folder]", "go on with the run of this folder, or of the recipe's"))
    .option("--no-progress", "no progress line")
    .action(async (file: string | undefined, options: Options, command: Command) => {
      const output = outputOf(command);
      const result = await run(file, options, output);
      output.result(result, (values) => closing(values, output));
      if (result.stopped === "interrupted") throw new ExitError(EXIT.interrupted);
    });
}

async function run(file: string | undefined, options: Options, output: Output): Promise<PretrainResult> {
  const tasks = await import("../../tasks/index.ts");
  const recipe = await recipeOf(file, options);
  const abort = new AbortController();
  let asked = false;
  const stop = (): void => {
    if (asked) process.exit(EXIT.interrupted); // the second time means now
    asked = true;
    output.progress("\nstopping after this step and saving; Ctrl-C again stops without");
    abort.abort();
  };
  const preparing = progressLine(output, performance.now());
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    return await tasks.pretrain(recipe, {
      resume: options.resume !== undefined,
      signal: abort.signal,
      progress: options.progress,
      say: (line) => {
        preparing.end();
        output.progress(line);
      },
      ...(options.progress ? { onPrepare: (progress) => preparing.show(progress) } : {}),
    });
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}

/** The recipe of a file, a preset or a run that goes on: exactly one of them. */
export async function recipeOf(
  file: string | undefined,
  { preset, resume, out }: Pick<Options, "preset" | "resume" | "out">,
): Promise<Recipe> {
  const { checkRecipe, readRecipe, recipeOfRun, recipePreset } = await import("../../tasks/index.ts");
  const sources = [file, preset, typeof resume === "string" ? resume : undefined].filter((one) => one !== undefined);
  if (sources.length !== 1) {
    throw new ArgumentError(
      "pretrain",
      `needs a recipe, or --preset NAME, or --resume FOLDER: received ${sources.length} of them`,
      {
        hint: "begin with: chainrule init pretrain",
      },
    );
  }
  if (typeof resume === "string") return recipeOfRun(resume);
  if (preset !== undefined) return checkRecipe(recipePreset(preset, out));
  const recipe = await readRecipe(file!);
  return out === undefined ? recipe : { ...recipe, out };
}

function closing(
  { folder, model, steps, best, last, seconds, tokensPerSecond, stopped }: PretrainResult,
  { colors }: Output,
): string {
  const loss = (values: { readonly [name: string]: number }): string =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value.toFixed(4)}`)
      .join("  ");
  const rows = [
    ["steps", String(steps)],
    ...(best === null ? [] : [["best", `step ${best.step}: ${loss(best.values)}`]]),
    ...(last === null ? [] : [["last", loss(last)]]),
    ["time", `${seconds.toFixed(1)} s, ${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s`],
    ["model", model],
  ];
  const next =
    stopped === null
      ? `chainrule generate ${folder}`
      : `stopped: ${stopped}; go on with: chainrule pretrain --resume ${folder}`;
  return `${columns(rows)}\n\n${colors.dim(next)}`;
}
