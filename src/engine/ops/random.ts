// Random numbers from a key of two uint32 words: the same key gives the same numbers on every backend. The bits are Threefry's (core/key.ts).
// A key is used once: fold a number into it, or split it, for further draws.
import {
  ArgumentError,
  checkShape,
  formatType,
  fromBfloat16,
  randomBits as bitsOf,
  sameShape,
  ShapeError,
  sizeOf,
  threefry,
  toBfloat16Randomly,
  unitFloat,
  type HostKey,
  type Shape,
  type TensorType,
} from "../core/index.ts";
import { bind1, type OpRecord, type SampleInput, type Value } from "../program/index.ts";
import { add, log, mul, neg } from "./arith.ts";
import { less } from "./compare.ts";
import { full, fullLike } from "./create.ts";
import { expectDtype, expectInputs, float, int, none, withOp, type None, type OpFunction } from "./define.ts";
import { takeAlongAxis } from "./gather.ts";
import { concat, reshape } from "./layout.ts";
import { clamp, cos, sin, sqrt } from "./math.ts";
import { argmax } from "./reduce.ts";
import { slice } from "./slice.ts";
import { sort } from "./sort.ts";

/** The shape of a draw. */
export type DrawAttrs = { readonly shape: Shape };
/** How many things are permuted or keys are made. */
export type CountAttrs = { readonly n: number };

/** A function of a key and a shape. */
export type Draw = OpFunction<(key: Value, shape: Shape) => Value, DrawAttrs>;

function expectKey(where: string, type: TensorType): void {
  expectDtype(where, [type], ["uint32"]);
  if (type.shape.length !== 1 || type.shape[0] !== 2) {
    throw new ShapeError(where, `a key is uint32[2]: received ${formatType(type)}`, {
      hint: "take one row of the keys that splitKey gives",
    });
  }
}

function expectCount(where: string, n: number): void {
  if (!Number.isInteger(n) || n < 0 || n >= 2 ** 31) {
    throw new ArgumentError(where, `n must be a whole number in [0, 2^31): received ${n}`);
  }
}

function hostKey(numbers: Float64Array): HostKey {
  return [numbers[0]!, numbers[1]!];
}

function key(...words: [number, number]): SampleInput {
  return { dtype: "uint32", shape: [2], values: words };
}

const badKeys = [
  { inputs: [int([2], 0, 9)], message: "expected uint32" },
  { inputs: [{ dtype: "uint32", shape: [4] }], message: "a key is uint32[2]: received uint32[4]" },
] as const;

// A draw of a shape from a key; no gradient flows into a key.
function draw(
  spec: Pick<OpRecord<DrawAttrs>, "name" | "doc" | "evaluate" | "decompose"> & { dtype: "float32" | "uint32" },
): Draw {
  const { name, dtype, ...rest } = spec;
  const op: OpRecord<DrawAttrs> = {
    name,
    ...rest,
    traits: { kind: "random", recompute: "cheap" },
    nondifferentiable: true,
    shape: (types, { shape }) => {
      expectInputs(name, types, 1);
      expectKey(name, types[0]!);
      checkShape(name, shape);
      return [{ dtype, shape }];
    },
    samples: [
      { inputs: [key(0, 42)], attrs: { shape: [4] } },
      { inputs: [key(0xdeadbeef, 0x12345678)], attrs: { shape: [3, 5] } },
      { inputs: [key(0, 0)], attrs: { shape: [] } },
      { inputs: [key(1, 2)], attrs: { shape: [0, 3] } },
      { inputs: [key(0xffffffff, 0xffffffff)], attrs: { shape: [1001] } },
      { inputs: [{ dtype: "uint32", shape: [2] }], attrs: { shape: [2, 3, 17] } },
    ],
    errors: [
      ...badKeys.map((bad) => ({ ...bad, attrs: { shape: [2] } })),
      { inputs: [key(0, 1)], attrs: { shape: [-1] }, message: "whole numbers ≥ 0" },
    ],
  };
  return withOp<(key: Value, shape: Shape) => Value, DrawAttrs>(op, (k, shape) =>
    bind1(op, [k], { shape: [...shape] }),
  );
}

