// Ops that move elements without computing: reshape, transpose, broadcast (with its adjoint sum), reverse, concat.
import {
  ArgumentError,
  normalizeAxes,
  normalizeAxis,
  sameShape,
  ShapeError,
  sizeOf,
  stridesOf,
  formatType,
  checkShape,
  type DType,
  type Shape,
} from "../core/index.ts";
import { anyOp, type Equation, type OpRecord, type Value } from "../program/index.ts";
import { bind1, expectDtype, expectInputs, float, int, integral, numbers, withOp, type OpFunction } from "./define.ts";
import { pad, slice, type PadAttrs } from "./slice.ts";
import { forEachIndex, gatherStrided } from "./strided.ts";

type ShapeAttrs = { readonly shape: Shape };

const reshapeOp: OpRecord<ShapeAttrs> = {
  name: "reshape",
  doc: "The same elements in the same row-major order under another shape.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { shape }) => {
    expectInputs("reshape", types, 1);
    checkShape("reshape", shape);
    if (sizeOf(shape) !== sizeOf(types[0]!.shape)) {
      throw new ShapeError(
        "reshape",
        `${formatType(types[0]!)} has ${sizeOf(types[0]!.shape)} elements: received shape [${shape.join(",")}] of ${sizeOf(shape)}`,
      );
    }
    return [{ dtype: types[0]!.dtype, shape }];
  },
  evaluate: ([x]) => [x!.slice()],
  vjp: ({ inputs: [x], cts: [ct] }) => [reshape(ct!, x!.shape)],
  // Of two reshapes in a row only the last shape counts.
  simplify: ({ inputs: [x], attrs: { shape }, producer }) => {
    const maker = producer(x!);
    return maker?.op === anyOp(reshapeOp) ? [reshape(maker.inputs[0]!, shape)] : undefined;
  },
  samples: [
    { inputs: [float([2, 6])], attrs: { shape: [3, 4] } },
    { inputs: [float([1])], attrs: { shape: [] } },
    { inputs: [float([4, 0])], attrs: { shape: [0, 7] } },
    { inputs: [int([2, 3, 4], -9, 9)], attrs: { shape: [24] } },
    { inputs: [{ dtype: "bool", shape: [6], low: 0, high: 1 }], attrs: { shape: [2, 3] } },
  ],
  errors: [{ inputs: [float([2, 3])], attrs: { shape: [4, 2] }, message: "has 6 elements" }],
};
/** The same elements under another shape. */
export const reshape: OpFunction<(x: Value, shape: Shape) => Value, ShapeAttrs> = withOp(reshapeOp, (x, shape) =>
  sameShape(x.shape, shape) ? x : bind1(reshapeOp, [x], { shape: [...shape] }),
);

type PermuteAttrs = { readonly permutation: readonly number[] };

