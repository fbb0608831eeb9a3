// Speculative decoding: greedy the same tokens as the model alone, drawn the same distribution, whatever the draft says.
import { beforeAll, describe, expect, it } from "vitest";
import { device, setDefaultDevice } from "../../src/engine/runtime/index.ts";
import { Decoder, generate, generateSpeculative, type SpeculativeOptions } from "../../src/generate/index.ts";
import { createModel, type CausalLM } from "../../src/models/index.ts";
import { tinyConfigs } from "../models/tiny.ts";

const build = (seed: number, changes: object = {}): CausalLM =>
  createModel({ ...tinyConfigs["llama"]!, initializer_range: 0.3, ...changes }).init(seed, {
    dtype: "int32",
    shape: [1, 1],
  });

let model: CausalLM;
let drafts: { [name: string]: CausalLM };
beforeAll(() => {
  setDefaultDevice(device("wasm"));
  model = build(3);
  drafts = { itself: build(3), another: build(4, { num_hidden_layers: 1 }) };
});

const prompt = [5, 17, 3];

async function speculated(options: SpeculativeOptions): Promise<number[]> {
  const found: number[] = [];
  for await (const { id } of generateSpeculative(model, prompt, options)) found.push(id);
  return found;
}

async function alone(options: Parameters<typeof generate>[2]): Promise<number[]> {
  const found: number[] = [];
  for await (const { id } of generate(model, prompt, options)) found.push(id);
  return found;
}

it("ends where the prompt fills the context, as generate does", async () => {
  const full = Array.from({ length: model.contextLength }, (_, i) => i % 7);
  const found: (string | undefined)[] = [];
  for await (const { finish } of generateSpeculative(model, full, { draft: drafts["itself"]!, temperature: 0 }))
    found.push(finish);
  expect(found).toEqual(["length"]);
});

describe("greedy", () => {
  it.each(["itself", "another"])("with %s as draft gives the tokens of the model", async (name) => {
    const checks: [number, number][] = [];
    const onCheck = (guessed: number, accepted: number): void => void checks.push([guessed, accepted]);
    for (const draftTokens of [1, 4]) {
      const options = { temperature: 0, maxTokens: 24 };
      const found = await speculated({ ...options, draft: drafts[name]!, draftTokens, onCheck });
      expect(found).toEqual(await alone(options));
    }
    const guessed = checks.reduce((sum, [n]) => sum + n, 0);
    const accepted = checks.reduce((sum, [, n]) => sum + n, 0);
    if (name === "itself") expect(accepted).toBe(guessed);
    else expect(accepted).toBeLessThan(guessed);
  });

  it("ends where the row is full", async () => {
    const decoder = new Decoder(model, { length: 12 });
    const options = { temperature: 0 };
    const found = await speculated({ ...options, draft: drafts["itself"]!, decoder });
    expect(found).toEqual(await alone({ ...options, decoder: new Decoder(model, { length: 12 }) }));
    expect(found).toHaveLength(10);
  });
});

it("drawn tokens have the distribution of the model alone", async () => {
  // The second token of many texts, by both ways: few tokens may come, so that their shares can be counted.
  const count = 400;
  const options = { temperature: 1.5, topK: 3, maxTokens: 3 };
  const shares = { alone: new Map<string, number>(), speculated: new Map<string, number>() };
  const decoder = new Decoder(model);
  for (let seed = 0; seed < count; seed++) {
    const add = (to: Map<string, number>, ids: number[]): void => {
      const key = ids.join();
      to.set(key, (to.get(key) ?? 0) + 1 / count);
    };
    add(shares.alone, await alone({ ...options, seed, decoder }));
    add(shares.speculated, await speculated({ ...options, seed: seed + 10_000, draft: drafts["another"]!, decoder }));
  }
  // Total variation of two samples of 400 over 27 texts is about 0.15 where they are of one distribution.
  const keys = new Set([...shares.alone.keys(), ...shares.speculated.keys()]);
  expect(keys.size).toBeGreaterThan(10);
  let distance = 0;
  for (const key of keys) distance += Math.abs((shares.alone.get(key) ?? 0) - (shares.speculated.get(key) ?? 0)) / 2;
  expect(distance).toBeLessThan(0.22);
});

it("refuses a draft with other tokens", async () => {
  const draft = build(1, { vocab_size: 65 });
  await expect(speculated({ draft })).rejects.toThrow("has 65 tokens, the model 64");
});
