// Functions of one real number.
import { add, div, exp, maximum, minimum, mul, neg, sub } from "./arith.ts";
import { greater, greaterEqual, lessEqual, logicalAnd, where } from "./compare.ts";
import { fullLike, zerosLike } from "./create.ts";
import {
  bind1,
  expectDtype,
  expectInputs,
  float,
  int,
  integral,
  none,
  sampleShapes,
  unary,
  withOp,
  type None,
  type OpFunction,
  type Unary,
} from "./define.ts";
import { ArgumentError, DtypeError, fromBfloat16, isFloat, toBfloat16, type DType } from "../core/index.ts";
import { anyOp, type Equation, type OpRecord, type Sample, type Value } from "../program/index.ts";

const flat = undefined;

export const sign: Unary = unary({
  name: "sign",
  doc: "−1, 0 or 1 with the sign of x: `sgn x`.",
  scalar: Math.sign,
  dtypes: ["float32", "int32"],
  vjp: flat,
});
export const abs: Unary = unary({
  name: "abs",
  doc: "The absolute value: `|x|`.",
  scalar: Math.abs,
  dtypes: ["float32", "int32"],
  vjp: ({ ct, x }) => mul(ct, sign(x)),
});
export const floor: Unary = unary({
  name: "floor",
  doc: "The whole number below: `⌊x⌋`.",
  scalar: Math.floor,
  vjp: flat,
});
export const ceil: Unary = unary({ name: "ceil", doc: "The whole number above: `⌈x⌉`.", scalar: Math.ceil, vjp: flat });
export const round: Unary = unary({
  name: "round",
  doc: "The nearest whole number, halves to even: `⌊x⌉`.",
  scalar: roundHalfEven,
  vjp: flat,
});

export const expm1: Unary = unary({
  name: "expm1",
  doc: "The exponential less one, exact near zero: `eˣ − 1`.",
  scalar: Math.expm1,
  vjp: ({ ct, y }) => mul(ct, add(y, fullLike(1, y))),
});
export const log1p: Unary = unary({
  name: "log1p",
  doc: "The logarithm of one more, exact near zero: `ln(1 + x)`.",
  scalar: Math.log1p,
  domain: { low: -0.7, high: 3 },
  vjp: ({ ct, x }) => div(ct, add(x, fullLike(1, x))),
});
export const sqrt: Unary = unary({
  name: "sqrt",
  doc: "The square root: `√x`.",
  scalar: Math.sqrt,
  domain: { low: 0.1, high: 4 },
  vjp: ({ ct, y }) => div(mul(ct, fullLike(0.5, ct)), y),
});
export const rsqrt: Unary = unary({
  name: "rsqrt",
  doc: "The reciprocal square root: `1/√x`.",
  scalar: (x) => 1 / Math.sqrt(x),
  domain: { low: 0.2, high: 4 },
  vjp: ({ ct, x, y }) => div(mul(mul(ct, fullLike(-0.5, ct)), y), x),
});
export const sin: Unary = unary({
  name: "sin",
  doc: "Sine of an angle in radians: `sin x`.",
  scalar: Math.sin,
  vjp: ({ ct, x }) => mul(ct, cos(x)),
});
export const cos: Unary = unary({
  name: "cos",
  doc: "Cosine of an angle in radians: `cos x`.",
  scalar: Math.cos,
  vjp: ({ ct, x }) => neg(mul(ct, sin(x))),
});
export const tan: Unary = unary({
  name: "tan",
  doc: "Tangent of an angle in radians: `tan x`.",
  scalar: Math.tan,
  domain: { low: -1.2, high: 1.2 },
  vjp: ({ ct, y }) => mul(ct, add(mul(y, y), fullLike(1, y))),
});
export const tanh: Unary = unary({
  name: "tanh",
  doc: "Hyperbolic tangent: `(eˣ − e⁻ˣ)/(eˣ + e⁻ˣ)`.",
  scalar: Math.tanh,
  vjp: ({ ct, y }) => mul(ct, sub(fullLike(1, y), mul(y, y))),
});
export const sigmoid: Unary = unary({
  name: "sigmoid",
  doc: "The logistic function: `1/(1 + e⁻ˣ)`.",
  scalar: (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
  vjp: ({ ct, y }) => mul(ct, mul(y, sub(fullLike(1, y), y))),
});
export const erf: Unary = unary({
  name: "erf",
  doc: "The error function: `2/√π ∫₀ˣ e^(−t²) dt`.",
  scalar: erf64,
  domain: { low: -3, high: 3 },
  vjp: ({ ct, x }) => mul(ct, mul(exp(neg(mul(x, x))), fullLike(2 / Math.sqrt(Math.PI), x))),
});

const reluOp: OpRecord<None> = {
  name: "relu",
  doc: "The positive part: `max(x, 0)`; the gradient at 0 is 0 (Nair & Hinton 2010).",
  traits: { kind: "elementwise", recompute: "cheap" },
  shape: (types) => {
    expectInputs("relu", types, 1);
    expectDtype("relu", types, ["float32", "int32"]);
    return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x]) => [x!.map((a) => Math.max(a, 0))],
  decompose: ([x]) => [maximum(x!, zerosLike(x!))],
  vjp: ({ outputs: [y], cts: [ct] }) => [where(greater(y!, zerosLike(y!)), ct!, zerosLike(ct!))],
  samples: [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape)], attrs: none })),
    { inputs: [{ dtype: "int32", shape: [9], low: -9, high: 9 }], attrs: none },
  ],
  errors: [{ inputs: [{ dtype: "bool", shape: [2] }], attrs: none, message: "expected float32" }],
};
/** The positive part. */
export const relu: Unary = withOp<(x: Value) => Value, None>(reluOp, (x) => bind1(reluOp, [x], none));

