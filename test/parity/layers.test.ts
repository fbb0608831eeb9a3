// Single layers, activations and losses against Keras 3: outputs and gradients in float64.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { decodeSafetensors } from "../../src/data/formats/index.ts";
import type { HostArray } from "../../src/engine/core/index.ts";
import { grad, setDefaultDevice, tensor, valueAndGrad, type Tensor } from "../../src/engine/tensor/index.ts";
import {
  Context,
  layerFromJson,
  resolveLoss,
  type AnyLayer,
  type Module,
  type NamedTensors,
} from "../../src/learn/nn/index.ts";
import { assertClose } from "../../src/testing/index.ts";

interface Case {
  readonly name: string;
  readonly layer: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly weights: readonly string[];
  readonly inputs: readonly string[];
}

const file = new URL("../fixtures/parity/layers.safetensors", import.meta.url);
const { tensors, metadata } = decodeSafetensors(readFileSync(file));
const cases = JSON.parse(metadata.get("cases")!) as Case[];
const isLoss = ({ name }: Case): boolean => name.startsWith("loss.");

// float64 on both sides: what remains is the order of sums.
const CLOSE = { rtol: 1e-9, atol: 1e-11 };

// Where Keras on TensorFlow rounds a constant to float32 in the midst of float64, or its gradient takes soft targets for
// an exact distribution (they sum to 1 within float32's rounding): then 2⁻²⁴ is what remains.
const ROUNDED: readonly (readonly [RegExp, string])[] = [
  [/^multi_head_attention\./, "1/√3, the scale of the scores"],
  [/^activation\.leaky_relu$/, "the slope 0.2"],
  [/^activation\.gelu/, "1/√2 and √(2/π)"],
  [/^loss\.log_cosh/, "ln 2"],
  [/^loss\.categorical_crossentropy\.logits/, "soft targets"],
];

function tolerance(name: string): { rtol: number; atol: number } {
  return ROUNDED.some(([pattern]) => pattern.test(name)) ? { rtol: 1.2e-7, atol: 3e-8 } : CLOSE;
}

beforeAll(() => {
  setDefaultDevice("reference");
});

const camel = (name: string): string => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

function array(name: string): HostArray {
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`the fixture has no ${name}`);
  return found;
}

function value(name: string): Tensor {
  const found = array(name);
  return tensor(found, { dtype: found.dtype === "int32" ? "int32" : found.dtype === "bool" ? "bool" : "float32" });
}

/** Keras's options in camelCase; `call` says how the layer is called, which is a matter of this test. */
function configOf({ layer, config }: Case): Record<string, unknown> {
  const own = Object.entries(config).filter(([key]) => key !== "call");
  const options = Object.fromEntries(own.map(([key, entry]) => [camel(key), entry]));
  if (layer === "Activation" && options["approximate"] !== undefined)
    return { activation: { name: options["activation"], approximate: options["approximate"] } };
  if (layer !== "Bidirectional") return options;
  const one = { units: options["units"], returnSequences: options["returnSequences"] };
  return {
    mergeMode: options["mergeMode"],
    layer: { layer: "LSTM", config: one },
    backwardLayer: { layer: "LSTM", config: { ...one, goBackwards: true } },
  };
}

/** Keras's name of a weight as a path of ours. */
function pathOf({ layer }: Case, weight: string): string {
  const path = camel(weight).replace(/\brecurrent$/, "recurrentKernel");
  return layer === "Bidirectional" ? path.replace(/^(forward|backward)\./, "$1Layer.") : path;
}

/** What the layer is called with: one Tensor or several. Keras calls the attention with query, value, key; a mask comes last. */
function callWith(name: string, xs: readonly Tensor[]): Tensor | readonly Tensor[] {
  if (name === "multi_head_attention.mask") return [...xs, xs[1]!, value(`${name}.mask`)];
  return xs.length === 1 ? xs[0]! : xs;
}

describe("layers equal Keras's", () => {
  const layers = cases.filter((one) => !isLoss(one));
  it("are all there", () => expect(layers.length).toBeGreaterThan(80));
  it.each(layers.map((one) => [one.name, one] as const))("%s", (name, one) => {
    const layer = layerFromJson({ layer: one.layer, config: configOf(one) }) as AnyLayer & Module<unknown>;
    const given = one.inputs.map((input) => value(`${name}.${input}`));
    layer.trace([callWith(name, given)].flat());
    const weights = Object.fromEntries(one.weights.map((weight) => [pathOf(one, weight), value(`${name}.${weight}`)]));
    layer.load(weights);

    const training = (one.config["call"] as { training?: boolean } | undefined)?.training ?? false;
    const context = new Context({ training });
    const ct = value(`${name}.ct`);
    const run = (values: NamedTensors, xs: readonly Tensor[]): [Tensor, Tensor, NamedTensors] => {
      const { output, states } = layer.pure(values, callWith(name, xs), context);
      return [output.mul(ct).sum(), output, states];
    };
    const both = valueAndGrad(run, { wrt: [0, 1] });
    const [[, output, states], slopes] = both(weights, given);
    assertClose(output.host(), array(`${name}.y`), { what: "output", ...tolerance(name) });

    const [byWeight, byInput] = slopes as [NamedTensors, readonly Tensor[]];
    let compared = 0;
    const compare = (key: string, mine: Tensor): void => {
      const expected = tensors.get(`${name}.grad.${key}`);
      if (expected === undefined) return;
      assertClose(mine.host(), expected, { what: `gradient by ${key}`, ...tolerance(name) });
      compared++;
    };
    one.weights.forEach((weight) => compare(weight, byWeight[pathOf(one, weight)]!));
    one.inputs.forEach((input, i) => compare(input, byInput[i]!));
    const gradients = [...tensors.keys()].filter((key) => key.startsWith(`${name}.grad.`));
    expect(compared).toBe(gradients.length);
    expect(compared).toBeGreaterThan(0);

    for (const weight of one.weights) {
      const after = tensors.get(`${name}.after.${weight}`);
      if (after === undefined) continue;
      assertClose(states[pathOf(one, weight)]!.host(), after, { what: `${weight} afterwards`, ...tolerance(name) });
    }
  });
});

describe("losses equal Keras's", () => {
  const losses = cases.filter(isLoss);
  it("are all there", () => expect(losses.length).toBeGreaterThan(40));
  it.each(losses.map((one) => [one.name, one] as const))("%s", (name, one) => {
    // Keras's `axis` is the last one everywhere.
    const known = Object.entries(one.config).filter(([key]) => key !== "axis");
    const options = Object.fromEntries(known.map(([key, entry]) => [camel(key), entry as number]));
    const loss = resolveLoss({ ...options, name: one.layer });
    const weight = one.inputs.includes("sampleWeight") ? value(`${name}.sampleWeight`) : undefined;
    // Keras divides by the number of samples, weighted or not.
    const total = (yPred: Tensor): Tensor => {
      const each = loss.perSample(value(`${name}.yTrue`), yPred);
      expect(each.shape).toEqual([yPred.shape[0]]);
      return (weight === undefined ? each : each.mul(weight)).mean();
    };
    const yPred = value(`${name}.yPred`);
    assertClose(total(yPred).host(), array(`${name}.y`), { what: "loss", ...tolerance(name) });
    assertClose(grad(total)(yPred).host(), array(`${name}.grad.yPred`), { what: "gradient", ...tolerance(name) });
  });
});
