// The server under load: many clients stream at the same time, for minutes; nothing fails, grows, or says another text.
//
//   npm run bench -- serve [--minutes 5] [--streams 64] [--tokens 100] [--folder RUN]
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { CharTokenizer } from "chainrule/text";
import { Decoder, generate } from "chainrule/generate";
import { createModel, openModel, presets, saveModelFolder, type OpenModel } from "chainrule/models";
import { defaultDevice } from "chainrule/tensor";
import type { Measured, Place } from "./lib/contest.ts";
import { ownRow } from "./lib/rows.ts";
import { startServer } from "./lib/server.ts";

export const about = "the server with many streams of the openai client: requests, tokens/s, memory, errors";

interface Options {
  readonly minutes?: string;
  readonly streams?: string;
  /** Tokens of each answer. */
  readonly tokens?: string;
  /** A model folder or run; random weights of Shakespeare's size unless said. */
  readonly folder?: string;
}

export default async function measure(options: Options, { root }: Place): Promise<Measured[]> {
  const [minutes, streams, tokens] = [options.minutes ?? "5", options.streams ?? "64", options.tokens ?? "100"].map(
    Number,
  );
  const temporary = mkdtempSync(join(tmpdir(), "chainrule-bench-"));
  try {
    const folder = options.folder ?? (await randomFolder(join(temporary, "shakespeare")));
    const opened = await openModel(folder);
    const wanted = await greedyTexts(opened, tokens!);
    const server = await startServer(root, { folder, slots: streams! });
    try {
      const load = new Load(server, { wanted, tokens: tokens! });
      // Every plan is compiled and every buffer there before memory is compared.
      await load.run({ streams: streams!, milliseconds: Math.min(15_000, minutes! * 15_000) });
      const warm = load.reset();
      const memory: number[] = [];
      const watch = setInterval(() => memory.push(resident(server.pid)), 1000);
      const began = performance.now();
      await load.run({ streams: streams!, milliseconds: minutes! * 60_000 });
      const seconds = (performance.now() - began) / 1000;
      const told = load.reset();
      clearInterval(watch);
      const tenth = Math.max(1, Math.floor(memory.length / 10));
      const { running, waiting } = (await (await fetch(`${server.url}/health`)).json()) as Health;
      const { name: device, threads } = defaultDevice();
      const row = (name: string, unit: string, value: number): Measured =>
        ownRow(`${streams} streams, ${minutes} min: ${name}`, unit, value, { threads, device });
      return [
        row("requests", "answers", told.answers),
        row("speed", "tokens/s", told.tokens / seconds),
        row("first token, median", "ms", quantile(told.firstTokens, 0.5)),
        row("first token, 99 of 100", "ms", quantile(told.firstTokens, 0.99)),
        row("errors", "requests", warm.errors + told.errors),
        row("greedy texts other than generate's", "answers", warm.different + told.different),
        row("texts left behind", "texts", running + waiting),
        row("resident, first tenth of the time", "MiB", quantile(memory.slice(0, tenth), 0.5)),
        row("resident, last tenth of the time", "MiB", quantile(memory.slice(-tenth), 0.5)),
        row("resident, largest", "MiB", quantile(memory, 1)),
      ];
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

interface Health {
  readonly running: number;
  readonly waiting: number;
}

const prompts = [
  "ROMEO:",
  "First Citizen:\nBefore we",
  "What",
  "My lord, I",
  "O",
  "The king is",
  "Enter",
  "Exeunt all",
];

// Weights wider than the papers': a random model would say the same letter for ever.
async function randomFolder(folder: string): Promise<string> {
  const letters = Array.from({ length: 52 }, (_, i) => String.fromCharCode((i < 26 ? 65 : 71) + i));
  const characters = [..."\n !$&',-.3:;?", ...letters];
  const config = { ...presets["shakespeare"]!, vocab_size: characters.length, initializer_range: 0.1 };
  const model = createModel(config).init(0, { dtype: "int32", shape: [1, 1] });
  await saveModelFolder(folder, model, { tokenizer: new CharTokenizer({ characters }) });
  return folder;
}

async function greedyTexts({ model, tokenizer, endTokens }: OpenModel, maxTokens: number): Promise<string[]> {
  const decoder = new Decoder(model);
  const texts: string[] = [];
  for (const prompt of prompts) {
    let text = "";
    const options = { tokenizer, stopTokens: endTokens, temperature: 0, maxTokens, decoder };
    const ids = tokenizer.encode(prompt, { addSpecialTokens: true });
    for await (const token of generate(model, ids, options)) text += token.text;
    texts.push(text);
  }
  return texts;
}

interface Told {
  answers: number;
  tokens: number;
  errors: number;
  different: number;
  readonly firstTokens: number[];
}

/** Clients that ask again and again. */
class Load {
  readonly #client: OpenAI;
  readonly #model: string;
  readonly #wanted: readonly string[];
  readonly #tokens: number;
  #told: Told = nothing();

  constructor(
    { url, model }: { readonly url: string; readonly model: string },
    { wanted, tokens }: { readonly wanted: readonly string[]; readonly tokens: number },
  ) {
    this.#client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0, timeout: 120_000 });
    this.#model = model;
    this.#wanted = wanted;
    this.#tokens = tokens;
  }

  /** What was counted since the last reset. */
  reset(): Told {
    const told = this.#told;
    this.#told = nothing();
    return told;
  }

  async run({ streams, milliseconds }: { readonly streams: number; readonly milliseconds: number }): Promise<void> {
    const end = performance.now() + milliseconds;
    const one = async (client: number): Promise<void> => {
      for (let i = client; performance.now() < end; i++) {
        try {
          // One in four is a chat, drawn at random: rows of another kind beside the greedy ones.
          await (i % 4 === 3 ? this.#chat(i) : this.#completion(i % prompts.length));
        } catch (error) {
          this.#told.errors++;
          console.error(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: streams }, (_, client) => one(client)));
  }

  async #completion(at: number): Promise<void> {
    const began = performance.now();
    const stream = await this.#client.completions.create({
      model: this.#model,
      prompt: prompts[at]!,
      temperature: 0,
      max_tokens: this.#tokens,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let first = true;
    for await (const { choices, usage } of stream) {
      if (first) this.#told.firstTokens.push(performance.now() - began);
      first = false;
      text += choices[0]?.text ?? "";
      this.#told.tokens += usage?.completion_tokens ?? 0;
    }
    if (text !== this.#wanted[at]) this.#told.different++;
    this.#told.answers++;
  }

  async #chat(seed: number): Promise<void> {
    const stream = await this.#client.chat.completions.create({
      model: this.#model,
      messages: [{ role: "user", content: prompts[seed % prompts.length]! }],
      max_completion_tokens: this.#tokens,
      seed,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const { usage } of stream) this.#told.tokens += usage?.completion_tokens ?? 0;
    this.#told.answers++;
  }
}

function nothing(): Told {
  return { answers: 0, tokens: 0, errors: 0, different: 0, firstTokens: [] };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Mebibytes of memory a process holds. */
function resident(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) / 1024;
}
