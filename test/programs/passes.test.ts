// What the compiler tells of itself: which passes changed a program, and that a pass without work returns what it was given.
import { expect, test } from "vitest";
import { compile, optimize, type PassReport } from "../../src/engine/compile/index.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { trace, type Value } from "../../src/engine/program/index.ts";
import { device } from "../../src/engine/runtime/index.ts";
import { valueAndGrad } from "../../src/engine/transform/index.ts";

const { float } = ops;
const { backend } = device("reference");

test("each pass is reported with the equations before and after it", () => {
  const { program } = trace([float([2, 3])], ([x]) => {
    ops.exp(x!); // nobody reads it
    // Twice the eight equations of gelu, of which one set remains.
    return [ops.add(ops.gelu(x!), ops.transpose(ops.transpose(ops.gelu(x!))))];
  });
  const reports: PassReport[] = [];
  compile(program, backend, { onPass: (report) => reports.push(report) });
  const rows = reports.map(({ pass, before, after, changed }) => `${pass} ${before} ${after} ${changed}`);
  expect(rows).toEqual([
    "dce 6 5 true",
    "legalize 5 19 true",
    "canonicalize 19 18 true",
    "fold 18 18 false",
    "cse 18 10 true",
    "dce 10 9 true",
    "schedule 9 9 false",
    "sink 9 9 false",
    "remake 9 9 false",
    "fuse 9 9 false",
    "epilogue 9 9 false",
    "lower 9 9 true",
  ]);
  expect(reports.every(({ ms }) => ms >= 0)).toBe(true);
});

test("a program without anything to improve stays the same object", () => {
  const { program } = trace([float([2, 3])], ([x]) => [ops.exp(x!)]);
  expect(optimize(program, backend)).toBe(program);
});

test("the gradient of a split is one concatenation", () => {
  const { program } = trace([float([2, 9])], ([x]) => {
    const parts = [0, 3, 6].map((start) => ops.slice(x!, [0, start], [2, start + 3]));
    const [a, b, c] = parts as [Value, Value, Value];
    return [ops.sum(ops.mul(ops.mul(a, b), ops.exp(c)))];
  });
  const names = optimize(valueAndGrad(program, [0]), backend).equations.map(({ op }) => op.name);
  expect(names.filter((name) => name === "pad" || name === "add" || name === "concat")).toEqual(["concat"]);
});
