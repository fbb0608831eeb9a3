// Reductions and scans besides sum (which sits beside broadcast): max, min, prod, argmax, argmin, cumsum, logSumExp.
import { formatType, normalizeAxes, normalizeAxis, ShapeError, sizeOf, type TensorType } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { add, div, exp, log, mul, sub } from "./arith.ts";
import { equal, isFinite, where } from "./compare.ts";
import { full, fullLike, zerosLike } from "./create.ts";
import { bind1, expectDtype, expectInputs, float, int, integral, numbers, withOp, type OpFunction } from "./define.ts";
import {
  broadcast,
  countReduced,
  forEachReduced,
  keptAxes,
  reducedShape,
  reshape,
  sum,
  transpose,
  type ReduceAttrs,
} from "./layout.ts";
import { cast } from "./math.ts";
import { pad, slice } from "./slice.ts";
import { forEachLane, lanesOf } from "./strided.ts";

export type Reduction = OpFunction<(x: Value, axes?: number | readonly number[]) => Value, ReduceAttrs>;

// The function on values of a reduction: all axes unless said, the identity over no axis.
function reduction(op: OpRecord<ReduceAttrs>): Reduction {
  return withOp(op, (x: Value, axes?: number | readonly number[]) => {
    const normal = normalizeAxes(op.name, axes, x.shape.length);
    return normal.length === 0 ? x : bind1(op, [x], { axes: normal });
  });
}

function refuseNothing(name: string, type: TensorType, axes: readonly number[]): void {
  const empty = axes.find((axis) => type.shape[axis] === 0);
  if (empty !== undefined) {
    throw new ShapeError(name, `the ${name} of nothing does not exist: axis ${empty} of ${formatType(type)} is empty`, {
      hint: "check that the axis has elements, or leave it out of the axes",
    });
  }
}

// Result spread over the input it came from.
function spread(y: Value, x: Value, axes: readonly number[]): Value {
  return broadcast(y, x.shape, keptAxes(x.shape, axes));
}

function extremum(name: "max" | "min", doc: string): Reduction {
  const [pick, start] = name === "max" ? [Math.max, -Infinity] : [Math.min, Infinity];
  return reduction({
    name,
    doc,
    traits: { kind: "reduce", recompute: "costly" },
    shape: (types, { axes }) => {
      expectInputs(name, types, 1);
      expectDtype(name, types, ["float32", "int32"]);
      const shape = reducedShape(name, types[0]!.shape, axes);
      refuseNothing(name, types[0]!, axes);
      return [{ dtype: types[0]!.dtype, shape }];
    },
    evaluate: ([x], { axes }, { inputs, outputs }) => {
      const out = numbers(outputs[0]!).fill(start);
      forEachReduced(inputs[0]!.shape, axes, (from, to) => (out[to] = pick(out[to]!, x![from]!)));
      return [out];
    },
    vjp: ({ inputs: [x], outputs: [y], attrs: { axes }, cts: [ct] }) => {
      const winners = equal(x!, spread(y!, x!, axes));
      const each = div(ct!, sum(cast(winners, "float32"), axes));
      return [where(winners, spread(each, x!, axes), zerosLike(x!))];
    },
    samples: [
      { inputs: [float([5], { distinct: true })], attrs: { axes: [0] } },
      { inputs: [float([3, 4], { distinct: true })], attrs: { axes: [0] } },
      { inputs: [float([3, 4], { distinct: true })], attrs: { axes: [1] } },
      { inputs: [float([2, 3, 4], { distinct: true })], attrs: { axes: [0, 2] } },
      { inputs: [float([0, 3])], attrs: { axes: [1] } },
      { inputs: [float([])], attrs: { axes: [] } },
      { inputs: [float([2, 300], { distinct: true })], attrs: { axes: [1] } },
      { inputs: [int([4, 5], -99, 99)], attrs: { axes: [0, 1] } },
      { inputs: [float([2, 3], { values: [1, NaN, 2, -Infinity, Infinity, 0] })], attrs: { axes: [1] }, wrt: [] },
    ],
    errors: [
      { inputs: [float([2, 0])], attrs: { axes: [1] }, message: `the ${name} of nothing` },
      { inputs: [float([2, 3])], attrs: { axes: [2] }, message: "axis 2 does not exist" },
      { inputs: [{ dtype: "bool", shape: [2] }], attrs: { axes: [0] }, message: "expected float32 or int32" },
    ],
  });
}

