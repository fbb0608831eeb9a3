// explain: every number against an independent computation; checks of all kinds of layers; what is refused.
import { describe, expect, it } from "vitest";
import { tensor } from "../../engine/tensor/index.ts";
import {
  activation,
  batchNormalization,
  conv2d,
  dense,
  dropout,
  embedding,
  flatten,
  lstm,
  maxPooling2d,
  Module,
  type Context,
} from "../nn/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import { Sequential } from "../train/index.ts";
import { explain, type Explanation } from "./index.ts";

const texts = (formulas: readonly { readonly text: string }[]): string[] => formulas.map(({ text }) => text);
const worst = ({ checks }: Explanation): number => Math.max(...checks.map(({ relativeError }) => relativeError));

describe("a 2-3-2 network", () => {
  // Kernels as Keras stores them: a row for each input. All numbers exact in float32.
  const K1 = [
    [0.5, -0.75, 0.25],
    [-0.125, 0.375, 1],
  ];
  const B1 = [0.125, 0.25, -0.5];
  const K2 = [
    [0.25, -0.5],
    [0.625, 0.75],
    [-1, 0.375],
  ];
  const B2 = [0, 0.25];
  const x = [0.5, -1.5];
  const label = 1;
  const eta = 0.125;
  const model = new Sequential([
    dense(3, { activation: "tanh", inputShape: [2] }),
    dense(2, { activation: "softmax" }),
  ]);
  model.compile({ loss: "sparse_categorical_crossentropy" });
  model.init(0, { dtype: "float32", shape: [1, 2] });
  model.load({
    "dense.kernel": tensor(K1),
    "dense.bias": tensor(B1),
    "dense_1.kernel": tensor(K2),
    "dense_1.bias": tensor(B2),
  });
  const e = explain(model, { input: x, target: label }, { learningRate: eta });
  const [one, two] = e.layers as [Explanation["layers"][number], Explanation["layers"][number]];

  // The same step by hand, in float64.
  const column = (K: number[][], j: number): number[] => K.map((row) => row[j]!);
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, v, i) => s + v * b[i]!, 0);
  const z1 = B1.map((b, j) => dot(x, column(K1, j)) + b);
  const a1 = z1.map(Math.tanh);
  const z2 = B2.map((b, j) => dot(a1, column(K2, j)) + b);
  const exp = z2.map(Math.exp);
  const a2 = exp.map((v) => v / (exp[0]! + exp[1]!));
  const d2 = a2.map((p, i) => p - Number(i === label));
  const up1 = a1.map((_, i) => dot(K2[i]!, d2));
  const slope1 = a1.map((a) => 1 - a * a);
  const d1 = up1.map((u, i) => u * slope1[i]!);
  const g1 = x.map((v) => d1.map((d) => v * d));
  const g2 = a1.map((v) => d2.map((d) => v * d));

  it.each([
    ["z⁽¹⁾", one.z, z1],
    ["a⁽¹⁾", one.activation, a1],
    ["z⁽²⁾", two.z, z2],
    ["a⁽²⁾", two.activation, a2],
    ["prediction", e.prediction, a2],
    ["δ⁽²⁾", two.delta, d2],
    ["∂L/∂a⁽¹⁾", one.activationGradient, up1],
    ["σ′(z⁽¹⁾)", one.slope, slope1],
    ["δ⁽¹⁾", one.delta, d1],
    ["∂L/∂a⁽⁰⁾", one.inputGradient[0], x.map((_, i) => dot(K1[i]!, d1))],
    ["∂L/∂W⁽¹⁾", one.gradients["kernel"], g1.flat()],
    ["∂L/∂b⁽¹⁾", one.gradients["bias"], d1],
    ["∂L/∂W⁽²⁾", two.gradients["kernel"], g2.flat()],
    ["∂L/∂b⁽²⁾", two.gradients["bias"], d2],
    ["W⁽¹⁾ before", one.before["kernel"], K1.flat()],
    ["W⁽¹⁾ after", one.after["kernel"], K1.flat().map((w, i) => w - eta * g1.flat()[i]!)],
    ["b⁽²⁾ after", two.after["bias"], B2.map((b, i) => b - eta * d2[i]!)],
  ])("%s", (_, quantity, expected) => {
    expect(quantity!.values).toHaveLength(expected.length);
    quantity!.values.forEach((v, i) => expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-14));
  });

  it("the loss before, after, and as promised", () => {
    expect(e.loss.value).toBeCloseTo(-Math.log(a2[label]!), 14);
    expect(e.loss.penalty).toBeNull();
    const squares = [...g1.flat(), ...d1, ...g2.flat(), ...d2].reduce((s, g) => s + g * g, 0);
    expect(e.loss.promised).toBeCloseTo(-eta * squares, 14);
    const after = explain(clone(e), { input: x, target: label }, { loss: "sparse_categorical_crossentropy" });
    expect(e.loss.after).toBeCloseTo(after.loss.value, 6);
    expect(e.loss.after).toBeLessThan(e.loss.value);
  });

  it("the layers and their formulas", () => {
    expect(e.layers.map(({ path, role, number, from }) => [path, role, number, from])).toEqual([
      ["dense", "dense", 1, [0]],
      ["dense_1", "dense", 2, [1]],
    ]);
    expect(texts(one.formulas.forward)).toEqual(["z⁽¹⁾ = W⁽¹⁾ a⁽⁰⁾ + b⁽¹⁾", "a⁽¹⁾ = tanh(z⁽¹⁾)"]);
    expect(texts(one.formulas.backward)).toEqual(["δ⁽¹⁾ = (W⁽²⁾ᵀ δ⁽²⁾) ⊙ tanh′(z⁽¹⁾)"]);
    expect(texts(two.formulas.backward)).toEqual(["δ⁽²⁾ = a⁽²⁾ − y"]);
    expect(texts(e.loss.formulas)).toEqual(["L = −ln a⁽²⁾[y]"]);
    expect(two.activationGradient).toBeNull(); // the loss reads z⁽²⁾, not the probabilities
  });

  it("one neuron, written out", () => {
    const { neuron } = one;
    const index = d1.map(Math.abs).indexOf(Math.max(...d1.map(Math.abs)));
    expect(neuron!.index).toBe(index);
    expect(neuron!.terms.reduce((s, t) => s + t.product, 0) + neuron!.bias!).toBeCloseTo(z1[index]!, 14);
    expect(neuron!.others).toBe(0);
  });

  it("differences agree", () => {
    expect(e.checks).toHaveLength(3 + 3 + 3 + 2);
    expect(worst(e)).toBeLessThan(1e-8);
  });

  it("is plain data, and leaves the model as it was", () => {
    expect(JSON.parse(JSON.stringify(e))).toEqual(e);
    expect(model.tensors()["dense.kernel"]!.toNested()).toEqual(K1);
  });

  it("prints the step as a program", () => {
    expect(e.program).toMatch(/matmul .*transposeB=true/);
    expect(e.program).toContain("tanh");
  });

  function clone({ layers }: Explanation): Sequential {
    const copy = new Sequential([
      dense(3, { activation: "tanh", inputShape: [2] }),
      dense(2, { activation: "softmax" }),
    ]);
    copy.init(0, { dtype: "float32", shape: [1, 2] });
    const entries = layers.flatMap(({ path, after }) =>
      Object.entries(after).map(
        ([name, { shape, values }]) => [`${path}.${name}`, tensor(values).reshape(shape)] as const,
      ),
    );
    copy.load(Object.fromEntries(entries));
    return copy;
  }
});

