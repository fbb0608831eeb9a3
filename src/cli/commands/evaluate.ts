// `chainrule evaluate`: what a trained model is worth on text files and on tasks.
import { Command } from "commander";
import { ArgumentError } from "../../engine/core/index.ts";
import type { TaskScore, TaskShare, TextScore } from "../../tasks/index.ts";
import { wholeNumber } from "../numbers.ts";
import { columns, outputOf, type Output } from "../output.ts";

export function evaluate(): Command {
  return new Command("evaluate")
    .description("perplexity and bits per byte on text; accuracy on tasks")
    .argument("<folder>", "a model folder, or a run with one in model/")
    .option("--text <file...>", "text files in UTF-8", [])
    .option("--tasks <file...>", "JSON Lines of { context, choices, answer } or { context, target }", [])
    .option("--context <number>", "tokens the model sees of a text; its own context unless said", wholeNumber)
    .option("--stride <number>", "tokens each window adds; half the context unless said", wholeNumber)
    .option("--batch-tokens <number>", "tokens in one call of the model", wholeNumber, 2048)
    .action(run);
}

interface Options {
  readonly text: string[];
  readonly tasks: string[];
  readonly context?: number;
  readonly stride?: number;
  readonly batchTokens: number;
}

async function run(folder: string, options: Options, command: Command): Promise<void> {
  const { text, tasks, context, stride, batchTokens } = options;
  if (text.length + tasks.length === 0)
    throw new ArgumentError("evaluate", "there is nothing to do: name files with --text or --tasks");
  const { openModel } = await import("../../models/index.ts");
  const { joinScores, scoreTasks, scoreTextFile, Scorer } = await import("../../tasks/index.ts");
  const output = outputOf(command);
  const opened = await openModel(folder);
  const scorer = new Scorer(opened.model, { batchTokens });
  const began = performance.now();
  const windows = { ...(context === undefined ? {} : { context }), ...(stride === undefined ? {} : { stride }) };
  const texts: (TextScore & { readonly file: string })[] = [];
  for (const path of text) {
    const onProgress = line(output, (done, of) => `${path}: ${done} of ${of} tokens`);
    texts.push({ file: path, ...(await scoreTextFile(scorer, opened, { path, ...windows, onProgress })) });
  }
  const scores: (TaskScore & { readonly file: string })[] = [];
  for (const path of tasks) {
    const onProgress = line(output, (rows) => `${path}: ${rows} rows`);
    scores.push({ file: path, ...(await scoreTasks(scorer, opened, { path, onProgress })) });
  }
  const seconds = (performance.now() - began) / 1000;
  const total = texts.length > 1 ? { total: joinScores(texts) } : {};
  const result = { model: opened.name, texts, ...total, tasks: scores, seconds };
  output.result(result, () => {
    const all = texts.length > 1 ? [...texts, { file: "all", ...joinScores(texts) }] : texts;
    return [textTable(all), ...scores.map(taskTable)].filter((part) => part !== "").join("\n\n");
  });
}

function textTable(scores: readonly (TextScore & { readonly file: string })[]): string {
  if (scores.length === 0) return "";
  const head = ["text", "tokens", "loss", "perplexity", "bits/byte", ""];
  const rows = scores.map(({ file, tokens, loss, perplexity, bitsPerByte, unscored }) => [
    file,
    String(tokens),
    loss.toFixed(4),
    perplexity.toFixed(3),
    bitsPerByte.toFixed(4),
    unscored === 0 ? "" : `${unscored} first ${unscored === 1 ? "token" : "tokens"} not scored: nothing comes before`,
  ]);
  return columns([head, ...rows]);
}

function taskTable({ file, rows, cut, ...score }: TaskScore & { readonly file: string }): string {
  const values =
    score.kind === "choice"
      ? [
          ["accuracy", shareText(score.accuracy)],
          ["accuracy per byte", shareText(score.accuracyPerByte)],
        ]
      : [
          ["accuracy (greedy)", shareText(score.accuracy)],
          ["ln p of a target", within(score.logLikelihood)],
          ["perplexity", score.perplexity.toFixed(3)],
          ["bits/byte", score.bitsPerByte.toFixed(4)],
        ];
  const cuts = cut === 0 ? "" : `, ${cut} contexts cut to fit`;
  return `${file}  ${rows} ${rows === 1 ? "row" : "rows"}${cuts}\n${columns(values, "  ")}`;
}

function shareText({ low, high, ...share }: TaskShare): string {
  return `${within(share)}  [${low.toFixed(4)}, ${high.toFixed(4)}] at 95 %`;
}

function within({ value, standardError }: Pick<TaskShare, "value" | "standardError">): string {
  return standardError === undefined ? value.toFixed(4) : `${value.toFixed(4)} ± ${standardError.toFixed(4)}`;
}

// Redrawn on a terminal, at most ten times a second; elsewhere nothing is said until the results are there.
function line(output: Output, say: (done: number, of: number) => string): (done: number, of?: number) => void {
  let drawn = 0;
  return (done, of = 0) => {
    if (output.json || !process.stderr.isTTY || (performance.now() - drawn < 100 && done !== of)) return;
    drawn = performance.now();
    process.stderr.write(`\r${say(done, of)}\u001b[K${done === of ? "\r\u001b[K" : ""}`);
  };
}