/** The largest element over axes (all unless said). */
export const max: Reduction = extremum(
  "max",
  "The largest element over axes: `y = max x`; NaN if one is NaN. Equal largest elements share the gradient.",
);
/** The smallest element over axes (all unless said). */
export const min: Reduction = extremum(
  "min",
  "The smallest element over axes: `y = min x`; NaN if one is NaN. Equal smallest elements share the gradient.",
);

/** The product over axes (all unless said). */
export const prod: Reduction = reduction({
  name: "prod",
  doc: "The product over axes: `y = Π x`; of nothing, 1.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, { axes }) => {
    expectInputs("prod", types, 1);
    expectDtype("prod", types, ["float32", "int32"]);
    return [{ dtype: types[0]!.dtype, shape: reducedShape("prod", types[0]!.shape, axes) }];
  },
  evaluate: ([x], { axes }, { inputs, outputs }) => {
    const times = outputs[0]!.dtype === "float32" ? (a: number, b: number): number => a * b : Math.imul;
    const out = numbers(outputs[0]!).fill(1);
    forEachReduced(inputs[0]!.shape, axes, (from, to) => (out[to] = times(out[to]!, x![from]!)));
    return [out];
  },
  // A tree of products. Its gradient multiplies the other factors and never divides by x, so that it is right at zeros, in any order.
  decompose: ([x], { axes }) => {
    const shape = reducedShape("prod", x!.shape, axes);
    let count = countReduced(x!.shape, axes);
    if (count === 0) return [full(1, { dtype: x!.dtype, shape })];
    const rows = sizeOf(shape);
    let level = reshape(transpose(x!, [...keptAxes(x!.shape, axes), ...axes]), [rows, count]);
    while (count > 1) {
      if (count % 2 === 1) level = pad(level, { low: [0, 0], high: [0, 1], interior: [0, 0], value: 1 });
      count = Math.ceil(count / 2);
      level = mul(slice(level, [0, 0], [rows, count]), slice(level, [0, count], [rows, 2 * count]));
    }
    return [reshape(level, shape)];
  },
  samples: [
    { inputs: [float([5])], attrs: { axes: [0] } },
    { inputs: [float([3, 4])], attrs: { axes: [0] } },
    { inputs: [float([2, 3, 4])], attrs: { axes: [0, 2] } },
    { inputs: [float([2, 3, 2])], attrs: { axes: [1] } },
    { inputs: [float([3, 0])], attrs: { axes: [1] } },
    { inputs: [float([])], attrs: { axes: [] } },
    { inputs: [float([3, 3], { values: [2, 0, 3, 0, 0, 5, 1, 2, 3] })], attrs: { axes: [1] } },
    { inputs: [float([2, 64], { low: 0.8, high: 1.25 })], attrs: { axes: [1] } },
    { inputs: [int([3, 40], -3, 3)], attrs: { axes: [1] } },
    { inputs: [int([4], 99999, 100003)], attrs: { axes: [0] } },
  ],
  errors: [
    { inputs: [float([2, 3])], attrs: { axes: [2] }, message: "axis 2 does not exist" },
    { inputs: [{ dtype: "bool", shape: [2] }], attrs: { axes: [0] }, message: "expected float32 or int32" },
  ],
  terms: (types, { axes }) => countReduced(types[0]!.shape, axes),
});

/** The axis a scan or search runs along. */
export type AxisAttrs = { readonly axis: number };

export type Search = OpFunction<(x: Value, axis?: number) => Value, AxisAttrs>;