const transposeOp: OpRecord<PermuteAttrs> = {
  name: "transpose",
  doc: "Axes in another order: axis `i` of the result is axis `permutation[i]` of x.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { permutation }) => {
    expectInputs("transpose", types, 1);
    const { dtype, shape } = types[0]!;
    const sorted = [...permutation].sort((a, b) => a - b);
    if (sorted.length !== shape.length || sorted.some((axis, i) => axis !== i)) {
      throw new ShapeError(
        "transpose",
        `expected each axis of ${formatType(types[0]!)} once: received [${permutation.join(",")}]`,
      );
    }
    return [{ dtype, shape: permutation.map((axis) => shape[axis]!) }];
  },
  evaluate: ([x], { permutation }, { inputs, outputs }) => {
    const from = stridesOf(inputs[0]!.shape);
    return [
      gatherStrided(
        x!,
        outputs[0]!.shape,
        permutation.map((axis) => from[axis]!),
        0,
      ),
    ];
  },
  vjp: ({ attrs: { permutation }, cts: [ct] }) => [transpose(ct!, inversePermutation(permutation))],
  // Two permutations in a row are one; a product can be written the other way round.
  simplify: ({ inputs: [x], attrs: { permutation }, producer, alone }) => {
    const maker = producer(x!);
    const last = permutation.length - 1;
    const exchanges = permutation.every((axis, i) => axis === (i === last ? i - 1 : i === last - 1 ? i + 1 : i));
    if (exchanges && alone(0) && maker?.op.exchanged !== undefined)
      return [maker.op.exchanged(maker.inputs, maker.attrs)];
    if (maker?.op !== anyOp(transposeOp)) return undefined;
    const first = (maker.attrs as PermuteAttrs).permutation;
    return [
      transpose(
        maker.inputs[0]!,
        permutation.map((axis) => first[axis]!),
      ),
    ];
  },
  samples: [
    { inputs: [float([2, 3])], attrs: { permutation: [1, 0] } },
    { inputs: [float([])], attrs: { permutation: [] } },
    { inputs: [float([2, 3, 4])], attrs: { permutation: [2, 0, 1] } },
    { inputs: [float([2, 3, 4, 5])], attrs: { permutation: [0, 2, 1, 3] } },
    { inputs: [int([3, 0, 2], 0, 9)], attrs: { permutation: [2, 1, 0] } },
    { inputs: [{ dtype: "bool", shape: [3, 5], low: 0, high: 1 }], attrs: { permutation: [1, 0] } },
    { inputs: [{ dtype: "bfloat16", shape: [37, 19] }], attrs: { permutation: [1, 0] } },
  ],
  errors: [{ inputs: [float([2, 3])], attrs: { permutation: [0, 0] }, message: "each axis" }],
};
/** Axes in another order (reversed unless said). */
export const transpose: OpFunction<(x: Value, permutation?: readonly number[]) => Value, PermuteAttrs> = withOp(
  transposeOp,
  (x, permutation = x.shape.map((_, i) => x.shape.length - 1 - i)) =>
    permutation.every((axis, i) => axis === i) && permutation.length === x.shape.length
      ? x
      : bind1(transposeOp, [x], { permutation: [...permutation] }),
);

/** The permutation that undoes one. */
export function inversePermutation(permutation: readonly number[]): number[] {
  const inverse = new Array<number>(permutation.length);
  permutation.forEach((axis, i) => (inverse[axis] = i));
  return inverse;
}

/** `axes[i]` says which axis of the result the input's axis `i` becomes; the others are new. */
type BroadcastAttrs = { readonly shape: Shape; readonly axes: readonly number[] };

