// Evaluation against sums over full passes: every token once, with the context that is promised; tasks by hand.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { trainBpe } from "../../src/data/text/index.ts";
import { tensor } from "../../src/engine/tensor/index.ts";
import { generate, logProbabilities } from "../../src/generate/index.ts";
import { openModel, type OpenModel } from "../../src/models/index.ts";
import {
  joinScores,
  pairRow,
  scoreTasks,
  scoreText,
  scoreTextFile,
  Scorer,
  textWindows,
  type ChoiceScore,
  type ClozeScore,
} from "../../src/tasks/evaluate/index.ts";
import { context, tinyConfig, tinyFolder } from "../serve/tiny-folder.ts";

let opened: OpenModel;
let scorer: Scorer;
let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  const made = await tinyFolder({}, { ...tinyConfig, bos_token_id: 96 });
  remove = made.remove;
  opened = await openModel(made.folder);
  scorer = new Scorer(opened.model);
  folder = await mkdtemp(join(tmpdir(), "chainrule-evaluate-"));
});
afterAll(async () => {
  await remove();
  await rm(folder, { recursive: true });
});

const text = "It was the best of times, it was the worst of times, it was the age of wisdom. ".repeat(4).trim();

/** `ln p` of the last `count` tokens, from one pass over all of them. */
function byFullPass(ids: readonly number[], count: number): number {
  const logits = opened.model.call(tensor([ids.slice(0, -1)], { dtype: "int32" })).host();
  const size = opened.model.vocabSize;
  let sum = 0;
  for (let at = ids.length - count; at < ids.length; at++) {
    const row = Float32Array.from({ length: size }, (_, j) => logits.get((at - 1) * size + j));
    sum += logProbabilities(row, [ids[at]!])[0]!;
  }
  return sum;
}

const idsOf = (part: string): number[] => Array.from(opened.tokenizer.encode(part));

describe("running text", () => {
  it("that fits into the context is one pass over it", async () => {
    const short = text.slice(0, 90);
    const score = await scoreText(scorer, opened, short);
    const wanted = byFullPass([96, ...idsOf(short)], 90);
    expect(score).toMatchObject({ tokens: 90, bytes: 90, unscored: 0 });
    expect(score.loss).toBeCloseTo(-wanted / 90, 5);
    expect(score.perplexity).toBeCloseTo(Math.exp(-wanted / 90), 3);
    expect(score.bitsPerByte).toBeCloseTo(-wanted / 90 / Math.LN2, 5);
  });

  it("that is longer goes through windows, each token with the context that is promised", async () => {
    const options = { context: 32, stride: 12 };
    const all = [96, ...idsOf(text)];
    let wanted = byFullPass(all.slice(0, 33), 32);
    for (let from = 33; from < all.length; from += 12) {
      const end = Math.min(from + 12, all.length);
      wanted += byFullPass(all.slice(Math.max(0, end - 33), end), end - from);
    }
    const score = await scoreText(scorer, opened, text, options);
    expect(score.tokens).toBe(text.length);
    expect(score.loss).toBeCloseTo(-wanted / text.length, 5);
    // How rows are joined to batches changes nothing.
    const single = await scoreText(new Scorer(opened.model, { batchTokens: 1 }), opened, text, options);
    expect(single.loss).toBeCloseTo(score.loss, 6);
  });

  it("is cut into windows that score every token once", () => {
    for (const length of [2, 7, 8, 9, 20, 33])
      for (const [size, stride] of [
        [8, 8],
        [8, 3],
        [7, 1],
        [1, 1],
      ] as const) {
        const ids = Uint32Array.from({ length }, (_, i) => i);
        const scored = [...textWindows(ids, { most: context, context: size, stride })].flatMap((row, i) => {
          expect(row.ids.length).toBeLessThanOrEqual(size + 1);
          if (i > 0) expect(row.from).toBeGreaterThanOrEqual(1 + Math.min(size - stride, size - 1));
          return Array.from(row.ids).slice(row.from);
        });
        expect(scored).toEqual(Array.from(ids).slice(1));
      }
  });

  it("says what it could not score, and joins files by their tokens", async () => {
    const plain = await scoreText(scorer, { tokenizer: opened.tokenizer, beginToken: undefined }, "hello");
    expect(plain).toMatchObject({ tokens: 4, bytes: 4, unscored: 1 });
    expect(plain.loss).toBeCloseTo(-byFullPass(idsOf("hello"), 4) / 4, 5);
    const other = await scoreText(scorer, opened, text);
    const both = joinScores([plain, other]);
    expect(both).toMatchObject({ tokens: 4 + text.length, bytes: 4 + text.length, unscored: 1 });
    expect(both.loss).toBeCloseTo((4 * plain.loss + text.length * other.loss) / (4 + text.length), 10);
  });

  it("names the file it cannot read", async () => {
    const path = join(folder, "french.txt");
    await writeFile(path, "déjà");
    await expect(scoreTextFile(scorer, opened, { path })).rejects.toThrow(`${path}: the vocabulary lacks "é"`);
    await writeFile(path, "");
    await expect(scoreTextFile(scorer, opened, { path })).rejects.toThrow(`${path}: has no token to score`);
    await expect(scoreText(scorer, opened, "a", { stride: 200 })).rejects.toThrow("stride: must be");
  });
});

