// pretrain from recipe to model folder: interrupted and resumed it is the same run, bit for bit; what is refused.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openTokenShards } from "../../src/data/datasets/index.ts";
import { loadTokenizer, prepareCorpus } from "../../src/data/text/index.ts";
import { generate } from "../../src/generate/index.ts";
import { readMetrics } from "../../src/learn/train/index.ts";
import { openModel } from "../../src/models/index.ts";
import {
  checkRecipe,
  openCorpus,
  pretrain,
  recipeOfRun,
  type Recipe,
  type RecipeInput,
} from "../../src/tasks/index.ts";

const root = mkdtempSync(join(tmpdir(), "chainrule-pretrain-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const tiny = (name: string, over: Partial<RecipeInput> = {}): Recipe =>
  checkRecipe({
    out: join(root, name),
    seed: 3,
    data: { text: "shakespeare" },
    model: { preset: "shakespeare-tiny", config: { attn_pdrop: 0.1, resid_pdrop: 0.1 } },
    training: { steps: 12, batch: 6, accumulate: 2, schedule: { warmup: 3 } },
    evaluation: { every: 4, batches: 2 },
    checkpoints: { every: 5 },
    samples: { every: 6, prompt: "R", tokens: 5 },
    guard: { window: 4 },
    log: 1,
    ...over,
  });

const quiet = { progress: false } as const;
const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const lines = (folder: string): unknown[] => readMetrics(folder).map((line) => ({ ...line, time: 0 }));

describe("pretrain", () => {
  it("interrupted and resumed is the run that was not, bit for bit", async () => {
    const whole = await pretrain(tiny("whole"), quiet);
    expect(whole).toMatchObject({ steps: 12, stopped: null });
    expect(whole.best!.values["val_loss"]).toBeLessThan(4.3);
    for (const stopAt of [1, 7, 11]) {
      const recipe = tiny(`cut-${stopAt}`);
      const abort = new AbortController();
      const stop = { name: "stop", onStepEnd: ({ step }: { step: number }) => void (step === stopAt && abort.abort()) };
      const first = await pretrain(recipe, { ...quiet, signal: abort.signal, callbacks: [stop] });
      expect(first).toMatchObject({ steps: stopAt, stopped: "interrupted" });
      const again = await recipeOfRun(recipe.out);
      const second = await pretrain(again, { ...quiet, resume: true, callbacks: [stop] });
      expect(second.best).toEqual(whole.best);
      expect(lines(recipe.out)).toEqual(lines(whole.folder));
      expect(hash(join(second.model, "model.safetensors"))).toBe(hash(join(whole.model, "model.safetensors")));
      expect(readFileSync(join(recipe.out, "samples/step-12.txt"))).toEqual(
        readFileSync(join(whole.folder, "samples/step-12.txt")),
      );
    }
  }, 60_000);

  it("leaves a model that generates", async () => {
    const { model, tokenizer } = await openModel(join(root, "whole"));
    let text = "";
    for await (const token of generate(model, tokenizer.encode("ROMEO:"), { tokenizer, maxTokens: 20 }))
      text += token.text;
    expect(text).toHaveLength(20);
  });

  it("prepares files into its folder, trains on documents apart, and reads them from there when it goes on", async () => {
    const file = join(root, "lines.jsonl");
    const rows = Array.from({ length: 60 }, (_, i) => JSON.stringify({ text: `${"ab".repeat(i + 3)} number ${i}.` }));
    writeFileSync(file, rows.join("\n"));
    const of = (name: string): Recipe =>
      tiny(name, {
        data: { text: [file], tokenizer: "characters", valFraction: 0.2, documents: "apart", packing: "best-fit" },
        samples: undefined,
        training: { steps: 4, batch: 4 },
      });
    const whole = await pretrain(of("files-whole"), quiet);
    const { val_loss: loss, val_bits_per_byte: bits } = whole.last!;
    // Every character here is one byte, and the mark behind a document none.
    const held = await openTokenShards(join(whole.folder, "data"), { split: "val" });
    expect(bits).toBeCloseTo((loss! / Math.LN2) * (held.tokens / (held.tokens - held.documents)), 10);
    held.close();

    const recipe = of("files");
    const abort = new AbortController();
    const stop = { name: "stop", onStepEnd: ({ step }: { step: number }) => void (step === 2 && abort.abort()) };
    await pretrain(recipe, { ...quiet, signal: abort.signal, callbacks: [stop] });
    writeFileSync(file, rows.slice(30).join("\n"));
    const again = await pretrain(await recipeOfRun(recipe.out), { ...quiet, resume: true });
    expect(again.steps).toBe(4);
    expect(hash(join(again.model, "model.safetensors"))).toBe(hash(join(whole.model, "model.safetensors")));
  });

  it("prepares anew where a run never began, and refuses to go on over other tokens", async () => {
    const file = join(root, "other.txt");
    writeFileSync(file, "one text to train on. ".repeat(40));
    const data = { text: [file], tokenizer: "characters", valFraction: 0 };
    const recipe = tiny("again", { data, samples: undefined, training: { steps: 3, batch: 2, time: 32 } });
    await expect(pretrain({ ...recipe, training: { ...recipe.training, steps: undefined } }, quiet)).rejects.toThrow(
      /training\.steps/,
    );
    writeFileSync(file, "another text with other characters, 1 2 3! ".repeat(40));
    await pretrain(recipe, quiet);
    const { train } = await openCorpus(recipe, { resume: true });
    expect(train.vocabSize).toBe(new Set("another text with other characters, 1 2 3! ").size + 1);
    await prepareCorpus([file], await loadTokenizer(join(recipe.out, "data/tokenizer.json")), {
      out: join(recipe.out, "data"),
      end: null,
      overwrite: true,
    });
    await expect(pretrain(await recipeOfRun(recipe.out), { ...quiet, resume: true })).rejects.toThrow(/not those/);
  });

  it("writes samples of a model whose vocabulary is padded", async () => {
    const recipe = tiny("padded", {
      model: { preset: "shakespeare-tiny", config: { vocab_size: 400 } },
      training: { steps: 1, batch: 2 },
      samples: { every: 1, prompt: "R", tokens: 60, temperature: 3 },
    });
    await pretrain(recipe, quiet);
    expect(readFileSync(join(recipe.out, "samples/step-1.txt"), "utf8")).toHaveLength(62);
  });

  it("refuses a folder with another run, and another recipe for a run", async () => {
    await expect(pretrain(tiny("whole"), quiet)).rejects.toThrow(/holds a run of 12 steps/);
    await expect(pretrain({ ...tiny("whole"), seed: 4 }, { ...quiet, resume: true })).rejects.toThrow(
      /not the one this run/,
    );
    await expect(pretrain(tiny("nothing"), { ...quiet, resume: true })).rejects.toThrow(/holds no run/);
  });
});
