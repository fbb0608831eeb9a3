// Exact sums against whole-number arithmetic with BigInt, which never rounds.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { add, addProduct, addSum, exactTotal, multiply, subtract, valueOf, type ExactSum } from "./exact-sum.ts";

// Whole multiples of 2^-80: BigInt adds them exactly, and Number(bigint) rounds to nearest, ties to even.
const part = fc.tuple(fc.maxSafeInteger(), fc.integer({ min: -80, max: 40 })).map(([m, e]) => m * 2 ** e);
const scaled = (x: number): bigint => {
  let exponent = 0;
  while (!Number.isInteger(x)) [x, exponent] = [x * 2, exponent + 1];
  return BigInt(x) << BigInt(80 - exponent);
};
const sumOf = (values: readonly number[]): ExactSum => {
  const sum: ExactSum = [];
  for (const x of values) add(sum, x);
  return sum;
};

describe("exact sums", () => {
  it("are the nearest float64 of the true sum, in any order and grouping", () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), fc.nat(), (values, seed) => {
        const truth = Number(values.reduce((sum, x) => sum + scaled(x), 0n)) / 2 ** 80;
        expect(exactTotal(values)).toBe(truth);
        const cut = values.length === 0 ? 0 : seed % values.length;
        const merged = sumOf(values.slice(cut).reverse());
        addSum(merged, sumOf(values.slice(0, cut)));
        expect(valueOf(merged)).toBe(truth);
        addSum(merged, merged);
        expect(valueOf(merged)).toBe(2 * truth);
      }),
      { numRuns: 300 },
    );
  });

  it("keep what float64 loses", () => {
    expect(exactTotal([1e100, 1, -1e100])).toBe(1);
    expect(exactTotal(new Array<number>(10).fill(0.1))).toBe(1);
    expect(exactTotal([1, 2 ** -53, 2 ** -106])).toBe(1 + 2 ** -52); // just above a tie
  });

  it("multiply exactly", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), fc.maxSafeInteger(), fc.maxSafeInteger(), (a, b, c, d) => {
        const product: ExactSum = [];
        addProduct(product, a, b);
        addProduct(product, c, d);
        expect(valueOf(product)).toBe(Number(BigInt(a) * BigInt(b) + BigInt(c) * BigInt(d)) + 0);
        const sums = multiply(sumOf([a, b * 2 ** -10]), sumOf([c, d * 2 ** 20]));
        const truth = (BigInt(a) * 1024n + BigInt(b)) * (BigInt(c) + BigInt(d) * 2n ** 20n);
        expect(valueOf(sums)).toBe(Number(truth) / 1024 + 0);
        expect(valueOf(subtract(sums, sums))).toBe(0);
      }),
    );
  });

  it("refuse to leave the range", () => {
    expect(() => exactTotal([1e308, 1e308])).toThrow("left the range of float64");
    expect(() => exactTotal([NaN])).toThrow("left the range of float64");
  });
});