type ClampAttrs = { readonly low: number; readonly high: number };
const clampOp: OpRecord<ClampAttrs> = {
  name: "clamp",
  doc: "Kept inside an interval: `min(max(x, low), high)`; the gradient passes where x is inside.",
  traits: { kind: "elementwise", recompute: "cheap" },
  shape: (types, { low, high }) => {
    expectInputs("clamp", types, 1);
    expectDtype("clamp", types, ["float32", "int32"]);
    if (!(low <= high)) throw new ArgumentError("clamp", `low must not be above high: received [${low}, ${high}]`);
    if (types[0]!.dtype === "int32" && ![low, high].every((bound) => bound === (bound | 0))) {
      throw new ArgumentError("clamp", `int32 needs bounds that are int32 too: received [${low}, ${high}]`);
    }
    return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x], { low, high }) => [x!.map((a) => Math.min(Math.max(a, low), high))],
  decompose: ([x], { low, high }) => [minimum(maximum(x!, fullLike(low, x!)), fullLike(high, x!))],
  vjp: ({ inputs: [x], attrs: { low, high }, cts: [ct] }) => {
    const inside = logicalAnd(greaterEqual(x!, fullLike(low, x!)), lessEqual(x!, fullLike(high, x!)));
    return [where(inside, ct!, zerosLike(ct!))];
  },
  samples: [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape)], attrs: { low: -0.73, high: 1.1 } })),
    { inputs: [{ dtype: "int32", shape: [9], low: -9, high: 9 }], attrs: { low: -3, high: 4 } },
  ],
  errors: [
    { inputs: [float([2])], attrs: { low: 1, high: 0 }, message: "low must not be above high" },
    { inputs: [{ dtype: "int32", shape: [2] }], attrs: { low: 0.5, high: 2 }, message: "bounds that are int32 too" },
  ],
};
/** Kept inside an interval. */
export const clamp: OpFunction<(x: Value, low: number, high: number) => Value, ClampAttrs> = withOp(
  clampOp,
  (x, low, high) => bind1(clampOp, [x], { low, high }),
);

// Ties, numbers that round up into the next power of two, beyond the largest, subnormal ones, and what is no number.
const edges: readonly number[] = Array.from({ length: 52 }, (_, i) => Math.fround(Math.sin(i) * 2 ** (i - 26))).concat(
  [1, 1.00390625, 1.01171875, 1.99609375, 1.998046875, -1.00390625, 0, -0, NaN, Infinity, -Infinity, 3.4e38, -3.4e38],
  [1e-40, -1e-40, 1.1754943508222875e-38, 2 ** -133, 3 * 2 ** -135],
);

