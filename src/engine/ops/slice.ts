// slice and pad: cutting a box out of an array and putting one into a larger array. Each is the other's adjoint.
import { ShapeError, formatType, stridesOf, type Shape } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { bind1, expectInputs, float, int, numbers, withOp, type OpFunction } from "./define.ts";
import { forEachIndex, gatherStrided } from "./strided.ts";

type SliceAttrs = {
  readonly start: readonly number[];
  readonly end: readonly number[];
  readonly step: readonly number[];
};

const sliceOp: OpRecord<SliceAttrs> = {
  name: "slice",
  doc: "A box of an array, every step-th element of each axis: `y[i] = x[start + i · step]`.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { start, end, step }) => {
    expectInputs("slice", types, 1);
    const { dtype, shape } = types[0]!;
    const fits =
      [start, end, step].every((list) => list.length === shape.length && list.every(Number.isInteger)) &&
      shape.every((n, i) => 0 <= start[i]! && start[i]! <= end[i]! && end[i]! <= n && step[i]! >= 1);
    if (!fits) {
      throw new ShapeError(
        "slice",
        `expected 0 ≤ start ≤ end ≤ size and step ≥ 1 for each axis of ${formatType(types[0]!)}: received start [${start.join(",")}], end [${end.join(",")}], step [${step.join(",")}]`,
      );
    }
    return [{ dtype, shape: shape.map((_, i) => Math.ceil((end[i]! - start[i]!) / step[i]!)) }];
  },
  evaluate: ([x], { start, step }, { inputs, outputs }) => {
    const strides = stridesOf(inputs[0]!.shape);
    const offset = strides.reduce((total, s, i) => total + s * start[i]!, 0);
    return [
      gatherStrided(
        x!,
        outputs[0]!.shape,
        strides.map((s, i) => s * step[i]!),
        offset,
      ),
    ];
  },
  vjp: ({ inputs: [x], outputs: [y], attrs: { start, step }, cts: [ct] }) => {
    const covered = y!.shape.map((n, i) => (n === 0 ? 0 : (n - 1) * step[i]! + 1));
    const high = covered.map((n, i) => x!.shape[i]! - start[i]! - n);
    return [pad(ct!, { low: start, high, interior: step.map((s) => s - 1), value: 0 })];
  },
  samples: [
    { inputs: [float([6])], attrs: { start: [1], end: [5], step: [1] } },
    { inputs: [float([7])], attrs: { start: [1], end: [7], step: [3] } },
    { inputs: [float([4, 5])], attrs: { start: [1, 0], end: [3, 5], step: [1, 2] } },
    { inputs: [float([3, 4])], attrs: { start: [1, 2], end: [1, 4], step: [1, 1] } },
    { inputs: [float([])], attrs: { start: [], end: [], step: [] } },
    { inputs: [int([2, 3, 4], -9, 9)], attrs: { start: [0, 1, 1], end: [2, 3, 4], step: [1, 1, 2] } },
    { inputs: [{ dtype: "bool", shape: [5], low: 0, high: 1 }], attrs: { start: [2], end: [5], step: [1] } },
    { inputs: [{ dtype: "bfloat16", shape: [9] }], attrs: { start: [2], end: [8], step: [2] } },
  ],
  errors: [
    { inputs: [float([3])], attrs: { start: [0], end: [4], step: [1] }, message: "end ≤ size" },
    { inputs: [float([3])], attrs: { start: [0], end: [3], step: [0] }, message: "step ≥ 1" },
  ],
};
/** The box from `start` to before `end`, every `step`-th element. */
export const slice: OpFunction<
  (x: Value, start: readonly number[], end: readonly number[], step?: readonly number[]) => Value,
  SliceAttrs
> = withOp(sliceOp, (x, start, end, step = x.shape.map(() => 1)) =>
  bind1(sliceOp, [x], { start: [...start], end: [...end], step: [...step] }),
);

/** Elements before, after and between the old ones on each axis, and their value. */
export type PadAttrs = {
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly interior: readonly number[];
  readonly value: number;
};

const padOp: OpRecord<PadAttrs> = {
  name: "pad",
  doc: "An array inside a larger one filled with `value`: `y[low + i · (interior + 1)] = x[i]`.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { low, high, interior }) => {
    expectInputs("pad", types, 1);
    const { dtype, shape } = types[0]!;
    const fits = [low, high, interior].every(
      (list) => list.length === shape.length && list.every((n) => Number.isInteger(n) && n >= 0),
    );
    if (!fits) {
      throw new ShapeError(
        "pad",
        `expected counts ≥ 0 for each axis of ${formatType(types[0]!)}: received low [${low.join(",")}], high [${high.join(",")}], interior [${interior.join(",")}]`,
        {
          hint: "cut with slice where elements are to be removed",
        },
      );
    }
    return [{ dtype, shape: paddedShape(shape, low, high, interior) }];
  },
  evaluate: ([x], { low, interior, value }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!).fill(value);
    const strides = stridesOf(outputs[0]!.shape);
    const offset = strides.reduce((total, s, i) => total + s * low[i]!, 0);
    forEachIndex(
      inputs[0]!.shape,
      strides.map((s, i) => s * (interior[i]! + 1)),
      offset,
      (from, to) => (out[to] = x![from]!),
    );
    return [out];
  },
  vjp: ({ inputs: [x], attrs: { low, interior }, cts: [ct] }) => {
    const step = interior.map((n) => n + 1);
    const end = x!.shape.map((n, i) => (n === 0 ? low[i]! : low[i]! + (n - 1) * step[i]! + 1));
    return [slice(ct!, low, end, step)];
  },
  samples: [
    { inputs: [float([3])], attrs: { low: [1], high: [2], interior: [0], value: 0 } },
    { inputs: [float([3])], attrs: { low: [0], high: [1], interior: [2], value: -1.5 } },
    { inputs: [float([2, 3])], attrs: { low: [1, 0], high: [0, 2], interior: [1, 1], value: 0 } },
    { inputs: [float([0, 2])], attrs: { low: [1, 0], high: [1, 0], interior: [0, 0], value: 3 } },
    { inputs: [float([])], attrs: { low: [], high: [], interior: [], value: 0 } },
    { inputs: [int([2, 2], -9, 9)], attrs: { low: [0, 1], high: [1, 1], interior: [0, 0], value: 7 } },
    {
      inputs: [{ dtype: "bool", shape: [3], low: 0, high: 1 }],
      attrs: { low: [1], high: [1], interior: [0], value: 1 },
    },
  ],
  errors: [{ inputs: [float([3])], attrs: { low: [-1], high: [0], interior: [0], value: 0 }, message: "counts ≥ 0" }],
};
/** An array inside a larger one. */
export const pad: OpFunction<(x: Value, attrs: PadAttrs) => Value, PadAttrs> = withOp(padOp, (x, attrs) =>
  [attrs.low, attrs.high, attrs.interior].every((list) => list.every((n) => n === 0))
    ? x
    : bind1(padOp, [x], {
        low: [...attrs.low],
        high: [...attrs.high],
        interior: [...attrs.interior],
        value: attrs.value,
      }),
);

/** Sizes after padding; an axis of size 0 gets no interior. */
export function paddedShape(
  shape: Shape,
  low: readonly number[],
  high: readonly number[],
  interior: readonly number[],
): number[] {
  return shape.map((n, i) => low[i]! + high[i]! + n + Math.max(0, n - 1) * interior[i]!);
}
