// `chainrule plan`: what a recipe costs before it is run: memory, operations, tokens, time, and what makes it fit.
import { Command } from "commander";
import { ArgumentError } from "../../engine/core/index.ts";
import type { Plan, PlanTime, Suggestion } from "../../tasks/index.ts";
import { columns, outputOf, type Output } from "../output.ts";
import { recipeOf } from "./pretrain.ts";

interface Options {
  readonly preset?: string;
  readonly memory?: string;
  readonly measure: boolean;
}

export function planCommand(): Command {
  return new Command("plan")
    .description("say what a recipe costs: parameters, memory, time on this machine, and what makes it fit")
    .argument("[recipe]", "YAML file; `chainrule init pretrain` writes one")
    .option("--preset <name>", "a recipe by its name: shakespeare-cpu, shakespeare")
    .option("--memory <GiB>", "plan for so much memory instead of what this machine has")
    .option("--no-measure", "no measurement: memory and tokens, but not time")
    .action(async (file: string | undefined, { memory, measure, preset }: Options, command: Command) => {
      const output = outputOf(command);
      const recipe = await recipeOf(file, preset === undefined ? {} : { preset });
      const { plan } = await import("../../tasks/index.ts");
      const limit = memory === undefined ? {} : { limit: gibibytes(memory) };
      output.result(await plan(recipe, { measure, ...limit }), (data) => print(data, output));
    });
}

function gibibytes(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 2 ** 20)) throw new ArgumentError("plan", `--memory is a number of GiB: received ${text}`);
  return value * 2 ** 30;
}

function print(plan: Plan, { colors }: Output): string {
  const { settings, data, parameters, layers, flops, tokens, memory, machine, fits } = plan;
  const { time, batch, microBatch, steps } = settings;
  const parts = microBatch < batch ? `, ${microBatch} at a time` : "";
  const about = data.estimated ? "about " : "";
  const part = (name: string, value: number, what: string = ""): string[] => [
    `  ${name}`,
    bytes(value),
    colors.dim(what),
  ];
  const sections = [
    [
      ["model", `${whole(parameters)} parameters`, colors.dim(`${layers} layers, vocabulary ${whole(data.vocabSize)}`)],
      ["data", `${about}${whole(data.trainTokens)} tokens`, colors.dim(data.source)],
      ["step", `${whole(tokens.step)} tokens`, colors.dim(`${batch} windows of ${time}${parts}`)],
      ["", `${count(flops.step)}FLOP`, ""],
      ["run", `${whole(steps)} steps`, colors.dim(`${count(flops.total)}FLOP`)],
      ["tokens", whole(tokens.total), colors.dim(`${number(tokens.epochs)} times the data`)],
      ["optimal", whole(tokens.optimal), colors.dim(againstOptimal(plan))],
    ],
    [
      [
        "memory",
        colors.bold(bytes(memory.peak)),
        `of ${bytes(machine.available)} available, ${bytes(machine.limit)} in all`,
      ],
      part("weights", memory.weights),
      part("gradients", memory.gradients),
      part("optimizer", memory.optimizer),
      part("activations", memory.activations, `in an arena of ${bytes(memory.arena)} with the gradients`),
      ...(memory.evaluation === 0 ? [] : [part("evaluation", memory.evaluation)]),
      ...(memory.cache === 0 ? [] : [part("samples", memory.cache)]),
      part("tokens", memory.data),
      part("process", memory.process, "Node, code, compiled plans"),
      part("checkpoint", memory.checkpoint, `while one is written; ${bytes(memory.training)} while training`),
    ],
    plan.time === undefined
      ? [["time", "not measured", colors.dim(plan.unmeasured ?? "")]]
      : timeRows(plan.time, plan, colors),
  ];
  const text = sections.map((rows) => columns(rows)).join("\n\n");
  if (fits) return text;
  const { suggestions } = plan;
  const enough = suggestions.some((one) => one.fits);
  const head = enough
    ? "It does not fit. What makes it fit, and what does not suffice:"
    : "It does not fit, with none of:";
  const rows = suggestions.map((one) => row(one, colors));
  const end = enough ? [] : ["Take a smaller model, or shorter windows (training.time)."];
  return [text, "", colors.yellow(head), columns(rows, "  "), ...end].join("\n");
}

function timeRows(time: PlanTime, { settings }: Plan, colors: Output["colors"]): string[][] {
  const { layers, took } = time.measured;
  const how = layers.length === 1 ? "the model itself" : `models of ${layers.join(" and ")} layers`;
  return [
    ["time", colors.bold(duration(time.total)), colors.dim(`from ${took.toFixed(1)} s with ${how}`)],
    [
      "  step",
      duration(time.step),
      colors.dim(`${whole(time.tokensPerSecond)} tokens/s; ${whole(settings.steps)} of them`),
    ],
    ...(time.evaluations === 0
      ? []
      : [["  evaluation", duration(time.evaluation), colors.dim(`${time.evaluations} of them`)]]),
    ["  checkpoint", duration(time.checkpoint), colors.dim(`${time.checkpoints} of them`)],
    ["  begin", duration(time.begin), colors.dim("first weights, compilation")],
  ];
}

function row({ change, cost, memory, fits }: Suggestion, colors: Output["colors"]): string[] {
  const fields = Object.entries(change).map(([field, value]) => `${field}: ${value}`);
  return [fits ? colors.green("fits") : "no", bytes(memory.peak), fields.join(", "), colors.dim(cost)];
}

function againstOptimal({ tokens }: Plan): string {
  const share = tokens.total / tokens.optimal;
  const what = share >= 1 ? `${number(share)} times that` : `${number(100 * share)} % of it`;
  return `20 a parameter (Hoffmann et al. 2022); the run reads ${what}`;
}

const whole = (value: number): string => Math.round(value).toLocaleString("en");

function number(value: number): string {
  return value >= 100 ? whole(value) : String(Number(value.toPrecision(2)));
}

function bytes(value: number): string {
  const [unit, name] = value >= 2 ** 30 ? [2 ** 30, "GiB"] : value >= 2 ** 20 ? [2 ** 20, "MiB"] : [2 ** 10, "KiB"];
  const scaled = value / unit;
  return `${scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0)} ${name}`;
}

function count(value: number): string {
  const names = ["", "k", "M", "G", "T", "P", "E", "Z"];
  const power = Math.min(names.length - 1, Math.max(0, Math.floor(Math.log10(value) / 3)));
  return `${(value / 1000 ** power).toPrecision(3)} ${names[power]}`;
}

function duration(seconds: number): string {
  if (seconds < 1) return `${(1000 * seconds).toPrecision(3)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}