describe("a context and its continuation", () => {
  it("are tokenized as one text; white space at the border is the continuation's", async () => {
    const tokenizer = await trainBpe(["low lower lowest low low lower new newer newest"], {
      vocabSize: 270,
      specialTokens: ["<|end|>"],
    });
    const model = { tokenizer, beginToken: tokenizer.specialTokens.get("<|end|>") };
    const parts = (before: string, after: string): string[] => {
      const { ids, from } = pairRow(model, before, after)!;
      const list = Array.from(ids);
      return [tokenizer.decode(list.slice(0, from)), tokenizer.decode(list.slice(from))];
    };
    expect(parts("low", " lower")).toEqual(["low", " lower"]);
    expect(parts("low ", "lower")).toEqual(["low", " lower"]);
    expect(parts("low\n", "new")).toEqual(["low", "\nnew"]);
    expect(parts("", "low")).toEqual(["<|end|>", "low"]);
    expect(parts("  ", "low")).toEqual(["<|end|>", "  low"]);
    expect(pairRow({ tokenizer, beginToken: undefined }, "", "low")).toBeUndefined();
    // One token covers both: the continuation is that token.
    expect(tokenizer.encode("low")).toHaveLength(1);
    expect(parts("lo", "w")).toEqual(["<|end|>", "low"]);
  });
});