const computed: readonly DType[] = ["float32", "int32", "uint32", "bool"];

type CastAttrs = { readonly dtype: DType };
const castOp: OpRecord<CastAttrs> = {
  name: "cast",
  doc: "The same number in another dtype: to integers toward zero and clamped to their range (NaN gives 0), to bool `x ≠ 0`, to bfloat16 the nearest (ties to even).",
  traits: { kind: "elementwise", recompute: "cheap" },
  shape: (types, { dtype }) => {
    expectInputs("cast", types, 1);
    const pair = [types[0]!.dtype, dtype];
    if (pair.includes("bfloat16") && !pair.every(isFloat))
      throw new DtypeError("cast", `bfloat16 is cast from and to float32: received ${pair.join(" to ")}`);
    return [{ dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x], { dtype }, { inputs }) => [x!.map((a) => castNumber(a, inputs[0]!.dtype, dtype))],
  vjp: ({ inputs: [x], attrs: { dtype }, cts: [ct] }) => [
    x!.dtype === "float32" && dtype === "float32" ? ct : undefined,
  ],
  samples: [
    ...computed.flatMap((from) =>
      computed.map((to): Sample<CastAttrs> => ({
        inputs: [
          {
            dtype: from,
            shape: [3, 7],
            low: from === "uint32" || from === "bool" ? 0 : -3,
            high: from === "bool" ? 1 : 3,
          },
        ],
        attrs: { dtype: to },
      })),
    ),
    { inputs: [float([70], { values: edges })], attrs: { dtype: "bfloat16" } },
    { inputs: [float([3, 37])], attrs: { dtype: "bfloat16" } },
    { inputs: [{ dtype: "bfloat16", shape: [3, 37] }], attrs: { dtype: "float32" } },
    { inputs: [{ dtype: "bfloat16", shape: [] }], attrs: { dtype: "float32" } },
  ],
  errors: [
    { inputs: [int([2], 0, 1)], attrs: { dtype: "bfloat16" }, message: "received int32 to bfloat16" },
    { inputs: [{ dtype: "bfloat16", shape: [2] }], attrs: { dtype: "bool" }, message: "received bfloat16 to bool" },
  ],
};
/** What is stored in bfloat16 where a value is only the float32 of it. */
export function stored(x: Value, producer: (value: Value) => Equation | undefined): Value | undefined {
  const maker = producer(x);
  return maker?.op === anyOp(castOp) && maker.inputs[0]!.dtype === "bfloat16" ? maker.inputs[0]! : undefined;
}

/** The same number in another dtype. */
export const cast: OpFunction<(x: Value, dtype: DType) => Value, CastAttrs> = withOp(castOp, (x, dtype) =>
  x.dtype === dtype ? x : bind1(castOp, [x], { dtype }),
);

function castNumber(x: number, from: DType, to: DType): number {
  if (to === "bool") return x === 0 ? 0 : 1;
  if (to === "float32") return x;
  if (to === "bfloat16") return fromBfloat16(toBfloat16(x));
  if (from !== "float32") return integral(Float64Array.of(x), to)[0]!; // between integers the bits stay
  if (x !== x) return 0;
  const [low, high] = to === "int32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  return Math.min(Math.max(Math.trunc(x), low), high);
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** erf in float64: a series of positive terms below 3, the continued fraction of erfc above (Abramowitz & Stegun 7.1.6, 7.1.14). */
export function erf64(x: number): number {
  const a = Math.abs(x);
  if (a !== a) return NaN;
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = a;
    let total = a;
    for (let n = 1; term > total * 1e-17; n++) total += term *= (2 * a * a) / (2 * n + 1);
    return (Math.sign(x) * 2 * Math.exp(-a * a) * total) / Math.sqrt(Math.PI);
  }
  let tail = a;
  for (let n = 60; n >= 1; n--) tail = a + n / 2 / tail;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (tail * Math.sqrt(Math.PI)));
}
