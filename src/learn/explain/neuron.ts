// One neuron written out: the terms of its sum, multiplied by the engine; here they are only chosen and sorted.
import { jit, tensor, type Tensor } from "../../engine/tensor/index.ts";
import type { NamedTensors } from "../nn/index.ts";
import type { Layer } from "./analyse.ts";
import type { Neuron } from "./explanation.ts";
import type { LayerNumbers } from "./step.ts";

const SHOWN = 4;

const products = jit((kernel: Tensor, input: Tensor, unit: Tensor) => {
  const weights = kernel.take(unit, 1).reshape([-1]);
  return { weights, products: weights.mul(input.reshape([-1])) };
});

/** The neuron of a dense layer with the largest |δ|, its terms by size; null where the layer sees several positions. */
export function explainNeuron(layer: Layer, numbers: LayerNumbers, before: NamedTensors): Neuron | null {
  const { z, delta, activation, input } = numbers;
  const kernelName = layer.parameters.find(({ value }) => value.shape.length === 2)?.name;
  const biasName = layer.parameters.find(({ value }) => value.shape.length === 1)?.name;
  const x = input[0];
  if (z === null || delta === null || x === undefined || kernelName === undefined) return null;
  if (z.size !== z.shape.at(-1)) return null;
  const errors = delta.host().toFlat();
  const index = errors.reduce((best, d, i) => (Math.abs(d) > Math.abs(errors[best]!) ? i : best), 0);
  const { weights, products: terms } = products(before[kernelName]!, x, tensor([index], { dtype: "int32" }));
  const [w, a, p] = [weights, x, terms].map((one) => one.host().toFlat()) as [number[], number[], number[]];
  const order = p.map((_, i) => i).sort((i, j) => Math.abs(p[j]!) - Math.abs(p[i]!) || i - j);
  const shown = order.slice(0, SHOWN);
  return {
    index,
    terms: shown.map((i) => ({ input: i, weight: w[i]!, value: a[i]!, product: p[i]! })),
    others: p.length - shown.length,
    zeros: order.slice(SHOWN).filter((i) => p[i] === 0).length,
    bias: biasName === undefined ? null : before[biasName]!.host().get(index),
    z: z.host().get(index),
    activation: activation.host().get(index),
    delta: errors[index]!,
  };
}