const broadcastOp: OpRecord<BroadcastAttrs> = {
  name: "broadcast",
  doc: "Repeats elements along new axes and along axes of size 1: `y[…] = x[indices at axes]`.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { shape, axes }) => {
    expectInputs("broadcast", types, 1);
    checkShape("broadcast", shape);
    const x = types[0]!;
    const fits =
      axes.length === x.shape.length &&
      axes.every(
        (axis, i) =>
          axis < shape.length && axis > (axes[i - 1] ?? -1) && (x.shape[i] === shape[axis] || x.shape[i] === 1),
      );
    if (!fits) {
      throw new ShapeError(
        "broadcast",
        `${formatType(x)} does not broadcast to [${shape.join(",")}] at axes [${axes.join(",")}]`,
      );
    }
    return [{ dtype: x.dtype, shape }];
  },
  evaluate: ([x], { shape, axes }, { inputs }) => [
    gatherStrided(x!, shape, broadcastStrides(inputs[0]!.shape, shape, axes), 0),
  ],
  vjp: ({ inputs: [x], attrs: { shape, axes }, cts: [ct] }) => {
    const repeated = shape.flatMap((n, axis) =>
      axes.includes(axis) && x!.shape[axes.indexOf(axis)] === n ? [] : [axis],
    );
    return [reshape(sum(ct!, repeated), x!.shape)];
  },
  samples: [
    { inputs: [float([])], attrs: { shape: [2, 3], axes: [] } },
    { inputs: [float([3])], attrs: { shape: [2, 3], axes: [1] } },
    { inputs: [float([2])], attrs: { shape: [2, 3], axes: [0] } },
    { inputs: [float([2, 1])], attrs: { shape: [2, 3], axes: [0, 1] } },
    { inputs: [float([1, 4])], attrs: { shape: [2, 3, 4], axes: [0, 2] } },
    { inputs: [float([1])], attrs: { shape: [0], axes: [0] } },
    { inputs: [int([2, 1, 3], -9, 9)], attrs: { shape: [2, 5, 3], axes: [0, 1, 2] } },
    { inputs: [{ dtype: "bool", shape: [3], low: 0, high: 1 }], attrs: { shape: [3, 2], axes: [0] } },
    { inputs: [{ dtype: "bfloat16", shape: [3] }], attrs: { shape: [3, 2], axes: [0] } },
  ],
  errors: [{ inputs: [float([3])], attrs: { shape: [2, 4], axes: [1] }, message: "does not broadcast" }],
};
/** Repeats elements to a shape; axes align from the right (NumPy's rule) unless said. */
export const broadcast: OpFunction<(x: Value, shape: Shape, axes?: readonly number[]) => Value, BroadcastAttrs> =
  withOp(broadcastOp, (x, shape, axes = x.shape.map((_, i) => shape.length - x.shape.length + i)) =>
    sameShape(x.shape, shape) ? x : bind1(broadcastOp, [x], { shape: [...shape], axes: [...axes] }),
  );

/** Strides in the input for each axis of a broadcast result: 0 where it repeats. */
export function broadcastStrides(from: Shape, to: Shape, axes: readonly number[]): number[] {
  const strides = stridesOf(from);
  const out = new Array<number>(to.length).fill(0);
  axes.forEach((axis, i) => (out[axis] = from[i] === 1 ? 0 : strides[i]!));
  return out;
}

/** Axes of a reduction, ascending; they vanish from the shape. */
export type ReduceAttrs = { readonly axes: readonly number[] };

const sumOp: OpRecord<ReduceAttrs> = {
  name: "sum",
  doc: "The sum over axes: `y = Σ x`; of nothing, 0.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, { axes }) => {
    expectInputs("sum", types, 1);
    expectDtype("sum", types, ["float32", "int32", "uint32"]);
    return [{ dtype: types[0]!.dtype, shape: reducedShape("sum", types[0]!.shape, axes) }];
  },
  evaluate: ([x], { axes }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!);
    forEachReduced(inputs[0]!.shape, axes, (from, to) => (out[to]! += x![from]!));
    return [integral(out, outputs[0]!.dtype)];
  },
  vjp: ({ inputs: [x], attrs: { axes }, cts: [ct] }) => [broadcast(ct!, x!.shape, keptAxes(x!.shape, axes))],
  samples: [
    { inputs: [float([5])], attrs: { axes: [0] } },
    { inputs: [float([3, 4])], attrs: { axes: [0] } },
    { inputs: [float([3, 4])], attrs: { axes: [1] } },
    { inputs: [float([2, 3, 4])], attrs: { axes: [0, 2] } },
    { inputs: [float([2, 3, 4])], attrs: { axes: [1] } },
    { inputs: [float([3, 0])], attrs: { axes: [1] } },
    { inputs: [float([2, 1000])], attrs: { axes: [1] } },
    { inputs: [int([4, 5], -99, 99)], attrs: { axes: [0, 1] } },
  ],
  errors: [
    { inputs: [float([2, 3])], attrs: { axes: [2] }, message: "axis 2 does not exist" },
    { inputs: [{ dtype: "bool", shape: [2] }], attrs: { axes: [0] }, message: "expected float32" },
  ],
  terms: (types, { axes }) => countReduced(types[0]!.shape, axes),
};
/** The sum over axes (all unless said). */
export const sum: OpFunction<(x: Value, axes?: number | readonly number[]) => Value, ReduceAttrs> = withOp(
  sumOp,
  (x, axes) => {
    const normal = normalizeAxes("sum", axes, x.shape.length);
    return normal.length === 0 ? x : bind1(sumOp, [x], { axes: normal });
  },
);