describe("other layers and losses", () => {
  const image = Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (__, j) => [Math.sin(i * 1.3 + j * j)]));

  it("convolution, normalisation, pooling: shown by operations, checked by differences", () => {
    const model = new Sequential([
      conv2d(3, [3, 3], { activation: "relu", inputShape: [8, 8, 1] }),
      batchNormalization(),
      maxPooling2d({ poolSize: 2 }),
      dropout(0.5),
      flatten(),
      dense(4, { activation: "softmax" }),
    ]).init(3, { dtype: "float32", shape: [1, 8, 8, 1] });
    const e = explain(model, { input: image, target: 2 }, { loss: "sparse_categorical_crossentropy" });
    expect(e.layers.map(({ kind, role, number }) => [kind, role, number])).toEqual([
      ["Conv2D", "other", 1],
      ["BatchNormalization", "other", 2],
      ["MaxPooling2D", "other", 3],
      ["Dropout", "layout", 3],
      ["Flatten", "layout", 3],
      ["Dense", "dense", 4],
    ]);
    expect(e.layers[0]!.z!.shape).toEqual([6, 6, 3]);
    expect(texts(e.layers[0]!.formulas.backward)).toEqual(["δ⁽¹⁾ = ∂L/∂a⁽¹⁾ ⊙ relu′(z⁽¹⁾)"]);
    expect(texts(e.layers[2]!.formulas.backward)).toEqual(["δ⁽³⁾ = W⁽⁴⁾ᵀ δ⁽⁴⁾"]);
    expect(e.layers[1]!.frozen).toEqual(["movingMean", "movingVariance"]);
    expect(e.notes.join()).toMatch(/not as in training.*movingMean/);
    expect(e.sample.image).toEqual([8, 8, 1]);
    expect(new Set(e.checks.map(({ path }) => path)).size).toBe(6);
    expect(worst(e)).toBeLessThan(1e-6);
  });

  it("recurrent layers: whole numbers in, loops inside", () => {
    const model = new Sequential([embedding(7, 3, { inputShape: [5] }), lstm(4), dense(1)]);
    model.init(1, { dtype: "int32", shape: [1, 5] });
    const e = explain(model, { input: Int32Array.of(1, 2, 6, 0, 3), target: [0.5] }, { loss: "mse" });
    expect(e.layers.map(({ kind }) => kind)).toEqual(["Embedding", "LSTM", "Dense"]);
    expect(e.layers[0]!.inputGradient).toEqual([null]);
    const trained = model.parameters().filter(({ trainable }) => trainable);
    expect(new Set(e.checks.map(({ path }) => path))).toEqual(new Set(trained.map(({ path }) => path)));
    expect(worst(e)).toBeLessThan(1e-6);
    expect(texts(e.layers[2]!.formulas.backward)).toEqual(["δ⁽³⁾ = 2/1 (a⁽³⁾ − y)"]);
  });

  it("dropout in training drops, and the gradient knows", () => {
    const model = new Sequential([dense(20, { inputShape: [3] }), dropout(0.5), dense(1)]);
    model.init(1, { dtype: "float32", shape: [1, 3] });
    const sample = { input: [1, 2, 3], target: [0] };
    const e = explain(model, sample, { loss: "mse", training: true, seed: 5 });
    const dropped = e.layers[1]!.activation.values.flatMap((v, i) => (v === 0 ? [i] : []));
    expect(dropped.length).toBeGreaterThan(2);
    expect(dropped.length).toBeLessThan(18);
    for (const i of dropped) expect(e.layers[0]!.delta!.values[i]).toBe(0);
    expect(worst(e)).toBeLessThan(1e-6);
    expect(explain(model, sample, { loss: "mse", training: true, seed: 5 }).loss.value).toBe(e.loss.value);
  });

  it("activation layers, logits left to the loss, a penalty", () => {
    const model = new Sequential([
      dense(3, { inputShape: [2], kernelRegularizer: { name: "l2", l2: 0.125 } }),
      activation("sigmoid"),
      dense(3),
      activation("softmax"),
    ]).init(2, { dtype: "float32", shape: [1, 2] });
    const e = explain(model, { input: [1, -1], target: [0, 0, 1] }, { loss: "categorical_crossentropy" });
    const [d1, s, d2, soft] = e.layers;
    expect(e.layers.map(({ role }) => role)).toEqual(["dense", "activation", "dense", "activation"]);
    expect(texts(d1!.formulas.backward)).toEqual(["δ⁽¹⁾ = δ⁽²⁾ ⊙ sigmoid′(a⁽¹⁾)"]);
    expect(texts(s!.formulas.backward)).toEqual(["δ⁽²⁾ = W⁽³⁾ᵀ δ⁽³⁾"]);
    expect(texts(d2!.formulas.backward)).toEqual(["δ⁽³⁾ = softmax(a⁽³⁾) − y"]);
    expect(soft!.delta).toBeNull();
    expect(texts(d1!.formulas.gradients)[0]).toBe("∂L/∂W⁽¹⁾ = δ⁽¹⁾ a⁽⁰⁾ᵀ + ∂penalty/∂W⁽¹⁾");
    const p = e.prediction.values;
    d2!.delta!.values.forEach((v, i) => expect(v).toBeCloseTo(p[i]! - Number(i === 2), 14));
    const penalty = d1!.before["kernel"]!.values.reduce((sum, w) => sum + 0.125 * w * w, 0);
    expect(e.loss.penalty).toBeCloseTo(penalty, 14);
    expect(e.loss.value).toBeCloseTo(e.loss.data + penalty, 14);
    d1!.gradients["kernel"]!.values.forEach((g, i) => {
      const [row, unit] = [Math.floor(i / 3), i % 3];
      const data = d1!.delta!.values[unit]! * [1, -1][row]!;
      expect(g).toBeCloseTo(data + 0.25 * d1!.before["kernel"]!.values[i]!, 14);
    });
    expect(worst(e)).toBeLessThan(1e-6);
  });

  it.each([
    [1, "δ⁽¹⁾ = a⁽¹⁾ − y"],
    [4, "δ⁽¹⁾ = 1/4 (a⁽¹⁾ − y)"],
  ])("sigmoid and binary cross-entropy of %i outputs", (units, text) => {
    const model = new Sequential([dense(units, { activation: "sigmoid", inputShape: [2] })]);
    model.init(2, { dtype: "float32", shape: [1, 2] });
    const target = Array.from({ length: units }, (_, i) => (i + 1) % 2);
    const e = explain(model, { input: [1, -1], target }, { loss: "binary_crossentropy" });
    expect(texts(e.layers[0]!.formulas.backward)).toEqual([text]);
    const p = e.prediction.values;
    e.layers[0]!.delta!.values.forEach((d, i) => expect(d).toBeCloseTo((p[i]! - target[i]!) / units, 14));
  });

  it("claims no formula where labels are smoothed", () => {
    const model = new Sequential([dense(3, { activation: "softmax", inputShape: [2] })]);
    model.init(2, { dtype: "float32", shape: [1, 2] });
    const loss = { name: "categorical_crossentropy", labelSmoothing: 0.1 };
    const e = explain(model, { input: [1, -1], target: [0, 1, 0] }, { loss });
    expect(e.loss.formulas).toEqual([]);
    expect(texts(e.layers[0]!.formulas.backward)[0]).not.toContain("y");
    expect(worst(e)).toBeLessThan(1e-6);
  });

  it("a layer used twice, and one computing between", () => {
    class Twice extends Module {
      readonly shared = dense(3, { activation: "tanh" });
      protected forward(x: Tensor, context: Context): Tensor {
        return this.shared.call(this.shared.call(x, context).mul(2), context);
      }
    }
    const model = new Twice().init(1, { dtype: "float32", shape: [1, 3] });
    const e = explain(model, { input: [1, 2, 3], target: [0, 0, 1] }, { loss: "mse" });
    expect(e.layers.map(({ path }) => path)).toEqual(["shared", "shared#2"]);
    expect(e.layers[1]!.notes.join()).toMatch(/between its layers.*sums over all its uses/s);
    expect(e.checks.map(({ path }) => path)).toContain("shared.kernel");
    expect(worst(e)).toBeLessThan(1e-6);
  });

  it("frozen layers get no gradient and no update", () => {
    const model = new Sequential([dense(3, { trainable: false, inputShape: [2] }), dense(1)]);
    model.init(1, { dtype: "float32", shape: [1, 2] });
    const [frozen] = explain(model, { input: [1, 2], target: [0] }, { loss: "mse" }).layers;
    expect(frozen!.frozen).toEqual(["kernel", "bias"]);
    expect([frozen!.gradients, frozen!.after]).toEqual([{}, {}]);
    expect(frozen!.delta).not.toBeNull();
  });
});

