// Tolerances, NaN, infinities, shapes.
import { expect, test } from "vitest";
import { HostArray } from "../engine/core/index.ts";
import { allClose, assertClose, mismatch } from "./all-close.ts";

test("numbers within the tolerance agree", () => {
  expect(allClose([1, 2], [1, 2.000001])).toBe(true);
  expect(allClose([1, 2], [1, 2.1])).toBe(false);
  expect(allClose([0], [0.9e-5])).toBe(true);
  expect(allClose([0], [1.1e-5])).toBe(false);
  expect(allClose([1e6 + 1], [1e6])).toBe(true);
  expect(allClose([1], [1.0001], { rtol: 0, atol: 0 })).toBe(false);
  expect(allClose([], [])).toBe(true);
});

test("NaN equals NaN and an infinity itself, nothing else", () => {
  expect(allClose([NaN, Infinity, -Infinity], [NaN, Infinity, -Infinity])).toBe(true);
  expect(allClose([NaN], [1])).toBe(false);
  expect(allClose([1], [NaN])).toBe(false);
  expect(allClose([Infinity], [-Infinity])).toBe(false);
  expect(allClose([1e30], [Infinity])).toBe(false);
  expect(allClose([Infinity], [1e30])).toBe(false);
});

test("the worst element is named", () => {
  expect(mismatch([1, 5, 2, NaN], [1, 2, 2.5, 0])).toEqual({ count: 3, total: 4, index: 3, actual: NaN, expected: 0 });
  expect(() => assertClose([1, 5], [1, 2], { what: "loss" })).toThrow(
    "loss: 1 of 2 elements differ: at 1 expected 2, received 5",
  );
});

test("other shapes are refused", () => {
  expect(() => allClose([1], [1, 2])).toThrow("shapes differ");
  const row = HostArray.from([[1, 2]]);
  expect(() => allClose(row, HostArray.from([1, 2]))).toThrow("received float32[1,2] and float32[2]");
});
