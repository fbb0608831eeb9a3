// Backpropagation of a two-layer sigmoid network: by hand, by the engine, by finite differences, and as the article had it.
// The first three agree; the article's formulas (ΔW = O⁽ˡ⁾ (O⁽ˡ⁻¹⁾)ᵀ, Δb = O⁽ˡ⁾ a⁽ˡ⁻¹⁾) agree with none of them.
import { expect, it } from "vitest";
import { tensor } from "../../engine/tensor/index.ts";
import { dense } from "../nn/index.ts";
import { Sequential } from "../train/index.ts";
import { explain } from "./index.ts";

type Matrix = readonly (readonly number[])[];
const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));
const times = (W: Matrix, x: readonly number[]): number[] => W.map((row) => row.reduce((s, w, j) => s + w * x[j]!, 0));
const plus = (a: readonly number[], b: readonly number[]): number[] => a.map((v, i) => v + b[i]!);
const turned = (W: Matrix): number[][] => W[0]!.map((_, j) => W.map((row) => row[j]!));
const outer = (a: readonly number[], b: readonly number[]): number[][] => a.map((x) => b.map((y) => x * y));

// Exact in float32, so that the network of the engine is this one to the last bit.
const x = [0.5, -1.25, 2];
const target = [1, 0];
const W1: Matrix = [
  [0.25, -0.75, 0.5],
  [1.125, 0.375, -0.25],
  [-0.625, 0.875, 0.125],
  [0.5, 0.5, -0.875],
];
const b1 = [0.125, -0.25, 0.0625, 0];
const W2: Matrix = [
  [0.75, -0.25, 0.25, 1],
  [-0.5, 0.875, 0.625, -0.375],
];
const b2 = [0, 0.125];

interface Weights {
  readonly W1: Matrix;
  readonly b1: readonly number[];
  readonly W2: Matrix;
  readonly b2: readonly number[];
}

function forward(w: Weights): { O1: number[]; O2: number[]; loss: number } {
  const O1 = plus(times(w.W1, x), w.b1).map(sigmoid);
  const O2 = plus(times(w.W2, O1), w.b2).map(sigmoid);
  return { O1, O2, loss: O2.reduce((s, o, i) => s + (o - target[i]!) ** 2, 0) / O2.length };
}

const weights: Weights = { W1, b1, W2, b2 };
const { O1, O2, loss } = forward(weights);
// δ⁽ᴸ⁾ = ∂L/∂z, δ⁽ˡ⁾ = (W⁽ˡ⁺¹⁾ᵀ δ⁽ˡ⁺¹⁾) ⊙ σ′(z⁽ˡ⁾), and σ′(z) = O (1 − O) for the sigmoid.
const delta2 = O2.map((o, i) => (2 / O2.length) * (o - target[i]!) * o * (1 - o));
const delta1 = times(turned(W2), delta2).map((d, j) => d * O1[j]! * (1 - O1[j]!));

const byHand = { W1: outer(delta1, x), b1: delta1, W2: outer(delta2, O1), b2: delta2 };
const byArticle = { W1: outer(O1, x), W2: outer(O2, O1) };

// Central differences of every weight.
const EPSILON = 1e-6;
function differences(name: "W1" | "W2"): number[][] {
  const moved = (i: number, j: number, step: number): number => {
    const W = weights[name].map((row, r) => row.map((w, c) => (r === i && c === j ? w + step : w)));
    return forward({ ...weights, [name]: W }).loss;
  };
  return weights[name].map((row, i) =>
    row.map((_, j) => (moved(i, j, EPSILON) - moved(i, j, -EPSILON)) / (2 * EPSILON)),
  );
}
function biasDifferences(name: "b1" | "b2"): number[] {
  const moved = (i: number, step: number): number =>
    forward({ ...weights, [name]: weights[name].map((b, k) => (k === i ? b + step : b)) }).loss;
  return weights[name].map((_, i) => (moved(i, EPSILON) - moved(i, -EPSILON)) / (2 * EPSILON));
}

function largestGap(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((v, i) => Math.abs(v - b[i]!)));
}
function smallestGap(a: readonly number[], b: readonly number[]): number {
  return Math.min(...a.map((v, i) => Math.abs(v - b[i]!)));
}