describe("the loss of a compiled model", () => {
  it.each(["mse", ["mse"], { output: "mse" }, { name: "huber", delta: 2 }] as const)("%j", (loss) => {
    const model = new Sequential([dense(2, { inputShape: [2] })]);
    model.compile({ loss });
    model.init(0, { dtype: "float32", shape: [1, 2] });
    const { name } = explain(model, { input: [1, 2], target: [0, 1] }).loss;
    expect(name).toBe(typeof loss === "object" && "name" in loss ? "huber" : "mean_squared_error");
  });
});

describe("explain refuses", () => {
  const model = new Sequential([dense(2, { inputShape: [2] })]);
  model.init(0, { dtype: "float32", shape: [1, 2] });
  const sample = { input: [1, 2], target: [0, 1] };
  it.each([
    ["no loss", () => explain(model, sample), /needs a loss/],
    ["NaN", () => explain(model, { ...sample, input: [1, NaN] }, { loss: "mse" }), /holds NaN at element 1/],
    [
      "a wrong target",
      () => explain(model, { ...sample, target: [1, 2, 3] }, { loss: "mse" }),
      /3 numbers, the output 2/,
    ],
    ["a rate of 0", () => explain(model, sample, { loss: "mse", learningRate: 0 }), /learning rate/],
    ["both kinds of input", () => explain(model, { ...sample, inputs: [[1]] }, { loss: "mse" }), /either `input`/],
    ["a wrong picture", () => explain(model, sample, { loss: "mse", image: [3, 3] }), /no picture of 3 × 3/],
    ["no weights", () => explain(new Sequential([dense(2)]), sample, { loss: "mse" }), /no value|initialize/],
  ])("%s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});