function search(name: "argmax" | "argmin", doc: string): Search {
  const better = name === "argmax" ? (a: number, b: number) => a > b : (a: number, b: number) => a < b;
  const op: OpRecord<AxisAttrs> = {
    name,
    doc,
    traits: { kind: "reduce", recompute: "costly" },
    nondifferentiable: true,
    shape: (types, { axis }) => {
      expectInputs(name, types, 1);
      expectDtype(name, types, ["float32", "int32"]);
      const shape = reducedShape(name, types[0]!.shape, [axis]);
      refuseNothing(name, types[0]!, [axis]);
      return [{ dtype: "int32", shape }];
    },
    evaluate: ([x], { axis }, { inputs, outputs }) => {
      const out = numbers(outputs[0]!);
      const lanes = lanesOf(inputs[0]!.shape, axis);
      forEachLane(lanes, (start, lane) => {
        let best = x![start]!;
        // Nothing beats NaN, so the first one stays.
        for (let i = 1; i < lanes.size && best === best; i++) {
          const value = x![start + i * lanes.inner]!;
          if (better(value, best) || value !== value) [best, out[lane]] = [value, i];
        }
      });
      return [out];
    },
    samples: [
      { inputs: [float([7])], attrs: { axis: 0 } },
      { inputs: [float([3, 4])], attrs: { axis: 0 } },
      { inputs: [float([2, 3, 40])], attrs: { axis: 2 } },
      { inputs: [float([2, 3, 4])], attrs: { axis: 1 } },
      { inputs: [float([0, 3])], attrs: { axis: 1 } },
      { inputs: [int([5, 9], -2, 2)], attrs: { axis: 1 } },
      {
        inputs: [float([3, 3], { values: [1, NaN, NaN, 2, 2, 1, -Infinity, -Infinity, -Infinity] })],
        attrs: { axis: 1 },
      },
    ],
    errors: [
      { inputs: [float([2, 0])], attrs: { axis: 1 }, message: `the ${name} of nothing` },
      { inputs: [float([])], attrs: { axis: 0 }, message: "axis 0 does not exist" },
      { inputs: [{ dtype: "bool", shape: [2] }], attrs: { axis: 0 }, message: "expected float32 or int32" },
    ],
  };
  return withOp<(x: Value, axis?: number) => Value, AxisAttrs>(op, (x, axis = -1) =>
    bind1(op, [x], { axis: normalizeAxis(name, axis, x.shape.length) }),
  );
}

/** The place of the largest element along an axis (the last unless said). */
export const argmax: Search = search(
  "argmax",
  "The place of the largest element along an axis: `y = argmaxᵢ x[i]`; the first on ties, the first NaN where there is one.",
);
/** The place of the smallest element along an axis (the last unless said). */
export const argmin: Search = search(
  "argmin",
  "The place of the smallest element along an axis: `y = argminᵢ x[i]`; the first on ties, the first NaN where there is one.",
);

type CumsumAttrs = { readonly axis: number; readonly reverse: boolean };

const cumsumOp: OpRecord<CumsumAttrs> = {
  name: "cumsum",
  doc: "Running sums along an axis: `y[i] = Σ x[j], j ≤ i`, or `j ≥ i` in reverse. Each direction is the other's adjoint.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, { axis }) => {
    expectInputs("cumsum", types, 1);
    expectDtype("cumsum", types, ["float32", "int32"]);
    normalizeAxis("cumsum", axis, types[0]!.shape.length);
    return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x], { axis, reverse }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!);
    const lanes = lanesOf(inputs[0]!.shape, axis);
    forEachLane(lanes, (start) => {
      let total = 0;
      for (let step = 0; step < lanes.size; step++) {
        const at = start + (reverse ? lanes.size - 1 - step : step) * lanes.inner;
        out[at] = total += x![at]!;
      }
    });
    return [integral(out, outputs[0]!.dtype)];
  },
  vjp: ({ attrs: { axis, reverse }, cts: [ct] }) => [cumsum(ct!, axis, { reverse: !reverse })],
  samples: [
    { inputs: [float([6])], attrs: { axis: 0, reverse: false } },
    { inputs: [float([6])], attrs: { axis: 0, reverse: true } },
    { inputs: [float([2, 3, 4])], attrs: { axis: 1, reverse: false } },
    { inputs: [float([3, 37])], attrs: { axis: 1, reverse: true } },
    { inputs: [float([2, 0])], attrs: { axis: 1, reverse: false } },
    { inputs: [float([1])], attrs: { axis: 0, reverse: false } },
    { inputs: [int([4, 5], -99, 99)], attrs: { axis: 0, reverse: true } },
  ],
  errors: [
    { inputs: [float([])], attrs: { axis: 0, reverse: false }, message: "axis 0 does not exist" },
    {
      inputs: [{ dtype: "bool", shape: [2] }],
      attrs: { axis: 0, reverse: false },
      message: "expected float32 or int32",
    },
  ],
  terms: (types, { axis }) => types[0]!.shape[axis]!,
};
/** Running sums along an axis, from its start or, in reverse, from its end. */
export const cumsum: OpFunction<
  (x: Value, axis: number, options?: { readonly reverse?: boolean }) => Value,
  CumsumAttrs
