// Comparisons, logic and selection: the ops that make or read booleans.
import { DtypeError, formatType, sameShape, ShapeError } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { zerosLike } from "./create.ts";
import {
  bind1,
  bool,
  comparison,
  expectDtype,
  expectInputs,
  expectSame,
  float,
  int,
  none,
  sampleShapes,
  withOp,
  type Binary,
  type None,
  type OpFunction,
  type Unary,
} from "./define.ts";

export const equal: Binary = comparison({
  name: "equal",
  doc: "Whether two elements are equal: `x = y`.",
  scalar: (x, y) => x === y,
});
export const notEqual: Binary = comparison({
  name: "notEqual",
  doc: "Whether two elements differ: `x ≠ y`.",
  scalar: (x, y) => x !== y,
});
export const less: Binary = comparison({
  name: "less",
  doc: "Whether x is below y: `x < y`.",
  scalar: (x, y) => x < y,
});
export const lessEqual: Binary = comparison({
  name: "lessEqual",
  doc: "Whether x is at most y: `x ≤ y`.",
  scalar: (x, y) => x <= y,
});
export const greater: Binary = comparison({
  name: "greater",
  doc: "Whether x is above y: `x > y`.",
  scalar: (x, y) => x > y,
});
export const greaterEqual: Binary = comparison({
  name: "greaterEqual",
  doc: "Whether x is at least y: `x ≥ y`.",
  scalar: (x, y) => x >= y,
});

function logic(name: string, doc: string, scalar: (x: number, y: number) => number): Binary {
  const op: OpRecord<None> = {
    name,
    doc,
    traits: { kind: "elementwise", commutative: true, recompute: "cheap" },
    nondifferentiable: true,
    shape: (types) => {
      expectInputs(name, types, 2);
      expectSame(name, types);
      expectDtype(name, types, ["bool"]);
      return [{ dtype: "bool", shape: types[0]!.shape }];
    },
    evaluate: ([x, y]) => [x!.map((a, i) => scalar(a, y![i]!))],
    samples: sampleShapes.map((shape) => ({
      inputs: [bool(shape), bool(shape)],
      attrs: none,
    })),
    errors: [{ inputs: [float([2]), float([2])], attrs: none, message: "expected bool" }],
  };
  return withOp(op, (x: Value, y: Value) => bind1(op, [x, y], none));
}

export const logicalAnd: Binary = logic("logicalAnd", "Whether both are true: `x ∧ y`.", (x, y) => x & y);
export const logicalOr: Binary = logic("logicalOr", "Whether one is true: `x ∨ y`.", (x, y) => x | y);

const notOp: OpRecord<None> = {
  name: "logicalNot",
  doc: "The opposite truth value: `¬x`.",
  traits: { kind: "elementwise", recompute: "cheap" },
  nondifferentiable: true,
  shape: (types) => {
    expectInputs("logicalNot", types, 1);
    expectDtype("logicalNot", types, ["bool"]);
    return [{ dtype: "bool", shape: types[0]!.shape }];
  },
  evaluate: ([x]) => [x!.map((a) => 1 - a)],
  samples: sampleShapes.map((shape) => ({ inputs: [bool(shape)], attrs: none })),
  errors: [{ inputs: [float([2])], attrs: none, message: "expected bool" }],
};
export const logicalNot: Unary = withOp<(x: Value) => Value, None>(notOp, (x) => bind1(notOp, [x], none));

const isFiniteOp: OpRecord<None> = {
  name: "isFinite",
  doc: "Whether an element is neither NaN nor infinite: `|x| < ∞`.",
  traits: { kind: "elementwise", recompute: "cheap" },
  nondifferentiable: true,
  shape: (types) => {
    expectInputs("isFinite", types, 1);
    expectDtype("isFinite", types, ["float32"]);
    return [{ dtype: "bool", shape: types[0]!.shape }];
  },
  evaluate: ([x]) => [x!.map((a) => (Number.isFinite(a) ? 1 : 0))],
  samples: [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape)], attrs: none })),
    { inputs: [float([4], { values: [1, NaN, Infinity, -Infinity] })], attrs: none },
  ],
  errors: [{ inputs: [{ dtype: "int32", shape: [2] }], attrs: none, message: "expected float32" }],
};
export const isFinite: Unary = withOp<(x: Value) => Value, None>(isFiniteOp, (x) => bind1(isFiniteOp, [x], none));

const whereOp: OpRecord<None> = {
  name: "where",
  doc: "Chooses element by element: `y = c ? a : b`.",
  traits: { kind: "elementwise", recompute: "cheap" },
  shape: (types) => {
    expectInputs("where", types, 3);
    const [c, a, b] = types as [Value, Value, Value];
    if (c.dtype !== "bool") throw new DtypeError("where", `the condition must be bool: received ${formatType(c)}`);
    expectSame("where", [a, b]);
    if (!sameShape(c.shape, a.shape))
      throw new ShapeError("where", `shapes differ: received ${types.map(formatType).join(" and ")}`);
    return [{ dtype: a.dtype, shape: a.shape }];
  },
  evaluate: ([c, a, b]) => [a!.map((x, i) => (c![i] === 0 ? b![i]! : x))],
  vjp: ({ inputs: [c], cts: [ct] }) => [undefined, where(c!, ct!, zerosLike(ct!)), where(c!, zerosLike(ct!), ct!)],
  samples: [
    ...sampleShapes.map((shape) => ({
      inputs: [bool(shape), float(shape), float(shape)],
      attrs: none,
    })),
    {
      inputs: [bool([7]), int([7], -9, 9), int([7], -9, 9)],
      attrs: none,
    },
    { inputs: [bool([9]), bool([9]), bool([9])], attrs: none },
    { inputs: [bool([70]), ...[0, 1].map(() => ({ dtype: "bfloat16" as const, shape: [70] }))], attrs: none },
  ],
  errors: [
    { inputs: [float([2]), float([2]), float([2])], attrs: none, message: "must be bool" },
    { inputs: [{ dtype: "bool", shape: [3] }, float([2]), float([2])], attrs: none, message: "shapes differ" },
  ],
};

/** Chooses element by element: a where c is true, b elsewhere. */
export const where: OpFunction<(c: Value, a: Value, b: Value) => Value, None> = withOp(whereOp, (c, a, b) =>
  bind1(whereOp, [c, a, b], none),
);
