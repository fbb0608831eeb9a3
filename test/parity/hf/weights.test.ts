// Weights and configs of Hugging Face folders: read and written back bit by bit, and refused with the names that are wrong.
import { beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../../../src/engine/core/index.ts";
import { tensor, zeros, type Tensor } from "../../../src/engine/tensor/index.ts";
import {
  families as known,
  fileArrays,
  loadWeights,
  type CausalLM,
  type FileArrays,
} from "../../../src/models/index.ts";
import { nextTokenLoss } from "../../../src/learn/nn/index.ts";
import { readFixture, type Fixture } from "./fixture.ts";

const families = { gpt2: known["gpt2"]!, llama: known["llama"]! };
const fixtures: { [name: string]: Fixture } = {};
beforeAll(async () => {
  for (const name of Object.keys(families)) fixtures[name] = await readFixture(name);
});

const gpt2 = (weights: FileArrays): Tensor => logitsOf("gpt2", fixtures["gpt2"]!.config, weights);
const llama = (weights: FileArrays, config = fixtures["llama"]!.config): Tensor => logitsOf("llama", config, weights);

function logitsOf(name: string, config: Fixture["config"], weights: FileArrays): Tensor {
  const model = loadWeights(known[name]!.make(config), weights, known[name]!.names);
  return model.call(tensor(fixtures[name]!.answer("input_ids")));
}

/** A copy of a fixture's weights with some replaced, added or (undefined) left out. */
function changed(name: string, changes: { [weight: string]: HostArray | undefined }): Map<string, HostArray> {
  const all = new Map([...fixtures[name]!.weights, ...Object.entries(changes)]);
  return new Map([...all].filter((entry): entry is [string, HostArray] => entry[1] !== undefined));
}

describe.each(Object.entries(families))("%s", (name, { make, names }) => {
  it("is written as the file it was read from", () => {
    const { config, weights } = fixtures[name]!;
    const written = fileArrays(loadWeights(make(config), weights, names).tensors(), names);
    expect([...written.keys()].sort()).toEqual([...weights.keys()].sort());
    for (const [key, array] of weights) expect(written.get(key)!.cast(array.dtype).equals(array), key).toBe(true);
  });

  it("begins near the loss of guessing, with values a seed fixes", () => {
    const { config, weights, answer } = fixtures[name]!;
    const fresh = (seed: number): CausalLM => make(config).init(seed, { dtype: "int32", shape: [1, 1] });
    const ids = tensor(answer("input_ids"));
    const logits = fresh(7).call(ids);
    expect(fresh(7).count()).toBe([...weights.values()].reduce((n, { size }) => n + size, 0));
    expect(fresh(7).call(ids).host().equals(logits.host())).toBe(true);
    expect(fresh(8).call(ids).host().equals(logits.host())).toBe(false);
    // Logits begin with a deviation of 0.02 · √32 ≈ 0.11; their mean over 22 tokens is within 4 deviations of it, 0.1.
    const guessing = Math.log(config["vocab_size"] as number);
    expect(Math.abs(nextTokenLoss(logits, ids).item() - guessing)).toBeLessThan(0.1);
  });

  it("says which weights are missing and which are unexpected", () => {
    const { config, weights } = fixtures[name]!;
    const [first, second] = [...weights.keys()] as [string, string];
    const renamed = new Map([...weights].map(([key, array]) => [key === first ? "old.weight" : key, array]));
    renamed.delete(second);
    expect(() => loadWeights(make(config), renamed, names)).toThrow(
      `missing [${first}, ${second}], unexpected [old.weight]`,
    );
    const deeper = new Map(weights).set(
      second.replace(/\.0\.|^/, (at) => (at === "" ? "x." : ".9.")),
      weights.get(second)!,
    );
    expect(() => loadWeights(make(config), deeper, names)).toThrow(/missing \[\], unexpected \[.+\]/);
  });

  it("refuses a weight of another shape", () => {
    const { config, weights } = fixtures[name]!;
    const [first, array] = [...weights][0]!;
    const wrong = new Map(weights).set(first, array.reshape(array.shape.toReversed()));
    expect(() => loadWeights(make(config), wrong, names)).toThrow(`${first}: expected [${array.shape.join(",")}]`);
  });
});

describe("files of other versions", () => {
  it("have a prefix before every name of GPT-2, masks among the weights, and the tied head as well", () => {
    const { weights } = fixtures["gpt2"]!;
    const other = new Map([...weights].map(([key, array]) => [`transformer.${key}`, array]));
    other.set("transformer.h.0.attn.bias", new HostArray("bool", [1, 1, 32, 32]));
    other.set("lm_head.weight", weights.get("wte.weight")!);
    expect(gpt2(other).host().equals(gpt2(weights).host())).toBe(true);
  });

  it("are refused where the tied head is another", () => {
    const { weights } = fixtures["gpt2"]!;
    const head = new HostArray("float32", weights.get("wte.weight")!.shape);
    expect(() => gpt2(changed("gpt2", { "lm_head.weight": head }))).toThrow("lm_head.weight: config.json ties");
  });

  it("are refused where a weight stands twice", () => {
    const { weights } = fixtures["gpt2"]!;
    const twice = changed("gpt2", { "transformer.wpe.weight": weights.get("wpe.weight") });
    expect(() => gpt2(twice)).toThrow("transformer.wpe.weight: `positions.embeddings` is in the file twice");
  });
});

it("Llama with tied weights is Llama with the same table twice", () => {
  const { config, weights } = fixtures["llama"]!;
  const table = weights.get("model.embed_tokens.weight")!;
  const tied = llama(changed("llama", { "lm_head.weight": undefined }), { ...config, tie_word_embeddings: true });
  const untied = llama(changed("llama", { "lm_head.weight": table }));
  expect(tied.host().equals(untied.host())).toBe(true);
});

describe("config.json", () => {
  it.each([
    ["gpt2", { n_embd: 2.5 }, "`n_embd` must be a whole number ≥ 1: received 2.5"],
    ["gpt2", { vocab_size: null }, "config.json has no `vocab_size`"],
    ["gpt2", { n_head: 5 }, "`n_embd` must divide by 5: received 32"],
    ["gpt2", { activation_function: "relu" }, '`activation_function` is supported as absent or "gelu_new" or'],
    ["gpt2", { layer_norm_epsilon: "1e-5" }, "`layer_norm_epsilon` must be a number ≥ 0"],
    ["llama", { num_key_value_heads: 3 }, "`num_attention_heads` must divide by 3: received 4"],
    ["llama", { head_dim: 7 }, "`head_dim` must divide by 2: received 7"],
    ["llama", { tie_word_embeddings: "yes" }, "`tie_word_embeddings` must be true or false"],
    [
      "llama",
      { rope_scaling: { type: "linear", factor: 2 } },
      "`rope_scaling` is supported as absent or of type default: received {",
    ],
  ])("of %s with %j is refused", (name, fields, message) => {
    expect(() => known[name]!.make({ ...fixtures[name]!.config, ...fields })).toThrow(message);
  });

  it.each([
    ["gpt2", { n_heads: 4 }, "fields nobody knows: n_heads (n_head?)"],
    ["llama", { hidden_sise: 4, moon: 1 }, "fields nobody knows: hidden_sise (hidden_size?), moon"],
    ["llama", { model_type: "mistral", sliding_window: 16 }, "`sliding_window` is supported as absent, or at least"],
    ["llama", { rope_parameters: { rope_type: "yarn", factor: 4 } }, "`rope_parameters` is supported as absent or of"],
    ["llama", { num_experts_per_tok: 2 }, "`num_experts_per_tok` is at most `num_local_experts` (1): received 2"],
    ["llama", { model_type: "falcon" }, '`model_type` is supported as absent or "llama" or "mistral"'],
  ])("of %s with %j is refused too", (name, fields, message) => {
    expect(() => known[name]!.make({ ...fixtures[name]!.config, ...fields })).toThrow(message);
  });
});

it("ids are whole numbers, two axes, no longer than the positions", () => {
  const { config, weights } = fixtures["gpt2"]!;
  const model = loadWeights(families.gpt2.make(config), weights, families.gpt2.names);
  expect(() => model.call(zeros([1, 33], "int32"))).toThrow("the model has 32 positions: received 33");
  expect(() => model.call(zeros([3], "int32"))).toThrow("expected int32[batch,time]: received int32[3]");
  expect(() => model.call(zeros([1, 3]))).toThrow("expected int32[batch,time]: received float32[1,3]");
  expect(() => nextTokenLoss(zeros([1, 1, 9]), zeros([1, 1], "int32"))).toThrow("needs two tokens a row");
});