/** Random words: 32 bits each. */
export const randomBits: Draw = draw({
  name: "randomBits",
  doc: "Random words: elements `2j` and `2j + 1` are `threefry(key, (0, j))` (Threefry-2x32, 20 rounds; Salmon et al. 2011).",
  dtype: "uint32",
  evaluate: ([k], { shape }) => [Float64Array.from(bitsOf(hostKey(k!), sizeOf(shape)))],
});

/** Uniform numbers in [0, 1). */
export const uniform: Draw = draw({
  name: "uniform",
  doc: "Uniform numbers in [0, 1): the upper 24 bits of the random words, `⌊bits / 2⁸⌋ · 2⁻²⁴`, exact in float32.",
  dtype: "float32",
  evaluate: ([k], { shape }) => [Float64Array.from(bitsOf(hostKey(k!), sizeOf(shape)), unitFloat)],
});

/** Normal numbers with mean 0 and deviation 1. */
export const normal: Draw = draw({
  name: "normal",
  doc: "Normal numbers, mean 0, deviation 1: `√(−2 ln(1 − u)) · cos 2πv` and `… · sin 2πv` of uniform u and v (Box and Muller 1958).",
  dtype: "float32",
  decompose: ([k], { shape }) => {
    const size = sizeOf(shape);
    const half = Math.ceil(size / 2);
    const draws = uniform(k!, [2 * half]);
    const u = slice(draws, [0], [half]);
    const angle = mul(slice(draws, [half], [2 * half]), full(2 * Math.PI, u));
    // 1 − u is never 0: u < 1.
    const radius = sqrt(mul(log(add(neg(u), fullLike(1, u))), fullLike(-2, u)));
    const both = concat([mul(radius, cos(angle)), mul(radius, sin(angle))], 0);
    return [reshape(slice(both, [0], [size]), shape)];
  },
});

const foldInOp: OpRecord<None> = {
  name: "foldIn",
  doc: "A new key from a key and a number: `threefry(key, (0, data))`; independent streams for steps, layers and samples.",
  traits: { kind: "random", recompute: "cheap" },
  nondifferentiable: true,
  shape: (types) => {
    expectInputs("foldIn", types, 2);
    const [k, data] = types as [TensorType, TensorType];
    expectKey("foldIn", k);
    expectDtype("foldIn", [data], ["int32"]);
    if (data.shape.length !== 0) throw new ShapeError("foldIn", `the number is a scalar: received ${formatType(data)}`);
    return [{ dtype: "uint32", shape: [2] }];
  },
  evaluate: ([k, data]) => [Float64Array.from(threefry(hostKey(k!), 0, data![0]!))],
  samples: [
    { inputs: [key(0, 42), { ...int([], 0, 0), values: [0] }], attrs: none },
    { inputs: [key(0, 42), { ...int([], 0, 0), values: [1] }], attrs: none },
    { inputs: [key(0xffffffff, 0), { ...int([], 0, 0), values: [-1] }], attrs: none },
    { inputs: [key(7, 0x80000000), { ...int([], 0, 0), values: [2147483647] }], attrs: none },
    { inputs: [{ dtype: "uint32", shape: [2] }, int([], 0, 1000)], attrs: none },
  ],
  errors: [
    {
      inputs: [{ dtype: "uint32", shape: [3] }, int([], 0, 1)],
      attrs: none,
      message: "a key is uint32[2]: received uint32[3]",
    },
    { inputs: [key(0, 1), float([])], attrs: none, message: "expected int32" },
    { inputs: [key(0, 1), int([1], 0, 1)], attrs: none, message: "the number is a scalar" },
  ],
};
/** A new key from a key and an int32 scalar. */
export const foldIn: OpFunction<(key: Value, data: Value) => Value, None> = withOp(foldInOp, (k, data) =>
  bind1(foldInOp, [k, data], none),
);

