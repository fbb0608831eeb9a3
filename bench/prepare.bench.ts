// From text to shards: reading, duplicates, encoding with GPT-2's ranks, writing.
//
//   npm run bench -- prepare [--workers N] [--rounds 3]
//
// The text is that of the tokenizer benchmark (100 MB of code, English, Chinese, Japanese, …) cut into documents of about
// 4 kB. Each figure is the median of the rounds, each with new threads and a new folder; MB are those of the text.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { openTokenShards, tokenWindows } from "chainrule/datasets";
import { loadTokenizer, prepareCorpus, type PrepareOptions } from "chainrule/text";
import type { Measured, Place } from "./lib/contest.ts";
import { probe } from "./lib/probe.ts";
import { ownRow } from "./lib/rows.ts";
import { benchTexts } from "./lib/texts.ts";
import type { Tokenizing } from "./lib/tokenizing.ts";

export const about = "data prepare: MB/s from text to token shards; tokens/s of windows read from them";

interface Options {
  readonly workers?: string;
  readonly rounds?: string;
}

const SEPARATOR = "<|endoftext|>";

export default async function measure({ workers: given, rounds = "3" }: Options, { root }: Place): Promise<Measured[]> {
  const folder = join(root, ".cache/texts");
  const { train } = benchTexts(root);
  const files = { text: join(folder, "documents.txt"), jsonl: join(folder, "documents.jsonl") };
  if (!existsSync(files.text) || !existsSync(files.jsonl)) {
    const documents = readFileSync(train, "utf8").match(/[^]{1,4000}(?=\s|$)|[^]{1,4000}/gu)!;
    writeFileSync(files.text, documents.join(SEPARATOR));
    writeFileSync(files.jsonl, documents.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  }
  const saved = join(folder, "gpt2.json");
  await probe<Tokenizing>("tokenizing", { root, args: ["save", saved] });
  const tokenizer = await loadTokenizer(saved);
  const all = Number(given ?? availableParallelism());
  const out = join(folder, "shards");
  const rows: Measured[] = [];

  const run = async (name: string, path: string, options: Omit<PrepareOptions, "out">): Promise<void> => {
    const speeds: number[] = [];
    for (let round = 0; round < Number(rounds); round++) {
      rmSync(out, { recursive: true, force: true });
      const began = performance.now();
      const { about } = await prepareCorpus(path, tokenizer, { ...options, out });
      const { textBytes } = about["read"] as { textBytes: number };
      speeds.push(textBytes / 1e3 / (performance.now() - began));
    }
    const median = speeds.sort((a, b) => a - b)[Math.floor(speeds.length / 2)]!;
    rows.push(ownRow(`prepare ${name}`, "MB/s", median, { threads: options.workers!, device: "javascript" }));
  };
  const text = { documents: { separator: SEPARATOR } };
  await run("text, exact duplicates", files.text, { ...text, workers: all });
  await run("JSON Lines, exact duplicates", files.jsonl, { workers: all });
  await run("text, near duplicates", files.text, { ...text, workers: all, dedup: "near" });
  await run("text, exact duplicates, no worker", files.text, { ...text, workers: 0 });

  for (const [name, memory] of [
    ["in memory", 2 ** 30],
    ["read by position", 0],
  ] as const) {
    const shards = await openTokenShards(out, { memory });
    const windows = tokenWindows(shards, { time: 1024, documents: "apart" });
    const began = performance.now();
    for (let i = 0; i < 500; i++)
      windows.batch(Uint32Array.from({ length: 8 }, (_, k) => (i * 7919 + k * 104_729) % windows.length));
    const seconds = (performance.now() - began) / 1000;
    shards.close();
    rows.push(
      ownRow(`windows of 1024, ${name}`, "M tokens/s", (500 * 8 * 1024) / 1e6 / seconds, {
        threads: 1,
        device: "javascript",
      }),
    );
  }
  rmSync(out, { recursive: true, force: true });
  return rows;
}
