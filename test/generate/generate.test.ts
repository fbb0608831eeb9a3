// Generation against the full forward pass: the same tokens from the cache, alone and side by side, on every device.
import { beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../../src/engine/core/index.ts";
import { device, setDefaultDevice, type DeviceName } from "../../src/engine/runtime/index.ts";
import { tensor } from "../../src/engine/tensor/index.ts";
import { Decoder, generate, generateBatch, largest, type GenerateOptions } from "../../src/generate/index.ts";
import { createModel, families, loadWeights, type CausalLM } from "../../src/models/index.ts";
import { readFixture } from "../parity/hf/fixture.ts";
import { tinyConfigs } from "../models/tiny.ts";

const models: { [name: string]: CausalLM } = {};
beforeAll(async () => {
  setDefaultDevice(device("reference"));
  for (const name of ["gpt2", "llama"]) {
    const { config, weights } = await readFixture(name);
    models[`${name} fixture`] = loadWeights(createModel(config), weights, families[name]!.names);
  }
  // Wider first weights than the papers': tiny models would say the same token for ever.
  for (const [name, config] of Object.entries(tinyConfigs))
    models[name] = createModel({ ...config, initializer_range: 0.3 }).init(3, { dtype: "int32", shape: [1, 1] });
});

const names = ["gpt2 fixture", "llama fixture", ...Object.keys(tinyConfigs)];

function ids(rows: readonly number[][]): ReturnType<typeof tensor> {
  const flat = Int32Array.from(rows.flat());
  return tensor(new HostArray("int32", [rows.length, rows[0]!.length], flat), { dtype: "int32" });
}

/** The most probable tokens, each from a pass over everything before it. */
function byFullPasses(model: CausalLM, prompt: readonly number[], count: number): number[] {
  const all = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = model.call(ids([all])).host();
    const size = model.vocabSize;
    all.push(largest(Float32Array.from({ length: size }, (_, j) => logits.get((all.length - 1) * size + j))));
  }
  return all.slice(prompt.length);
}

async function tokens(model: CausalLM, prompt: readonly number[], options: GenerateOptions): Promise<number[]> {
  const found: number[] = [];
  for await (const { id } of generate(model, prompt, options)) found.push(id);
  return found;
}

const greedy = { temperature: 0 };
const prompt = [5, 17, 3, 44, 8, 21, 2];

describe.each(["reference", "native", "wasm"] as const satisfies readonly DeviceName[])("on %s", (deviceName) => {
  let here: { [name: string]: CausalLM };
  beforeAll(() => {
    const target = device(deviceName);
    here = Object.fromEntries(
      Object.entries(models).map(([name, model]) => {
        setDefaultDevice(target);
        const copy = createModel(model.configJson);
        copy.trace([{ dtype: "int32", shape: [1, 1] }]);
        copy.load(Object.fromEntries(Object.entries(model.tensors()).map(([path, x]) => [path, x.to(target)])));
        return [name, copy];
      }),
    );
  });

  it.each(names)("%s: greedy is the full forward pass token for token", async (name) => {
    const model = here[name]!;
    const wanted = byFullPasses(model, prompt, 20);
    expect(new Set(wanted).size).toBeGreaterThan(1);
    expect(await tokens(model, prompt, { ...greedy, maxTokens: 20 })).toEqual(wanted);
    const decoder = new Decoder(model, { chunk: 3 });
    expect(await tokens(model, prompt, { ...greedy, maxTokens: 20, decoder })).toEqual(wanted);
    // The same decoder again: nothing of the text before is left.
    expect(await tokens(model, prompt.slice(2), { ...greedy, maxTokens: 6, decoder })).toEqual(
      byFullPasses(model, prompt.slice(2), 6),
    );
  });

  it.each(names)("%s: logits from the cache are those of the full pass", async (name) => {
    const model = here[name]!;
    const decoder = new Decoder(model, { slots: 3, chunk: 4 });
    await decoder.prefill(2, [9, 9, 9, 9, 9]);
    const rows = [await decoder.prefill(2, [1]), ...(await decoder.step([{ slot: 2, id: 4 }]))];
    decoder.rewind(2, 0);
    rows.push(await decoder.prefill(2, prompt));
    const extended = await decoder.extend(2, [7, 7, 30]);
    const full = model.call(ids([[...prompt, 7, 7, 30]])).host();
    [rows.at(-1)!, ...extended].forEach((row, i) => {
      const at = (prompt.length - 1 + i) * model.vocabSize;
      const far = row.reduce((most, x, j) => Math.max(most, Math.abs(x - full.get(at + j))), 0);
      expect(far).toBeLessThan(
        1e-5 *
          Math.max(
            1,
            row.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
          ),
      );
    });
  });

  it("texts side by side are the texts alone", async () => {
    const model = here["llama"]!;
    const prompts = [prompt, [1], [2, 30, 4], prompt.slice(0, 4), [60, 61]];
    for (const slots of [2, 5]) {
      const texts = prompts.map((): number[] => []);
      const options = { temperature: 0.9, topK: 20, maxTokens: 9, seed: 4 };
      for await (const { index, id } of generateBatch(model, prompts, { ...options, slots })) texts[index]!.push(id);
      const alone = await Promise.all(prompts.map((one, i) => tokens(model, one, { ...options, seed: 4 + i })));
      expect(texts).toEqual(alone);
    }
  });
});