describe("tasks", () => {
  async function file(name: string, rows: readonly unknown[]): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    return path;
  }
  const loglik = (before: string, after: string): number => byFullPass(idsOf(before + after), after.length);

  it("of several choices are decided by log-likelihood, and by that per byte", async () => {
    const choices = ["a", "yes", "no way at all", "z:"];
    const contexts = Array.from({ length: 30 }, (_, i) => text.slice(i, 2 * i + 5).trim());
    const best = (before: string, perByte: boolean): number => {
      const sums = choices.map((choice) => loglik(before, choice) / (perByte ? choice.length : 1));
      return sums.indexOf(Math.max(...sums));
    };
    const rows = contexts.map((before, i) => ({ context: before, choices, answer: i % 4, id: i }));
    const score = (await scoreTasks(scorer, opened, { path: await file("choice.jsonl", rows) })) as ChoiceScore;
    const hits = rows.filter((row) => best(row.context, false) === row.answer).length;
    const hitsPerByte = rows.filter((row) => best(row.context, true) === row.answer).length;
    expect(hits).not.toBe(hitsPerByte);
    expect(score).toMatchObject({ kind: "choice", rows: 30, cut: 0 });
    expect(score.accuracy.value).toBeCloseTo(hits / 30, 12);
    expect(score.accuracyPerByte.value).toBeCloseTo(hitsPerByte / 30, 12);
    const p = hits / 30;
    expect(score.accuracy.standardError).toBeCloseTo(Math.sqrt((p * (1 - p)) / 29), 12);
    expect(score.accuracy.low).toBeLessThan(p);
    expect(score.accuracy.high).toBeGreaterThan(p);
  });

  it("of one target are hit where greedy generation writes it; contexts that are too long are cut", async () => {
    let written = "";
    const { model, tokenizer } = opened;
    for await (const token of generate(model, idsOf("Brevity is"), { tokenizer, temperature: 0, maxTokens: 5 }))
      written += token.text;
    const long = text.slice(0, 200);
    const rows = [
      { context: "Brevity is", target: written },
      { context: "Brevity is", target: `${written.slice(0, -1)}${written.endsWith("q") ? "x" : "q"}` },
      { context: long, target: "age" },
    ];
    const sums = [
      loglik("Brevity is", rows[0]!.target),
      loglik("Brevity is", rows[1]!.target),
      byFullPass(idsOf(`${long}age`).slice(-context - 1), 3),
    ];
    const path = await file("cloze.jsonl", rows);
    const score = (await scoreTasks(scorer, opened, { path })) as ClozeScore;
    expect(score).toMatchObject({ kind: "cloze", rows: 3, cut: 1 });
    expect(score.accuracy.value).toBeCloseTo(1 / 3, 12);
    const sum = sums.reduce((all, one) => all + one, 0);
    const tokens = 2 * written.length + 3;
    expect(score.logLikelihood.value).toBeCloseTo(sum / 3, 4);
    const mean = sum / 3;
    const variance = sums.reduce((all, one) => all + (one - mean) ** 2, 0) / 2;
    expect(score.logLikelihood.standardError).toBeCloseTo(Math.sqrt(variance / 3), 4);
    expect(score.perplexity / Math.exp(-sum / tokens)).toBeCloseTo(1, 5);
    expect(score.bitsPerByte).toBeCloseTo(-sum / Math.LN2 / tokens, 4);
  });

  it.each([
    [[{ context: "a", choices: ["b"], answer: 0 }], 1, "two or more texts"],
    [[{ context: "a", choices: ["b", ""], answer: 0 }], 1, "`choices[1]` is a text"],
    [[{ context: "a", choices: ["b", "c"], answer: 2 }], 1, "place from 0 to 1: received 2"],
    [[{ context: "a", target: "b" }, { context: "a" }], 2, "`target` is a text: received nothing"],
    [[{ context: "a", target: "b", label: 1 }], 1, 'a field "label"'],
    [
      [
        { context: "a", target: "b" },
        { context: "a", choices: ["b", "c"], answer: 0 },
      ],
      2,
      "began with cloze rows",
    ],
    [[{ context: "a", target: "é" }], 1, "the vocabulary lacks"],
    [[{ context: "a", target: "b".repeat(100) }], 1, "a text of 100 tokens: the model has 96 places"],
    [["text"], 1, "a row is an object"],
  ])("refuse %j at line %d", async (rows, line, part) => {
    const path = await file("wrong.jsonl", rows);
    const told = expect.objectContaining({ name: "DataError", where: `${path}:${line}` }) as Error;
    await expect(scoreTasks(scorer, opened, { path })).rejects.toEqual(told);
    await expect(scoreTasks(scorer, opened, { path })).rejects.toThrow(part);
  });

  it("refuse a file without rows, and an empty context where nothing begins a text", async () => {
    await expect(scoreTasks(scorer, opened, { path: await file("empty.jsonl", []) })).rejects.toThrow("has no rows");
    const path = await file("bare.jsonl", [{ context: "", target: "b" }]);
    const bare = { tokenizer: opened.tokenizer, beginToken: undefined };
    await expect(scoreTasks(scorer, bare, { path })).rejects.toThrow(`${path}:1: the context is empty`);
    expect(await scoreTasks(scorer, opened, { path })).toMatchObject({
      rows: 1,
      logLikelihood: { standardError: undefined },
    });
  });
});
