// The language models: documents apart, dropout, blocks computed again, the loss by chunks, experts, presets.
import { beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../../src/engine/core/index.ts";
import { device, setDefaultDevice } from "../../src/engine/runtime/index.ts";
import {
  jit,
  random,
  tensor,
  traceProgram,
  valueAndGrad,
  withDevice,
  type Tensor,
} from "../../src/engine/tensor/index.ts";
import { tokenObjective } from "../../src/learn/train/index.ts";
import { Context, type NamedTensors, tokenLosses, type TokenLossOptions } from "../../src/learn/nn/index.ts";
import {
  createModel,
  depthDial,
  fileArrays,
  families,
  loadWeights,
  presets,
  type CausalLM,
  type ConfigJson,
  type ModelOptions,
  type RowsInput,
} from "../../src/models/index.ts";
import { tinyConfigs } from "./tiny.ts";

beforeAll(() => setDefaultDevice(device("reference")));

const names = Object.keys(tinyConfigs);

function build(config: ConfigJson, options: ModelOptions = {}): CausalLM {
  return createModel({ ...config, initializer_range: 0.2 }, options).init(5, { dtype: "int32", shape: [1, 1] });
}

function ints(rows: readonly (readonly number[])[]): Tensor {
  const flat = Int32Array.from(rows.flat());
  return tensor(new HostArray("int32", [rows.length, rows[0]!.length], flat), { dtype: "int32" });
}

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

const first = [3, 9, 27, 11];
const second = [40, 2, 2, 19, 55];

describe.each(names)("%s", (name) => {
  it("keeps documents of a row apart: each has the logits it has alone", () => {
    const model = build(tinyConfigs[name]!);
    const ids = ints([[...first, ...second]]);
    const segments = ints([[...first.map(() => 7), ...second.map(() => 8)]]);
    const together = model.call({ ids, segments }).host().toFlat();
    const alone = [first, second].flatMap((row) =>
      model
        .call(ints([row]))
        .host()
        .toFlat(),
    );
    expect(furthest(together, alone)).toBeLessThan(1e-12);
    // Given positions are taken; joined, the second document sees the first.
    const positions = ints([[...first.keys(), ...second.keys()]]);
    expect(furthest(model.call({ ids, segments, positions }).host().toFlat(), alone)).toBeLessThan(1e-12);
    const joined = model.call({ ids }).host().toFlat();
    expect(furthest(joined.slice(0, first.length * 64), alone.slice(0, first.length * 64))).toBeLessThan(1e-12);
    expect(furthest(joined, alone)).toBeGreaterThan(1e-3);
  });

  it("is written and read by the names of its family", () => {
    const model = build(tinyConfigs[name]!);
    const { names: table } = families[name]!;
    const again = loadWeights(createModel(model.configJson), fileArrays(model.tensors(), table), table);
    const ids = ints([second]);
    expect(furthest(again.call(ids).host().toFlat(), model.call(ids).host().toFlat())).toBe(0);
  });

  it("has the same gradients with its blocks computed again", () => {
    const [kept, again] = [false, true].map((checkpointBlocks) => build(tinyConfigs[name]!, { checkpointBlocks }));
    const [a, b] = [gradients(kept!), gradients(again!)];
    expect(b.loss).toBe(a.loss);
    for (const path of Object.keys(a.gradients)) expect(furthest(b.gradients[path]!, a.gradients[path]!), path).toBe(0);
    const equations = (model: CausalLM): number =>
      traceProgram((values: NamedTensors) => lossOf(model, values, {}), model.tensors()).equations.filter(
        ({ op }) => op.name === "checkpoint",
      ).length;
    expect([equations(kept!), equations(again!)]).toEqual([0, 2]);
  });

  it.each([{}, { labelSmoothing: 0.1, zLoss: 1e-3 }])("has the same loss by chunks of tokens: %j", (options) => {
    const model = build(tinyConfigs[name]!);
    const a = gradients(model, options);
    for (const chunk of [1, 4, 100]) {
      const b = gradients(model, { ...options, chunk });
      expect(Math.abs(b.loss - a.loss)).toBeLessThan(1e-12);
      for (const path of Object.keys(a.gradients))
        expect(furthest(b.gradients[path]!, a.gradients[path]!), path).toBeLessThan(1e-12);
    }
  });
});

const ids = [
  [3, 9, 27, 11, 4],
  [40, 2, 2, 19, 55],
];
const labels = [
  [9, 27, 11, 4, -1],
  [2, 2, 19, -1, -1],
];

const lossOfTokens = (output: Tensor, labels: Tensor, options: TokenLossOptions = {}): Tensor =>
  tokenObjective(options)(output, { x: labels, y: [labels] }).loss;

function lossOf(model: CausalLM, values: NamedTensors, options: TokenLossOptions): Tensor {
  const context = new Context({ training: true, key: random.key(1) });
  return lossOfTokens(model.pure(values, ints(ids), context).output as Tensor, ints(labels), options);
}

function gradients(
  model: CausalLM,
  options: TokenLossOptions = {},
): { readonly loss: number; readonly gradients: { readonly [path: string]: number[] } } {
  const both = jit((values: NamedTensors) =>
    valueAndGrad((params: NamedTensors) => lossOf(model, params, options))(values),
  );
  const [loss, grads] = both(model.tensors());
  return {
    loss: loss.item(),
    gradients: Object.fromEntries(Object.entries(grads).map(([path, x]) => [path, x.host().toFlat()])),
  };
}

describe("the loss", () => {
  it("counts labels that are not −1", () => {
    const model = build(tinyConfigs["gpt2"]!);
    const losses = tokenLosses(model.call(ints(ids)), ints(labels))
      .host()
      .toFlat();
    expect(losses.map((x) => x > 0)).toEqual([true, true, true, true, false, true, true, true, false, false]);
  });

  it("holds no logits of all tokens where it goes by chunks", () =>
    withDevice("wasm", () => {
      const wide = createModel({ ...tinyConfigs["gpt2"]!, vocab_size: 5000 }).init(0, {
        dtype: "int32",
        shape: [1, 1],
      });
      const rows = ints(Array.from({ length: 16 }, () => Array.from({ length: 32 }, (_, t) => t)));
      const arena = (options: TokenLossOptions): number => {
        const context = new Context({ training: true });
        const loss = (params: NamedTensors): Tensor =>
          lossOfTokens(wide.pure(params, rows, context).output as Tensor, rows, options);
        return jit((values: NamedTensors) => valueAndGrad(loss)(values)).lower(wide.tensors()).plan.arenaBytes;
      };
      const logits = 16 * 32 * 5000 * 4;
      expect(arena({})).toBeGreaterThan(logits);
      expect(arena({ chunk: 16 })).toBeLessThan(logits / 3);
    }));

  it("by chunks needs the model's own logits", () => {
    const logits = build(tinyConfigs["gpt2"]!).call(ints(ids)).mul(2);
    expect(() => tokenLosses(logits, ints(labels), { chunk: 2 })).toThrow("needs the logits as the model gave them");
  });
});

describe("dropout", () => {
  const rates = { attn_pdrop: 0.3, resid_pdrop: 0.2, embd_pdrop: 0.1 };
  const model = (): CausalLM => build({ ...tinyConfigs["gpt2"]!, ...rates });
  const trained = (one: CausalLM, seed: number, input: Tensor | RowsInput): number[] =>
    one
      .call(input, new Context({ training: true, key: random.key(seed) }))
      .host()
      .toFlat();

  it("is a function of its key, and absent in use", () => {
    const [one, plain] = [model(), build(tinyConfigs["gpt2"]!)];
    expect(one.call(ints(ids)).host().toFlat()).toEqual(plain.call(ints(ids)).host().toFlat());
    expect(trained(one, 1, ints(ids))).toEqual(trained(one, 1, ints(ids)));
    expect(furthest(trained(one, 2, ints(ids)), trained(one, 1, ints(ids)))).toBeGreaterThan(1e-3);
  });

  it("of attention keeps causal order and documents apart", () => {
    const one = build({ ...tinyConfigs["gpt2"]!, attn_pdrop: 0.3 });
    const segments = ints([[1, 1, 2, 2, 2]]);
    const [row, other] = [
      [3, 9, 27, 11, 4],
      [8, 9, 27, 11, 5],
    ];
    const [a, b] = [row, other].map((tokens) => trained(one, 1, { ids: ints([tokens]), segments }));
    // Tokens 2 and 3 see neither the first document nor the last token.
    expect(furthest(a!.slice(2 * 64, 4 * 64), b!.slice(2 * 64, 4 * 64))).toBe(0);
    expect(furthest(a!.slice(64, 128), b!.slice(64, 128))).toBeGreaterThan(1e-6);
  });
});

describe("training with dropout in attention", () => {
  it("inside documents too, never holds the weights [B, H, T, T]", () =>
    withDevice("wasm", () => {
      const [batch, time, heads] = [2, 256, 8];
      const sizes = { n_positions: time, n_embd: 8, n_layer: 1, n_head: heads, vocab_size: 64 };
      const model = build({ ...tinyConfigs["gpt2"]!, ...sizes, attn_pdrop: 0.2 });
      const rows = ints(Array.from({ length: batch }, () => Array.from({ length: time }, (_, t) => t % 64)));
      const positions = ints([Array.from({ length: time }, (_, t) => t)]).reshape([time]);
      const input = { ids: rows, segments: rows, positions };
      const loss = (params: NamedTensors): Tensor => {
        const context = new Context({ training: true, key: random.key(1) });
        return lossOfTokens(model.pure(params, input, context).output as Tensor, rows);
      };
      const { plan } = jit((values: NamedTensors) => valueAndGrad(loss)(values)).lower(model.tensors());
      expect(plan.arenaBytes).toBeLessThan((batch * heads * time * time * 4) / 2);
    }));
});

describe("a mixture of experts", () => {
  it("gives each token its best experts, weighted by their probabilities, and drops none", () => {
    const model = build(tinyConfigs["mixtral"]!);
    let seen = 0;
    const onCall = (module: unknown, input: unknown, output: unknown): void => {
      if ((module as object).constructor.name !== "Mixture") return;
      const mixture = module as { experts: { call(x: Tensor): { y: Tensor } }[]; router: { call(x: Tensor): Tensor } };
      const x = input as Tensor;
      const router = mixture.router.call(x).host();
      const experts = mixture.experts.map((expert) => expert.call(x).y.host());
      const y = (output as { y: Tensor }).y.host();
      const [tokens, width] = [x.shape[0]! * x.shape[1]!, x.shape[2]!];
      for (let t = 0; t < tokens; t++) {
        const scores = Array.from({ length: 4 }, (_, e) => Math.exp(router.get(t * 4 + e)));
        const order = [0, 1, 2, 3].sort((a, b) => scores[b]! - scores[a]!).slice(0, 2);
        const total = order.reduce((sum, e) => sum + scores[e]!, 0);
        for (let c = 0; c < width; c++) {
          const wanted = order.reduce((sum, e) => sum + (scores[e]! / total) * experts[e]!.get(t * width + c), 0);
          expect(Math.abs(y.get(t * width + c) - wanted)).toBeLessThan(1e-12);
        }
        seen++;
      }
    };
    model.pure({}, ints(ids), new Context({ training: false }), { onCall });
    expect(seen).toBe(2 * 10);
  });

  it("adds a balancing loss in training: the factor where tokens are spread evenly, more where not", () => {
    const factor = 0.5;
    const config = { ...tinyConfigs["mixtral"]!, router_aux_loss_coef: factor };
    const without = { ...config, router_aux_loss_coef: 0 };
    const extra = gradients(build(config)).loss - gradients(build(without)).loss;
    // E · Σ fₑ Pₑ with Σ fₑ = k = 2 and Σ Pₑ = 1 is at least about k, at most E.
    expect(extra).toBeGreaterThan(0.9 * 2 * factor);
    expect(extra).toBeLessThan(4 * factor);
  });
});

describe("presets", () => {
  it("are configs that build, with the sizes of their papers", () => {
    const millions = (name: string): number => {
      const model = createModel(presets[name]!);
      model.trace([{ dtype: "int32", shape: [1, 1] }]);
      return Math.round(model.count() / 1e4) / 100;
    };
    expect(Object.fromEntries(Object.keys(presets).map((name) => [name, millions(name)]))).toMatchObject({
      gpt2: 124.44,
      "gpt2-medium": 354.82,
      "gpt2-xl": 1557.61,
      shakespeare: 10.77,
      "smollm2-135m": 134.52,
      "qwen3-0.6b": 596.05,
    });
  });

  it("of one depth grow as their formulas say", () => {
    const dial = depthDial(12, { vocabSize: 32768 });
    expect(dial.config).toMatchObject({ n_layer: 12, n_embd: 768, n_head: 6, vocab_size: 32768 });
    expect(dial.tokens).toBe(12 * dial.parameters);
    const model = createModel(dial.config);
    model.trace([{ dtype: "int32", shape: [1, 1] }]);
    expect(model.count()).toBe(dial.allParameters);
    const deeper = depthDial(24, { vocabSize: 32768 });
    expect(deeper.learningRate).toBeCloseTo(dial.learningRate / Math.SQRT2, 12);
    expect(deeper.batchTokens).toBeGreaterThan(dial.batchTokens);
    expect(() => depthDial(0, { vocabSize: 10 })).toThrow("`depth` must be a whole number");
  });
});
