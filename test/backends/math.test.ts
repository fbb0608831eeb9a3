// Functions of numbers on every machine backend against float64: near zero and far, infinite, subnormal, not a number.
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/engine/backend/index.ts";
import { HostArray, keyOf, type DType, type TensorType } from "../../src/engine/core/index.ts";
import { allOps } from "../../src/engine/ops/index.ts";
import type { Op } from "../../src/engine/program/index.ts";
import { drawWeights } from "../../src/testing/index.ts";
import { machineBackends, runOp } from "./one-call.ts";

const opOf = (name: string): Op => allOps.find((op) => op.name === name)!;

/** Runs an op on the backend and in float64 on the same numbers. */
function both(
  backend: Backend,
  name: string,
  numbers: readonly Float64Array[],
  { dtypes = numbers.map(() => "float32" as const), attrs = {} }: { dtypes?: readonly DType[]; attrs?: object } = {},
): { actual: number[]; expected: Float64Array } {
  const op = opOf(name);
  const types = numbers.map((list, i): TensorType => ({ dtype: dtypes[i]!, shape: [list.length] }));
  const arrays = numbers.map((list) => HostArray.of(list));
  const actual = runOp(backend, op, { inputs: types, attrs, arrays })![0]!.toFlat();
  const exact = arrays.map((array, i) => Float64Array.from(array.cast(dtypes[i]!).toFlat()));
  const outputs = op.shape(types, attrs as never);
  return { actual, expected: op.evaluate!(exact, attrs as never, { inputs: types, outputs })[0]! };
}

/** Distance in units in the last place of the expected float32; subnormal results count in the smallest normal's units. */
function ulps(actual: number, expected: number): number {
  const rounded = Math.fround(expected);
  if (Object.is(actual, rounded) || actual === rounded) return 0;
  if (!Number.isFinite(rounded) || !Number.isFinite(actual)) return Infinity;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(expected))));
  return Math.abs(actual - expected) / 2 ** (exponent - 23);
}

function worst(actual: readonly number[], expected: Float64Array): { ulps: number; index: number } {
  let found = { ulps: 0, index: -1 };
  actual.forEach((x, index) => {
    const distance = ulps(x, expected[index]!);
    if (distance > found.ulps) found = { ulps: distance, index };
  });
  return found;
}

const f32 = (numbers: Iterable<number>): Float64Array => Float64Array.from(numbers, Math.fround);
const unit = drawWeights(6000, keyOf(11));
/** Numbers of both signs whose size spreads evenly over the exponents from 2^low to 2^high. */
const spread = (low: number, high: number): Float64Array =>
  f32(unit.map((u, i) => Math.sign(u) * 2 ** (low + ((high - low) * i) / unit.length) * (1 + Math.abs(u))));
const within = (low: number, high: number): Float64Array => f32(unit.map((u) => low + ((high - low) * (u + 1)) / 2));

const special = [0, -0, 1, -1, Infinity, -Infinity, NaN, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38];
const halves = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 4194303.5, 4194304.5, 8388607.5, -8388607.5, 16777217, 1e10];

// Functions, the ranges they are swept over, and the error allowed in units in the last place.
const cases: [name: string, numbers: Float64Array[], allowed: number][] = [
  ["exp", [within(-110, 90), spread(-30, 3)], 2],
  ["expm1", [within(-20, 89), spread(-30, 0)], 3],
  ["log", [spread(-149, 127).map(Math.abs), within(0.5, 2)], 2],
  ["log1p", [spread(-30, 100).map(Math.abs), within(-0.99, 1)], 3],
  ["sqrt", [spread(-140, 127).map(Math.abs)], 0.51],
  ["rsqrt", [spread(-125, 127).map(Math.abs)], 1.5],
  ["tanh", [within(-10, 10), spread(-30, 3)], 2],
  ["sigmoid", [within(-80, 40)], 4],
  ["erf", [within(-5, 5), spread(-30, 2)], 2],
  ["floor", [within(-1000, 1000), spread(-10, 40), f32(halves)], 0],
  ["ceil", [within(-1000, 1000), spread(-10, 40), f32(halves)], 0],
  ["round", [within(-1000, 1000), spread(-10, 40), f32(halves)], 0],
];

// Sine and cosine have zeros, next to which only the absolute error is small.
const angles: [name: string, allowed: number][] = [
  ["sin", 1.5e-7],
  ["cos", 1.5e-7],
];

