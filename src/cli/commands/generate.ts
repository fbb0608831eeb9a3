// `chainrule generate`: text of a trained model after a prompt, as it comes.
import { text as readAll } from "node:stream/consumers";
import { Command } from "commander";
import type { FinishReason, GeneratedToken, GenerateOptions } from "../../generate/index.ts";
import type { OpenModel } from "../../models/index.ts";
import { EXIT, ExitError } from "../failure.ts";
import { decimal, wholeNumber } from "../numbers.ts";
import { outputOf, type Output } from "../output.ts";

export function generate(): Command {
  return new Command("generate")
    .description("generate text with a trained model")
    .argument("<folder>", "a model folder, or a run with one in model/")
    .option("-p, --prompt <text>", "what the text goes on from; without it, standard input")
    .option("--allow-special", "special tokens in the prompt become their ids")
    .option("-n, --max-tokens <number>", "at most so many tokens; until the context is full unless said", wholeNumber)
    .option("--temperature <number>", "0 takes the most probable token each time", decimal, 1)
    .option("--top-k <number>", "only the k most probable tokens", wholeNumber)
    .option("--top-p <number>", "only the most probable tokens up to this probability", decimal)
    .option("--min-p <number>", "only tokens with this share of the largest probability", decimal)
    .option("--repetition-penalty <number>", "divides logits of tokens of the text", decimal)
    .option("--presence-penalty <number>", "taken off tokens that were generated", decimal)
    .option("--frequency-penalty <number>", "the same for each time", decimal)
    .option("--seed <number>", "the same seed gives the same text", wholeNumber, 0)
    .option("--stop <text...>", "strings that end the text")
    .option("--samples <number>", "so many texts, with seeds one after the other", wholeNumber, 1)
    .option("--slide", "past the end of the context go on from its last half")
    .option("--echo", "print the prompt first")
    .action(run);
}

interface Options extends Pick<
  GenerateOptions,
  | "maxTokens"
  | "temperature"
  | "topK"
  | "topP"
  | "minP"
  | "repetitionPenalty"
  | "presencePenalty"
  | "frequencyPenalty"
  | "stop"
> {
  readonly prompt?: string;
  readonly allowSpecial?: true;
  readonly seed: number;
  readonly samples: number;
  readonly slide?: true;
  readonly echo?: true;
}

/** A text with what `--json` tells of it. */
interface Sample {
  seed: number;
  text: string;
  tokens: number;
  finish: FinishReason | "interrupted";
}

async function run(folder: string, options: Options, command: Command): Promise<void> {
  const { openModel, promptIds } = await import("../../models/index.ts");
  const output = outputOf(command);
  const { prompt: given, allowSpecial = false, seed, samples: count, slide, echo, ...sampling } = options;
  const opened = await openModel(folder);
  const prompt = given ?? (process.stdin.isTTY ? "" : await readAll(process.stdin));
  const ids = promptIds(opened, prompt, { allowSpecial });
  const stopping = new AbortController();
  process.once("SIGINT", () => stopping.abort());
  const settings: GenerateOptions = {
    ...sampling,
    tokenizer: opened.tokenizer,
    stopTokens: opened.endTokens,
    overflow: slide === true ? "slide" : "error",
    signal: stopping.signal,
    seed,
  };
  const samples = Array.from({ length: count }, (_, i): Sample => {
    return { seed: seed + i, text: "", tokens: 0, finish: "interrupted" };
  });
  const began = performance.now();
  const writer = new Writer(output, { samples, before: echo === true ? prompt : "" });
  for await (const token of tokens(opened, { ids, settings, count })) {
    const sample = samples[token.index]!;
    sample.text += token.text;
    sample.tokens++;
    if (token.finish !== undefined) sample.finish = token.finish;
    writer.write();
  }
  writer.end();
  const seconds = (performance.now() - began) / 1000;
  const generated = samples.reduce((sum, sample) => sum + sample.tokens, 0);
  if (output.json) {
    const result = { prompt, promptTokens: ids.length, samples, seconds, tokensPerSecond: generated / seconds };
    output.result(result, () => "");
  }
  if (stopping.signal.aborted) throw new ExitError(EXIT.interrupted);
}

type Numbered = GeneratedToken & { readonly index: number };

// Texts that slide go one after the other: each step of one may have to compute its half row again.
async function* tokens(
  { model }: OpenModel,
  { ids, settings, count }: { readonly ids: number[]; readonly settings: GenerateOptions; readonly count: number },
): AsyncGenerator<Numbered, void, undefined> {
  const { Decoder, generate: stream, generateBatch } = await import("../../generate/index.ts");
  const { overflow, ...plain } = settings;
  if (count > 1 && overflow !== "slide") {
    const prompts = Array.from({ length: count }, () => ids);
    yield* generateBatch(model, prompts, plain);
    return;
  }
  const decoder = new Decoder(model);
  for (let index = 0; index < count && settings.signal?.aborted !== true; index++) {
    const one = { ...settings, decoder, seed: (settings.seed ?? 0) + index };
    for await (const token of stream(model, ids, one)) yield { ...token, index };
  }
}

/** Prints texts in their order, each as far as it is there; texts that come meanwhile wait for their turn. */
class Writer {
  readonly #output: Output;
  readonly #samples: readonly Sample[];
  readonly #before: string;
  #index = -1;
  #written = 0;

  constructor(output: Output, { samples, before }: { readonly samples: readonly Sample[]; readonly before: string }) {
    this.#output = output;
    this.#samples = samples;
    this.#before = before;
  }

  write(): void {
    if (this.#output.json) return;
    for (;;) {
      if (this.#index < 0) this.#begin(0);
      const { text, finish } = this.#samples[this.#index]!;
      process.stdout.write(text.slice(this.#written));
      this.#written = text.length;
      if (finish === "interrupted" || this.#index + 1 === this.#samples.length) return;
      process.stdout.write("\n");
      this.#begin(this.#index + 1);
    }
  }

  end(): void {
    if (!this.#output.json && this.#index >= 0) process.stdout.write("\n");
  }

  #begin(index: number): void {
    const { colors } = this.#output;
    this.#index = index;
    this.#written = 0;
    if (this.#samples.length > 1) process.stdout.write(`${colors.dim(`── ${index + 1} ──`)}\n`);
    process.stdout.write(this.#before);
  }
}