/** The shape without the axes reduced. */
export function reducedShape(where: string, shape: Shape, axes: readonly number[]): number[] {
  for (const axis of axes) normalizeAxis(where, axis, shape.length);
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** The axes a reduction keeps: where its result sits inside its input. */
export function keptAxes(shape: Shape, axes: readonly number[]): number[] {
  return shape.flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]));
}

/** How many elements become one. */
export function countReduced(shape: Shape, axes: readonly number[]): number {
  return axes.reduce((n, axis) => n * shape[axis]!, 1);
}

/** Calls `fn(from, to)` for each element of the input and its place in the reduced result, in input order. */
export function forEachReduced(shape: Shape, axes: readonly number[], fn: (from: number, to: number) => void): void {
  const strides = broadcastStrides(reducedShape("reduce", shape, axes), shape, keptAxes(shape, axes));
  // A kept axis of size 1 has stride 0 there, which is right: its only index is 0.
  forEachIndex(shape, strides, 0, fn);
}

type AxesAttrs = { readonly axes: readonly number[] };

const reverseOp: OpRecord<AxesAttrs> = {
  name: "reverse",
  doc: "Elements in the opposite order along axes: `y[i] = x[n − 1 − i]`.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { axes }) => {
    expectInputs("reverse", types, 1);
    for (const axis of axes) normalizeAxis("reverse", axis, types[0]!.shape.length);
    return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x], { axes }, { inputs }) => {
    const { shape } = inputs[0]!;
    const strides = stridesOf(shape);
    const start = axes.reduce((offset, axis) => offset + Math.max(0, shape[axis]! - 1) * strides[axis]!, 0);
    return [
      gatherStrided(
        x!,
        shape,
        strides.map((s, axis) => (axes.includes(axis) ? -s : s)),
        start,
      ),
    ];
  },
  vjp: ({ attrs: { axes }, cts: [ct] }) => [reverse(ct!, axes)],
  samples: [
    { inputs: [float([5])], attrs: { axes: [0] } },
    { inputs: [float([2, 3, 4])], attrs: { axes: [0, 2] } },
    { inputs: [float([2, 0])], attrs: { axes: [0] } },
    { inputs: [int([3, 4], -9, 9)], attrs: { axes: [1] } },
  ],
  errors: [{ inputs: [float([2])], attrs: { axes: [1] }, message: "axis 1 does not exist" }],
};
/** Elements in the opposite order along axes. */
export const reverse: OpFunction<(x: Value, axes: readonly number[]) => Value, AxesAttrs> = withOp(
  reverseOp,
  (x, axes) => {
    const normal = normalizeAxes("reverse", axes, x.shape.length);
    return normal.length === 0 ? x : bind1(reverseOp, [x], { axes: normal });
  },
);

type ConcatAttrs = { readonly axis: number };