describe("a text", () => {
  let model: CausalLM;
  beforeAll(() => {
    setDefaultDevice(device("reference"));
    model = models["gpt2"]!;
  });

  it("is the same for the same seed, and another for another", async () => {
    const one = { maxTokens: 16, temperature: 1.2 };
    const first = await tokens(model, prompt, { ...one, seed: 1 });
    expect(await tokens(model, prompt, { ...one, seed: 1 })).toEqual(first);
    expect(await tokens(model, prompt, { ...one, seed: 2 })).not.toEqual(first);
  });

  it("ends at its last token, at a stop token, and where the row is full", async () => {
    const all = await tokens(model, prompt, { ...greedy, maxTokens: 12 });
    expect(all).toHaveLength(12);
    const stopTokens = [all[4]!];
    const stopped: (string | undefined)[] = [];
    for await (const { finish } of generate(model, prompt, { ...greedy, stopTokens, maxTokens: 12 }))
      stopped.push(finish);
    expect(stopped.at(-1)).toBe("stop");
    expect(stopped).toHaveLength(all.indexOf(all[4]!) + 1);
    const decoder = new Decoder(model, { length: 10 });
    // Seven places of the prompt, three more, and the token after the last.
    expect(await tokens(model, prompt, { ...greedy, decoder })).toEqual(all.slice(0, 4));
  });

  it("that does not fit is refused, or slides where asked", async () => {
    const decoder = new Decoder(model, { length: 10 });
    await expect(tokens(model, prompt, { ...greedy, decoder, maxTokens: 5 })).rejects.toThrow(
      "the model has 10 places: received a prompt of 7 tokens and 5 to generate",
    );
    const long = Array.from({ length: 11 }, (_, i) => i);
    await expect(tokens(model, long, { decoder })).rejects.toThrow("a prompt of 11 tokens");
    const slid = await tokens(model, prompt, { ...greedy, decoder, maxTokens: 12, overflow: "slide" });
    const wanted = byFullPasses(model, prompt, 4);
    // The row is full after ten tokens: the last five of eleven go on.
    wanted.push(...byFullPasses(model, [...prompt, ...wanted].slice(-5), 6));
    wanted.push(...byFullPasses(model, [...prompt, ...wanted].slice(-5), 2));
    expect(slid).toEqual(wanted);
  });

  it("tells log-probabilities of the model", async () => {
    for await (const token of generate(model, prompt, { temperature: 0, maxTokens: 3, logprobs: 4 })) {
      expect(token.top).toHaveLength(4);
      expect(token.top![0]).toEqual({ id: token.id, logprob: token.logprob });
      expect(token.top!.map(({ logprob }) => logprob)).toEqual(
        token.top!.map(({ logprob }) => logprob).sort((a, b) => b - a),
      );
      const logits = model.call(ids([prompt])).host();
      const row = Float64Array.from({ length: model.vocabSize }, (_, i) =>
        logits.get((prompt.length - 1) * model.vocabSize + i),
      );
      const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      expect(token.logprob).toBeCloseTo(row[token.id]! - total, 5);
      break;
    }
  });
});

describe("a decoder refuses", () => {
  let decoder: Decoder;
  beforeAll(() => {
    setDefaultDevice(device("reference"));
    decoder = new Decoder(models["gpt2"]!, { slots: 2, length: 8 });
  });
  it("slots, tokens and places that do not exist", async () => {
    await expect(decoder.prefill(2, [1])).rejects.toThrow("must be from 0 to 1: received 2");
    await expect(decoder.prefill(0, [])).rejects.toThrow("at least one token");
    await expect(decoder.prefill(0, [64])).rejects.toThrow("token 64 is out of range [0, 64)");
    await expect(decoder.prefill(0, new Array<number>(9).fill(1))).rejects.toThrow("a row has 8 places");
    await decoder.prefill(0, [1, 2]);
    await expect(decoder.step([0, 0].map((slot) => ({ slot, id: 1 })))).rejects.toThrow("named twice");
    expect(() => decoder.rewind(0, 3)).toThrow("slot 0 holds 2 tokens: received 3");
    const both = [decoder.step([{ slot: 0, id: 1 }]), decoder.step([{ slot: 0, id: 1 }])];
    const settled = await Promise.allSettled(both);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });
});
