// Smooth activations that are composites: gelu (exact and tanh) and silu.
import type { OpRecord, Value } from "../program/index.ts";
import { add, mul } from "./arith.ts";
import {
  bind1,
  expectDtype,
  expectInputs,
  float,
  int,
  none,
  sampleShapes,
  withOp,
  type None,
  type OpFunction,
  type Unary,
} from "./define.ts";
import { scaled, shifted } from "./fused-parts.ts";
import { erf, sigmoid, tanh } from "./math.ts";

type GeluAttrs = { readonly approximate: boolean };

const geluOp: OpRecord<GeluAttrs> = {
  name: "gelu",
  doc: "The Gaussian error linear unit: `x · (1 + erf(x/√2))/2`, or approximately `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` (Hendrycks & Gimpel 2016).",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types) => {
    expectInputs("gelu", types, 1);
    expectDtype("gelu", types, ["float32"]);
    return [{ dtype: "float32", shape: types[0]!.shape }];
  },
  decompose: ([x], { approximate }) => {
    const root = Math.sqrt(2 / Math.PI);
    const cubic = (): Value => add(scaled(x!, root), scaled(mul(mul(x!, x!), x!), root * 0.044715));
    const bend = approximate ? tanh(cubic()) : erf(scaled(x!, Math.SQRT1_2));
    return [mul(scaled(x!, 0.5), shifted(bend, 1))];
  },
  samples: [true, false].flatMap((approximate) => [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape)], attrs: { approximate } })),
    { inputs: [float([9], { low: -8, high: 8 })], attrs: { approximate } },
  ]),
  errors: [{ inputs: [int([3], 0, 5)], attrs: { approximate: false }, message: "expected float32" }],
};

/** The Gaussian error linear unit: exact, or with tanh where `approximate`. */
export const gelu: OpFunction<(x: Value, options?: Partial<GeluAttrs>) => Value, GeluAttrs> = withOp(
  geluOp,
  (x, { approximate = false } = {}) => bind1(geluOp, [x], { approximate }),
);

const siluOp: OpRecord<None> = {
  name: "silu",
  doc: "The sigmoid linear unit, also called swish: `x · σ(x) = x/(1 + e⁻ˣ)` (Elfwing et al. 2017).",
  traits: { kind: "fused", recompute: "cheap" },
  shape: (types) => {
    expectInputs("silu", types, 1);
    expectDtype("silu", types, ["float32"]);
    return [{ dtype: "float32", shape: types[0]!.shape }];
  },
  decompose: ([x]) => [mul(x!, sigmoid(x!))],
  samples: [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape)], attrs: none })),
    { inputs: [float([6], { values: [-1e4, -90, -1, 0, 90, 1e4] })], attrs: none },
  ],
  errors: [{ inputs: [int([3], 0, 5)], attrs: none, message: "expected float32" }],
};

/** The sigmoid linear unit, also called swish. */
export const silu: Unary = withOp<(x: Value) => Value, None>(siluOp, (x) => bind1(siluOp, [x], none));