const concatOp: OpRecord<ConcatAttrs> = {
  name: "concat",
  doc: "Arrays one after another along an axis.",
  traits: { kind: "layout", recompute: "cheap" },
  shape: (types, { axis }) => {
    const first = types[0];
    if (first === undefined) throw new ArgumentError("concat", "needs at least one array: received none");
    normalizeAxis("concat", axis, first.shape.length);
    let total = 0;
    for (const type of types) {
      const fits =
        type.dtype === first.dtype &&
        type.shape.length === first.shape.length &&
        type.shape.every((n, i) => i === axis || n === first.shape[i]);
      if (!fits)
        throw new ShapeError(
          "concat",
          `arrays differ outside axis ${axis}: received ${types.map(formatType).join(" and ")}`,
        );
      total += type.shape[axis]!;
    }
    return [{ dtype: first.dtype, shape: first.shape.map((n, i) => (i === axis ? total : n)) }];
  },
  evaluate: (arrays, { axis }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!);
    const strides = stridesOf(outputs[0]!.shape);
    let start = 0;
    arrays.forEach((array, k) => {
      forEachIndex(inputs[k]!.shape, strides, start * strides[axis]!, (from, to) => (out[to] = array[from]!));
      start += inputs[k]!.shape[axis]!;
    });
    return [out];
  },
  vjp: ({ inputs, attrs: { axis }, cts: [ct] }) => {
    let start = 0;
    return inputs.map((x) => {
      const begin = x.shape.map((_, i) => (i === axis ? start : 0));
      start += x.shape[axis]!;
      return slice(
        ct!,
        begin,
        x.shape.map((n, i) => (i === axis ? start : n)),
      );
    });
  },
  samples: [
    { inputs: [float([2]), float([3])], attrs: { axis: 0 } },
    { inputs: [float([2, 3]), float([2, 1]), float([2, 2])], attrs: { axis: 1 } },
    { inputs: [float([2, 3]), float([0, 3])], attrs: { axis: 0 } },
    { inputs: [int([2, 2, 2], 0, 9), int([2, 3, 2], 0, 9)], attrs: { axis: 1 } },
    { inputs: [0, 1].map(() => ({ dtype: "bfloat16" as DType, shape: [2, 3] })), attrs: { axis: 1 } },
    { inputs: [0, 1].map(() => ({ dtype: "bool" as DType, shape: [2, 3], low: 0, high: 1 })), attrs: { axis: 0 } },
  ],
  errors: [
    { inputs: [float([2, 3]), float([3, 2])], attrs: { axis: 0 }, message: "differ outside axis 0" },
    { inputs: [], attrs: { axis: 0 }, message: "at least one" },
  ],
};
/** Arrays one after another along an axis. */
export const concat: OpFunction<(arrays: readonly Value[], axis: number) => Value, ConcatAttrs> = withOp(
  concatOp,
  (arrays, axis) =>
    arrays.length === 1
      ? arrays[0]!
      : bind1(concatOp, arrays, { axis: normalizeAxis("concat", axis, arrays[0]?.shape.length ?? 1) }),
);

/** The sum of two arrays padded with zeros that touch along one axis and overlap nowhere: one after the other, padded; else `undefined`. */
export function joinPadded(
  x: Equation | undefined,
  y: Equation | undefined,
  producer: (value: Value) => Equation | undefined,
): Value | undefined {
  if (x?.op !== anyOp(pad.op) || y?.op !== anyOp(pad.op)) return undefined;
  const [a, b] = [x.attrs as PadAttrs, y.attrs as PadAttrs];
  const [v, w] = [x.inputs[0]!, y.inputs[0]!];
  if ([a, b].some(({ value, interior }) => value !== 0 || interior.some((n) => n !== 0))) return undefined;
  const differs = v.shape.flatMap((_, i) => (a.low[i] !== b.low[i] || a.high[i] !== b.high[i] ? [i] : []));
  const [axis] = differs;
  if (axis === undefined || differs.length > 1) return undefined;
  if (b.low[axis]! < a.low[axis]!) return joinPadded(y, x, producer);
  if (a.low[axis]! + v.shape[axis]! !== b.low[axis]!) return undefined;
  // Parts joined before stay parts.
  const parts = [v, w].flatMap((part) => {
    const maker = producer(part);
    return maker?.op === anyOp(concatOp) && (maker.attrs as ConcatAttrs).axis === axis ? maker.inputs : [part];
  });
  return pad(concat(parts, axis), { ...a, high: b.high });
}