> = withOp(cumsumOp, (x, axis, { reverse = false } = {}) =>
  bind1(cumsumOp, [x], { axis: normalizeAxis("cumsum", axis, x.shape.length), reverse }),
);

// The terms of Σ e^(x − m) and their m: the largest x, or 0 where that is infinite, since ∞ − ∞ would give NaN.
function shifted(x: Value, axes: readonly number[]): { shift: Value; terms: Value } {
  const largest = max(x, axes);
  const shift = where(isFinite(largest), largest, zerosLike(largest));
  return { shift, terms: exp(sub(x, spread(shift, x, axes))) };
}

/** The logarithm of the sum of exponentials over axes (all unless said). */
export const logSumExp: Reduction = reduction({
  name: "logSumExp",
  doc: "The logarithm of a sum of exponentials: `y = ln Σ eˣ = m + ln Σ e^(x − m)` with `m = max x`; of nothing, −∞.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, { axes }) => {
    expectInputs("logSumExp", types, 1);
    expectDtype("logSumExp", types, ["float32"]);
    return [{ dtype: "float32", shape: reducedShape("logSumExp", types[0]!.shape, axes) }];
  },
  evaluate: ([x], { axes }, { inputs, outputs }) => {
    const { shape } = inputs[0]!;
    const shift = numbers(outputs[0]!).fill(-Infinity);
    forEachReduced(shape, axes, (from, to) => (shift[to] = Math.max(shift[to]!, x![from]!)));
    // Infinities speak for themselves; subtracting them would give NaN.
    shift.forEach((m, i) => (shift[i] = Number.isFinite(m) ? m : 0));
    const total = numbers(outputs[0]!);
    forEachReduced(shape, axes, (from, to) => (total[to]! += Math.exp(x![from]! - shift[to]!)));
    return [total.map((s, i) => shift[i]! + Math.log(s))];
  },
  decompose: ([x], { axes }) => {
    const shape = reducedShape("logSumExp", x!.shape, axes);
    if (countReduced(x!.shape, axes) === 0) return [full(-Infinity, { dtype: "float32", shape })];
    const { shift, terms } = shifted(x!, axes);
    return [add(shift, log(sum(terms, axes)))];
  },
  // softmax(x), from the differences to the largest: e^(x − y) would lose the digits that a large y has not.
  vjp: ({ inputs: [x], attrs: { axes }, cts: [ct] }) => {
    if (countReduced(x!.shape, axes) === 0) return [zerosLike(x!)];
    const { terms } = shifted(x!, axes);
    const total = sum(terms, axes);
    // Where every x is −∞ none has a share.
    const share = div(ct!, where(equal(total, zerosLike(total)), fullLike(1, total), total));
    return [mul(terms, spread(share, x!, axes))];
  },
  samples: [
    { inputs: [float([5])], attrs: { axes: [0] } },
    { inputs: [float([3, 4])], attrs: { axes: [0] } },
    { inputs: [float([2, 3, 4])], attrs: { axes: [0, 2] } },
    { inputs: [float([2, 200])], attrs: { axes: [1] } },
    { inputs: [float([3, 0])], attrs: { axes: [1] } },
    { inputs: [float([])], attrs: { axes: [] } },
    { inputs: [float([2, 2], { values: [10000, 10001, -10000, -10001] })], attrs: { axes: [1] } },
    {
      inputs: [float([3, 2], { values: [-Infinity, -Infinity, -Infinity, 1, Infinity, 1] })],
      attrs: { axes: [1] },
      wrt: [],
    },
  ],
  errors: [
    { inputs: [float([2, 3])], attrs: { axes: [2] }, message: "axis 2 does not exist" },
    { inputs: [int([2], 0, 3)], attrs: { axes: [0] }, message: "expected float32" },
  ],
  terms: (types, { axes }) => countReduced(types[0]!.shape, axes),
});