const splitKeyOp: OpRecord<CountAttrs> = {
  name: "splitKey",
  doc: "n keys from one, as rows: row j is `foldIn(key, j)`.",
  traits: { kind: "random", recompute: "cheap" },
  nondifferentiable: true,
  shape: (types, { n }) => {
    expectInputs("splitKey", types, 1);
    expectKey("splitKey", types[0]!);
    expectCount("splitKey", n);
    return [{ dtype: "uint32", shape: [n, 2] }];
  },
  // Words 2j and 2j + 1 of the random bits are threefry(key, (0, j)): the key with j folded in.
  decompose: ([k], { n }) => [randomBits(k!, [n, 2])],
  samples: [0, 1, 2, 5, 33].map((n) => ({ inputs: [key(3, 4)], attrs: { n } })),
  errors: [
    ...badKeys.map((bad) => ({ ...bad, attrs: { n: 2 } })),
    { inputs: [key(0, 1)], attrs: { n: -1 }, message: "n must be a whole number" },
  ],
};
/** n keys from one, as the rows of uint32[n, 2]. */
export const splitKey: OpFunction<(key: Value, n: number) => Value, CountAttrs> = withOp(splitKeyOp, (k, n) =>
  bind1(splitKeyOp, [k], { n }),
);

const bernoulliOp: OpRecord<None> = {
  name: "bernoulli",
  doc: "True with probability p, element by element: `uniform(key) < p`.",
  traits: { kind: "random", recompute: "cheap" },
  nondifferentiable: true,
  shape: (types) => {
    expectInputs("bernoulli", types, 2);
    expectKey("bernoulli", types[0]!);
    expectDtype("bernoulli", [types[1]!], ["float32"]);
    return [{ dtype: "bool", shape: types[1]!.shape }];
  },
  decompose: ([k, p]) => [less(uniform(k!, p!.shape), p!)],
  samples: [
    { inputs: [key(0, 1), float([], { values: [0.5] })], attrs: none },
    { inputs: [key(0, 2), float([4, 9], { low: 0, high: 1 })], attrs: none },
    { inputs: [key(0, 3), float([4], { values: [0, 0, 1, 1] })], attrs: none },
    { inputs: [key(0, 4), float([0])], attrs: none },
    { inputs: [key(5, 5), float([257], { low: 0, high: 1 })], attrs: none },
  ],
  errors: [
    { inputs: [key(0, 1), int([2], 0, 1)], attrs: none, message: "expected float32" },
    { inputs: [int([2], 0, 1), float([2])], attrs: none, message: "expected uint32" },
  ],
};
/** True with probability p, element by element. */
export const bernoulli: OpFunction<(key: Value, p: Value) => Value, None> = withOp(bernoulliOp, (k, p) =>
  bind1(bernoulliOp, [k, p], none),
);

const categoricalOp: OpRecord<None> = {
  name: "categorical",
  doc: "A class drawn by its logits over the last axis: `argmaxᵢ (logits[i] − ln(−ln uᵢ))`, so that class i comes with probability `softmax(logits)[i]` (Gumbel 1954).",
  traits: { kind: "random", recompute: "costly" },
  nondifferentiable: true,
  shape: (types) => {
    expectInputs("categorical", types, 2);
    const [logits, k] = types as [TensorType, TensorType];
    expectDtype("categorical", [logits], ["float32"]);
    expectKey("categorical", k);
    if (logits.shape.length === 0 || logits.shape.at(-1) === 0) {
      throw new ShapeError("categorical", `needs at least one class on the last axis: received ${formatType(logits)}`);
    }
    return [{ dtype: "int32", shape: logits.shape.slice(0, -1) }];
  },
  decompose: ([logits, k]) => {
    // A draw of exactly 0 counts as half the smallest other one, so that no logarithm is infinite and −∞ logits stay impossible.
    const u = clamp(uniform(k!, logits!.shape), 2 ** -25, 1);
    return [argmax(add(logits!, neg(log(neg(log(u))))), -1)];
  },
  samples: [
    { inputs: [float([5]), key(0, 1)], attrs: none },
    { inputs: [float([3, 4]), key(0, 2)], attrs: none },
    { inputs: [float([2, 3, 10]), key(0, 3)], attrs: none },
    { inputs: [float([0, 3]), key(0, 4)], attrs: none },
    { inputs: [float([4, 1]), key(0, 5)], attrs: none },
    { inputs: [float([2, 3], { values: [-Infinity, 0, -Infinity, 1e4, -1e4, 0] }), key(0, 6)], attrs: none },
  ],
  errors: [
    { inputs: [float([2, 0]), key(0, 1)], attrs: none, message: "at least one class" },
    { inputs: [float([]), key(0, 1)], attrs: none, message: "at least one class" },
    { inputs: [int([3], 0, 1), key(0, 1)], attrs: none, message: "expected float32" },
  ],
};
/** A class drawn by its logits over the last axis. */
export const categorical: OpFunction<(logits: Value, key: Value) => Value, None> = withOp(categoricalOp, (logits, k) =>
  bind1(categoricalOp, [logits, k], none),
);