describe.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (_, open) => {
  it.each(cases)("%s is good to a few units in the last place", (name, ranges, allowed) => {
    for (const numbers of ranges) {
      const { actual, expected } = both(open(), name, [numbers]);
      const { ulps: error, index } = worst(actual, expected);
      expect(error, `${name}(${numbers[index]}) = ${expected[index]}, received ${actual[index]}`).toBeLessThanOrEqual(
        allowed,
      );
    }
  });

  it.each(angles)("%s of near and very large angles", (name, allowed) => {
    for (const numbers of [within(-10, 10), spread(-20, 13), spread(13, 127), f32([1e38, 16367173 * 2 ** 72])]) {
      const { actual, expected } = both(open(), name, [numbers]);
      actual.forEach((x, i) => expect(Math.abs(x - expected[i]!), `${name}(${numbers[i]})`).toBeLessThan(allowed));
    }
  });

  it("tan is relatively exact up to its poles", () => {
    const { actual, expected } = both(open(), "tan", [f32([...within(-10, 10), 1.5707963, -1.5707964, 4.712389])]);
    actual.forEach((x, i) => expect(Math.abs(x / expected[i]! - 1)).toBeLessThan(1.3e-6));
  });

  it.each(["exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "tanh", "sigmoid", "erf", "abs"])(
    "%s of special numbers",
    (name) => {
      const numbers = f32(special);
      const { actual, expected } = both(open(), name, [numbers]);
      actual.forEach((x, i) => {
        const y = Math.fround(expected[i]!);
        if (Number.isFinite(y)) expect(x, `${name}(${numbers[i]})`).toBeCloseTo(y, 5 - Math.log10(1 + Math.abs(y)));
        else expect(x, `${name}(${numbers[i]})`).toBe(y);
      });
    },
  );

  it("pow follows float64, signs and infinities included", () => {
    const some = [...special, 2, -2, 3, 0.5, -0.5, 1e-20, 1e20, 16777216, -16777217];
    const pairs = some.flatMap((x) => some.map((y) => [x, y] as const));
    const random = Array.from(within(0.01, 20), (x, i) => [x, 8 * unit[i]!] as const);
    const all = [...pairs, ...random];
    const [x, y] = [f32(all.map(([a]) => a)), f32(all.map(([, b]) => b))];
    const { actual, expected } = both(open(), "pow", [x, y]);
    const { ulps: error, index } = worst(actual, expected);
    expect(error, `${x[index]} ** ${y[index]} = ${expected[index]}, received ${actual[index]}`).toBeLessThan(1);
  });

  it("remainder has the sign of the divisor; of an integer by 0 it is 0", () => {
    const x = f32([7.5, -7.5, 7.5, -7.5, 0, 1e10, 5]);
    const y = f32([2, 2, -2, -2, 3, 7, 0.1]);
    const floats = both(open(), "remainder", [x, y]);
    floats.actual.forEach((value, i) => expect(value).toBeCloseTo(floats.expected[i]!, 4));
    const a = Float64Array.of(7, -7, 7, -7, 5, -(2 ** 31), 0);
    const b = Float64Array.of(3, 3, -3, -3, 0, -1, 5);
    const ints = both(open(), "remainder", [a, b], { dtypes: ["int32", "int32"] });
    expect(ints.actual).toEqual([1, 2, -2, -1, 0, 0, 0]);
  });

  it("maximum and minimum hand NaN on", () => {
    const x = f32([NaN, 1, -Infinity, NaN]);
    const y = f32([1, NaN, Infinity, NaN]);
    expect(both(open(), "maximum", [x, y]).actual).toEqual([NaN, NaN, Infinity, NaN]);
    expect(both(open(), "minimum", [x, y]).actual).toEqual([NaN, NaN, -Infinity, NaN]);
  });

  it("int32 arithmetic wraps around", () => {
    const dtypes = ["int32", "int32"] as const;
    const x = Float64Array.of(2 ** 31 - 1, -(2 ** 31), 65536, -7);
    const y = Float64Array.of(1, 1, 65537, 3);
    for (const name of ["add", "sub"]) {
      const { actual, expected } = both(open(), name, [x, y], { dtypes });
      expect(actual).toEqual([...expected]);
    }
    expect(both(open(), "mul", [x, y], { dtypes }).actual).toEqual([2 ** 31 - 1, -(2 ** 31), 65536, -21]);
  });

  it.each(["int32", "uint32", "bool"] as const)("cast of float32 to %s truncates and clamps", (dtype) => {
    const numbers = f32([
      ...special,
      ...halves,
      2147483647,
      2147483648,
      -2147483648,
      4294967040,
      4294967296,
      -2.9,
      2.9,
    ]);
    const { actual, expected } = both(open(), "cast", [numbers], { attrs: { dtype } });
    expect(actual).toEqual(Array.from(expected, (x) => x + 0));
  });

  it("cast of uint32 to float32 rounds once", () => {
    const numbers = Float64Array.of(0, 1, 4294967295, 2147483648, 2147483649, 16777217, 4294967167, 33554435);
    const { actual, expected } = both(open(), "cast", [numbers], { dtypes: ["uint32"], attrs: { dtype: "float32" } });
    expect(actual).toEqual(Array.from(expected, Math.fround));
  });
});
