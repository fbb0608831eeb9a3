// Samples are the same everywhere, inside their ranges, and different where they must be.
import { expect, test } from "vitest";
import { keyOf } from "../engine/core/index.ts";
import { drawSample } from "./sample.ts";

const key = keyOf(3);

test("equal keys give equal numbers, other keys others", () => {
  const type = { dtype: "float32", shape: [3] } as const;
  expect(drawSample(type, key).toFlat()).toEqual(drawSample(type, key).toFlat());
  expect(drawSample(type, key).toFlat()).not.toEqual(drawSample(type, keyOf(4)).toFlat());
});

test("floats are float32 numbers in their range", () => {
  const { data } = drawSample({ dtype: "float32", shape: [1000], low: 0.5, high: 0.75 }, key);
  expect(data.every((x) => x >= 0.5 && x <= 0.75 && x === Math.fround(x))).toBe(true);
  expect(new Set(data).size).toBeGreaterThan(990);
});

test("integers take both ends of their range", () => {
  const { data } = drawSample({ dtype: "int32", shape: [200], low: -2, high: 1 }, key);
  expect([...new Set(data)].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1]);
});

test("distinct numbers lie apart", () => {
  const floats = drawSample({ dtype: "float32", shape: [500], distinct: true }, key).data.toSorted();
  for (let i = 1; i < floats.length; i++) expect(floats[i]! - floats[i - 1]!).toBeGreaterThan(1e-3);
  const ints = drawSample({ dtype: "int32", shape: [19], distinct: true }, key).data;
  expect(new Set(ints).size).toBe(19);
  expect(() => drawSample({ dtype: "int32", shape: [20], distinct: true }, key)).toThrow("no 20 different");
});

test("given values are taken as they are", () => {
  expect(drawSample({ dtype: "float32", shape: [2], values: [NaN, 1] }, key).toFlat()).toEqual([NaN, 1]);
  expect(() => drawSample({ dtype: "float32", shape: [3], values: [1] }, key)).toThrow("has 3 elements: received 1");
});