const permutationOp: OpRecord<CountAttrs> = {
  name: "permutation",
  doc: "The numbers 0 … n − 1 in random order: sorted by random words, twice, so that equal words do not favour an order.",
  traits: { kind: "random", recompute: "costly" },
  nondifferentiable: true,
  shape: (types, { n }) => {
    expectInputs("permutation", types, 1);
    expectKey("permutation", types[0]!);
    expectCount("permutation", n);
    return [{ dtype: "int32", shape: [n] }];
  },
  decompose: ([k], { n }) => {
    const keys = splitKey(k!, 2);
    const round = (j: number): Value => {
      const bits = randomBits(reshape(slice(keys, [j, 0], [j + 1, 2]), [2]), [n]);
      return sort(bits)[1];
    };
    return [takeAlongAxis(round(0), round(1), 0)];
  },
  samples: [0, 1, 2, 10, 300].map((n) => ({ inputs: [key(8, 9)], attrs: { n } })),
  errors: [
    ...badKeys.map((bad) => ({ ...bad, attrs: { n: 2 } })),
    { inputs: [key(0, 1)], attrs: { n: 1.5 }, message: "n must be a whole number" },
  ],
};
/** The numbers 0 … n − 1 in random order, int32. */
export const permutation: OpFunction<(key: Value, n: number) => Value, CountAttrs> = withOp(permutationOp, (k, n) =>
  bind1(permutationOp, [k], { n }),
);

/** Which half of the random words is used: one draw rounds two arrays. */
export type RoundAttrs = { readonly upper: boolean };

const roundOp: OpRecord<RoundAttrs> = {
  name: "roundRandomly",
  doc: "float32 to bfloat16, up or down with the probability that makes the result right on average: `⌊(x + u)⌋` in units of the last place, u from 16 random bits of each word (Gupta et al. 2015).",
  traits: { kind: "elementwise", recompute: "cheap" },
  nondifferentiable: true,
  shape: (types) => {
    expectInputs("roundRandomly", types, 2);
    const [x, bits] = types as [TensorType, TensorType];
    expectDtype("roundRandomly", [x], ["float32"]);
    expectDtype("roundRandomly", [bits], ["uint32"]);
    if (!sameShape(x.shape, bits.shape))
      throw new ShapeError("roundRandomly", `shapes differ: received ${types.map(formatType).join(" and ")}`);
    return [{ dtype: "bfloat16", shape: x.shape }];
  },
  evaluate: ([x, bits], { upper }) => {
    const of = (word: number): number => (upper ? word >>> 16 : word & 0xffff);
    return [x!.map((a, i) => fromBfloat16(toBfloat16Randomly(a, of(bits![i]!))))];
  },
  samples: [[], [0], [5], [3, 37]]
    .flatMap((shape) =>
      [false, true].map((upper) => ({
        inputs: [float(shape), { dtype: "uint32" as const, shape, low: 0, high: 2 ** 32 - 1 }],
        attrs: { upper },
      })),
    )
    .concat({
      inputs: [
        float([6], { values: [Infinity, -Infinity, NaN, 3.4e38, -0, 1e-40] }),
        { dtype: "uint32", shape: [6], low: 0, high: 2 ** 32 - 1 },
      ],
      attrs: { upper: false },
    }),
  errors: [
    { inputs: [float([2]), { dtype: "uint32", shape: [3] }], attrs: { upper: false }, message: "shapes differ" },
    { inputs: [float([2]), float([2])], attrs: { upper: false }, message: "expected uint32" },
  ],
};
/** float32 to bfloat16 by random words (uint32 of the same shape): right on average. */
export const roundRandomly: OpFunction<(x: Value, bits: Value, options?: Partial<RoundAttrs>) => Value, RoundAttrs> =
  withOp(roundOp, (x, bits, { upper = false } = {}) => bind1(roundOp, [x, bits], { upper }));