const model = new Sequential([
  dense(4, { activation: "sigmoid", inputShape: [3] }),
  dense(2, { activation: "sigmoid" }),
]);
model.init(0, { dtype: "float32", shape: [1, 3] });
// Keras's layout: kernel [in, out] is W transposed.
model.load({
  "dense.kernel": tensor(turned(W1)),
  "dense.bias": tensor(b1),
  "dense_1.kernel": tensor(turned(W2)),
  "dense_1.bias": tensor(b2),
});
const explanation = explain(model, { input: x, target }, { loss: "mse" });
const [first, second] = explanation.layers;

it("the derived formulas are what finite differences measure", () => {
  expect(largestGap(byHand.W1.flat(), differences("W1").flat())).toBeLessThan(1e-9);
  expect(largestGap(byHand.W2.flat(), differences("W2").flat())).toBeLessThan(1e-9);
  expect(largestGap(byHand.b1, biasDifferences("b1"))).toBeLessThan(1e-9);
  expect(largestGap(byHand.b2, biasDifferences("b2"))).toBeLessThan(1e-9);
});

it("the engine's numbers are those of the derived formulas", () => {
  expect(explanation.loss.value).toBeCloseTo(loss, 14);
  expect(largestGap(first!.activation.values, O1)).toBeLessThan(1e-14);
  expect(largestGap(second!.activation.values, O2)).toBeLessThan(1e-14);
  expect(largestGap(first!.delta!.values, delta1)).toBeLessThan(1e-14);
  expect(largestGap(second!.delta!.values, delta2)).toBeLessThan(1e-14);
  expect(largestGap(first!.gradients["kernel"]!.values, turned(byHand.W1).flat())).toBeLessThan(1e-14);
  expect(largestGap(second!.gradients["kernel"]!.values, turned(byHand.W2).flat())).toBeLessThan(1e-14);
  expect(largestGap(first!.gradients["bias"]!.values, delta1)).toBeLessThan(1e-14);
  expect(largestGap(second!.gradients["bias"]!.values, delta2)).toBeLessThan(1e-14);
});

it("the formulas printed are the derived ones", () => {
  expect(second!.formulas.backward.map(({ text }) => text)).toEqual(["δ⁽²⁾ = (2/2 (a⁽²⁾ − y)) ⊙ sigmoid′(z⁽²⁾)"]);
  expect(first!.formulas.backward.map(({ text }) => text)).toEqual(["δ⁽¹⁾ = (W⁽²⁾ᵀ δ⁽²⁾) ⊙ sigmoid′(z⁽¹⁾)"]);
  expect(first!.formulas.gradients.map(({ text }) => text)).toEqual(["∂L/∂W⁽¹⁾ = δ⁽¹⁾ a⁽⁰⁾ᵀ", "∂L/∂b⁽¹⁾ = δ⁽¹⁾"]);
});

it("the article's formulas are not the gradient: not one element agrees", () => {
  expect(smallestGap(byArticle.W1.flat(), differences("W1").flat())).toBeGreaterThan(0.05);
  expect(smallestGap(byArticle.W2.flat(), differences("W2").flat())).toBeGreaterThan(0.04);
  // Δb = O⁽ˡ⁾ a⁽ˡ⁻¹⁾ multiplies a column of 4 by one of 3: it has no meaning as a bias of 4 neurons. Even where the
  // layers are equally wide (the first two neurons with the first two inputs) its numbers are others.
  expect(O1.length).not.toBe(x.length);
  const articleBias = [O1[0]! * x[0]!, O1[1]! * x[1]!];
  expect(smallestGap(articleBias, biasDifferences("b1").slice(0, 2))).toBeGreaterThan(0.05);
});

it("a step along the derived gradient lowers the loss; the article's step leaves even a perfect answer", () => {
  const step = (W: Matrix, g: Matrix): number[][] => W.map((row, i) => row.map((w, j) => w - 0.1 * g[i]![j]!));
  const after = (g: { W1: Matrix; W2: Matrix }): Weights => ({ ...weights, W1: step(W1, g.W1), W2: step(W2, g.W2) });
  expect(forward(after(byHand)).loss).toBeLessThan(loss);
  // If the target is what the network says, the gradient is 0 and nothing should move. The target does not occur in the
  // article's formulas: they move on, and the loss rises from 0.
  const perfect = explain(model, { input: x, target: second!.activation.values }, { loss: "mse" });
  for (const { gradients } of perfect.layers)
    for (const { values } of Object.values(gradients)) expect(Math.max(...values.map(Math.abs))).toBeLessThan(1e-7);
  const moved = forward(after(byArticle)).O2;
  expect(smallestGap(moved, O2)).toBeGreaterThan(0.01);
});
