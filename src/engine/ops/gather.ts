// Picking elements by indices and adding them back: gather and scatterAdd, takeAlongAxis and scatterAddAlongAxis are adjoint pairs.
import {
  DtypeError,
  formatType,
  IndexError,
  normalizeAxis,
  sameShape,
  ShapeError,
  sizeOf,
  stridesOf,
  type Shape,
  type TensorType,
} from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { bind1, expectDtype, expectInputs, float, int, integral, numbers, withOp, type OpFunction } from "./define.ts";
import { cast, stored } from "./math.ts";
import { forEachIndex, lanesOf } from "./strided.ts";

/** The axis that indices count along. */
export type GatherAttrs = { readonly axis: number };
/** The axis that indices count along, and its size in the result. */
export type ScatterAttrs = { readonly axis: number; readonly size: number };

function expectIndices(where: string, indices: TensorType): void {
  if (indices.dtype !== "int32") {
    throw new DtypeError(where, `indices must be int32: received ${formatType(indices)}`, {
      hint: 'convert them with cast(indices, "int32")',
    });
  }
}

function expectSize(where: string, size: number): void {
  if (!Number.isSafeInteger(size) || size < 0)
    throw new ShapeError(where, `sizes are whole numbers ≥ 0: received ${size}`);
}

// An index as given, refused outside [0, size): a wrong label or token must not read another row.
function checked(where: string, index: number, size: number): number {
  if (index >= 0 && index < size) return index;
  throw new IndexError(where, `index ${index} is out of range [0, ${size})`, {
    hint: "indices count from 0; negative ones do not count from the end",
  });
}

function replaceAxis(shape: Shape, axis: number, by: readonly number[]): number[] {
  return [...shape.slice(0, axis), ...by, ...shape.slice(axis + 1)];
}

/** Calls `fn(inside, outside, count)` for each row of `count` elements: its offset in the array that is indexed and in the one with the indices in place of the axis. */
function forEachRow(
  where: string,
  indexed: Shape,
  axis: number,
  indices: Float64Array,
  fn: (inside: number, outside: number, count: number) => void,
): void {
  const { outer, size, inner } = lanesOf(indexed, axis);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < indices.length; i++) {
      const index = checked(where, indices[i]!, size);
      fn((o * size + index) * inner, (o * indices.length + i) * inner, inner);
    }
  }
}

const gatherOp: OpRecord<GatherAttrs> = {
  name: "gather",
  doc: "Rows by number: `y[…, i, …] = x[…, indices[i], …]` along an axis; the axes of the indices take its place.",
  traits: { kind: "index", recompute: "cheap" },
  shape: (types, { axis }) => {
    expectInputs("gather", types, 2);
    const [x, indices] = types as [TensorType, TensorType];
    expectIndices("gather", indices);
    normalizeAxis("gather", axis, x.shape.length);
    return [{ dtype: x.dtype, shape: replaceAxis(x.shape, axis, indices.shape) }];
  },
  evaluate: ([x, indices], { axis }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!);
    forEachRow("gather", inputs[0]!.shape, axis, indices!, (from, to, count) =>
      out.set(x!.subarray(from, from + count), to),
    );
    return [out];
  },
  // Rows of what is stored in bfloat16 are picked before they are cast.
  simplify: ({ inputs: [x, indices], attrs: { axis }, producer }) => {
    const table = stored(x!, producer);
    return table === undefined ? undefined : [cast(gather(table, indices!, axis), "float32")];
  },
  vjp: ({ inputs: [x, indices], attrs: { axis }, cts: [ct] }) => [
    scatterAdd(indices!, ct!, { axis, size: x!.shape[axis]! }),
    undefined,
  ],
  samples: [
    { inputs: [float([5]), int([3], 0, 4)], attrs: { axis: 0 } },
    { inputs: [float([5, 3]), int([], 0, 4)], attrs: { axis: 0 } },
    { inputs: [float([4, 3]), int([2, 5], 0, 3)], attrs: { axis: 0 } },
    { inputs: [float([2, 4, 3]), int([6], 0, 3)], attrs: { axis: 1 } },
    { inputs: [float([2, 17]), int([2, 2], 0, 16)], attrs: { axis: 1 } },
    { inputs: [float([3, 2]), int([0], 0, 2)], attrs: { axis: 0 } },
    { inputs: [float([0, 2]), int([0, 4], 0, 0)], attrs: { axis: 0 } },
    { inputs: [int([7, 2], -99, 99), int([3], 0, 6)], attrs: { axis: 0 } },
    { inputs: [{ dtype: "bool", shape: [6], low: 0, high: 1 }, int([4], 0, 5)], attrs: { axis: 0 } },
    { inputs: [{ dtype: "bfloat16", shape: [6, 7] }, int([4], 0, 5)], attrs: { axis: 0 } },
  ],
  errors: [
    { inputs: [float([3]), float([2])], attrs: { axis: 0 }, message: "indices must be int32" },
    { inputs: [float([]), int([2], 0, 0)], attrs: { axis: 0 }, message: "axis 0 does not exist" },
    {
      inputs: [float([3]), { ...int([2], 0, 0), values: [0, 3] }],
      attrs: { axis: 0 },
      message: "index 3 is out of range [0, 3)",
    },
    {
      inputs: [float([3]), { ...int([1], 0, 0), values: [-1] }],
      attrs: { axis: 0 },
      message: "index -1 is out of range [0, 3)",
    },
  ],
};

const scatterAddOp: OpRecord<ScatterAttrs> = {
  name: "scatterAdd",
  doc: "Rows added by number: `y[…, k, …] = Σ updates[…, i, …]` over all i with `indices[i] = k`; nowhere named, 0. The adjoint of `gather`.",
  traits: { kind: "index", recompute: "costly" },
  shape: (types, { axis, size }) => {
    expectInputs("scatterAdd", types, 2);
    const [indices, updates] = types as [TensorType, TensorType];
    expectIndices("scatterAdd", indices);
    expectDtype("scatterAdd", [updates], ["float32", "int32"]);
    expectSize("scatterAdd", size);
    const rank = indices.shape.length;
    if (
      !Number.isInteger(axis) ||
      axis < 0 ||
      axis > updates.shape.length - rank ||
      !sameShape(updates.shape.slice(axis, axis + rank), indices.shape)
    ) {
      throw new ShapeError(
        "scatterAdd",
        `updates must hold the axes of the indices from axis ${axis} on: received indices ${formatType(indices)} and updates ${formatType(updates)}`,
      );
    }
    const shape = [...updates.shape.slice(0, axis), size, ...updates.shape.slice(axis + rank)];
    return [{ dtype: updates.dtype, shape }];
  },
  evaluate: ([indices, updates], { axis }, { outputs }) => {
    const out = numbers(outputs[0]!);
    forEachRow("scatterAdd", outputs[0]!.shape, axis, indices!, (to, from, count) => {
      for (let k = 0; k < count; k++) out[to + k]! += updates![from + k]!;
    });
    return [integral(out, outputs[0]!.dtype)];
  },
  vjp: ({ inputs: [indices], attrs: { axis }, cts: [ct] }) => [undefined, gather(ct!, indices!, axis)],
  addedTo: (base, [indices, updates], { axis }) => scatterAddTo(base, { indices: indices!, updates: updates!, axis }),
  samples: [
    { inputs: [int([6], 0, 3), float([6])], attrs: { axis: 0, size: 4 } },
    { inputs: [int([], 0, 3), float([3])], attrs: { axis: 0, size: 4 } },
    { inputs: [int([], 0, 3), float([])], attrs: { axis: 0, size: 4 } },
    { inputs: [int([2, 5], 0, 3), float([2, 5, 3])], attrs: { axis: 0, size: 4 } },
    { inputs: [int([6], 0, 2), float([2, 6, 3])], attrs: { axis: 1, size: 3 } },
    { inputs: [int([3, 4], 0, 16), float([2, 3, 4])], attrs: { axis: 1, size: 17 } },
    { inputs: [int([0], 0, 2), float([0, 2])], attrs: { axis: 0, size: 3 } },
    { inputs: [int([200], 0, 1), float([200])], attrs: { axis: 0, size: 2 } },
    { inputs: [int([9], 0, 2), int([9, 2], -99, 99)], attrs: { axis: 0, size: 3 } },
  ],
  errors: [
    { inputs: [float([2]), float([2])], attrs: { axis: 0, size: 3 }, message: "indices must be int32" },
    { inputs: [int([2], 0, 1), float([3])], attrs: { axis: 0, size: 3 }, message: "updates must hold the axes" },
    {
      inputs: [int([2], 0, 1), { dtype: "bool", shape: [2] }],
      attrs: { axis: 0, size: 3 },
      message: "expected float32 or int32",
    },
    { inputs: [int([2], 0, 1), float([2])], attrs: { axis: 0, size: -1 }, message: "whole numbers ≥ 0" },
    {
      inputs: [{ ...int([2], 0, 0), values: [0, 3] }, float([2])],
      attrs: { axis: 0, size: 3 },
      message: "index 3 is out of range [0, 3)",
    },
  ],
  terms: (types) => Math.max(1, sizeOf(types[0]!.shape)),
};

const scatterAddToOp: OpRecord<GatherAttrs> = {
  name: "scatterAddTo",
  doc: "Rows added by number to an array: `y[…, k, …] = base[…, k, …] + Σ updates[…, i, …]` over all i with `indices[i] = k`.",
  traits: { kind: "index", recompute: "costly" },
  shape: (types, { axis }) => {
    expectInputs("scatterAddTo", types, 3);
    const [base, indices, updates] = types as [TensorType, TensorType, TensorType];
    normalizeAxis("scatterAddTo", axis, base.shape.length);
    const [result] = scatterAddOp.shape([indices, updates], { axis, size: base.shape[axis]! });
    if (!sameShape(result!.shape, base.shape) || base.dtype !== result!.dtype)
      throw new ShapeError(
        "scatterAddTo",
        `the base has the type of the scattered updates: received ${formatType(base)} and ${formatType(result!)}`,
      );
    return [result!];
  },
  evaluate: ([base, indices, updates], { axis }, { outputs }) => {
    const out = base!.slice();
    forEachRow("scatterAddTo", outputs[0]!.shape, axis, indices!, (to, from, count) => {
      for (let k = 0; k < count; k++) out[to + k]! += updates![from + k]!;
    });
    return [integral(out, outputs[0]!.dtype)];
  },
  vjp: ({ inputs: [, indices], attrs: { axis }, cts: [ct] }) => [ct!, undefined, gather(ct!, indices!, axis)],
  samples: [
    { inputs: [float([4]), int([6], 0, 3), float([6])], attrs: { axis: 0 } },
    { inputs: [float([4]), int([], 0, 3), float([])], attrs: { axis: 0 } },
    { inputs: [float([17, 70]), int([2, 5], 0, 16), float([2, 5, 70])], attrs: { axis: 0 } },
    { inputs: [float([2, 3, 3]), int([6], 0, 2), float([2, 6, 3])], attrs: { axis: 1 } },
    { inputs: [float([3, 2]), int([0], 0, 2), float([0, 2])], attrs: { axis: 0 } },
    { inputs: [int([3, 2], -99, 99), int([9], 0, 2), int([9, 2], -99, 99)], attrs: { axis: 0 } },
  ],
  errors: [
    { inputs: [float([4]), int([2], 0, 1), float([3])], attrs: { axis: 0 }, message: "updates must hold the axes" },
    { inputs: [float([4, 2]), int([2], 0, 1), float([2, 3])], attrs: { axis: 0 }, message: "the base has the type" },
    {
      inputs: [float([3]), { ...int([2], 0, 0), values: [0, 3] }, float([2])],
      attrs: { axis: 0 },
      message: "index 3 is out of range [0, 3)",
    },
  ],
  terms: (types) => Math.max(1, sizeOf(types[1]!.shape)) + 1,
};

/** `base` with updates added to the rows with these numbers; the axes of the indices take the place of `axis` in them. */
export const scatterAddTo: OpFunction<
  (base: Value, options: { indices: Value; updates: Value } & GatherAttrs) => Value,
  GatherAttrs
> = withOp(scatterAddToOp, (base, { indices, updates, axis }) =>
  bind1(scatterAddToOp, [base, indices, updates], { axis }),
);

// Indices with the rank of the array, equal sizes outside the axis.
function expectAlong(where: string, indexed: TensorType, indices: TensorType, axis: number): void {
  const outside = (shape: Shape): number[] => replaceAxis(shape, axis, []);
  normalizeAxis(where, axis, indexed.shape.length);
  if (indices.shape.length !== indexed.shape.length || !sameShape(outside(indices.shape), outside(indexed.shape))) {
    throw new ShapeError(
      where,
      `sizes differ outside axis ${axis}: received ${formatType(indexed)} and indices ${formatType(indices)}`,
      {
        hint: "for the same rows in every lane use gather",
      },
    );
  }
}

/** Calls `fn(inside, outside)` for each index: the offset of the element it names, and its own. */
function forEachAlong(
  where: string,
  shapes: { readonly indexed: Shape; readonly indices: Shape; readonly axis: number },
  indices: Float64Array,
  fn: (inside: number, outside: number) => void,
): void {
  const { axis } = shapes;
  const strides = stridesOf(shapes.indexed);
  const across = strides.map((s, i) => (i === axis ? 0 : s));
  forEachIndex(shapes.indices, across, 0, (i, start) => {
    fn(start + checked(where, indices[i]!, shapes.indexed[axis]!) * strides[axis]!, i);
  });
}

const takeAlongAxisOp: OpRecord<GatherAttrs> = {
  name: "takeAlongAxis",
  doc: "Elements by number, lane by lane: `y[…, i, …] = x[…, indices[…, i, …], …]` along an axis.",
  traits: { kind: "index", recompute: "cheap" },
  shape: (types, { axis }) => {
    expectInputs("takeAlongAxis", types, 2);
    const [x, indices] = types as [TensorType, TensorType];
    expectIndices("takeAlongAxis", indices);
    expectAlong("takeAlongAxis", x, indices, axis);
    return [{ dtype: x.dtype, shape: indices.shape }];
  },
  evaluate: ([x, indices], { axis }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!);
    const shapes = { indexed: inputs[0]!.shape, indices: inputs[1]!.shape, axis };
    forEachAlong("takeAlongAxis", shapes, indices!, (from, to) => (out[to] = x![from]!));
    return [out];
  },
  vjp: ({ inputs: [x, indices], attrs: { axis }, cts: [ct] }) => [
    scatterAddAlongAxis(indices!, ct!, { axis, size: x!.shape[axis]! }),
    undefined,
  ],
  samples: [
    { inputs: [float([5]), int([3], 0, 4)], attrs: { axis: 0 } },
    { inputs: [float([3, 4]), int([3, 1], 0, 3)], attrs: { axis: 1 } },
    { inputs: [float([3, 4]), int([6, 4], 0, 2)], attrs: { axis: 0 } },
    { inputs: [float([2, 5, 3]), int([2, 2, 3], 0, 4)], attrs: { axis: 1 } },
    { inputs: [float([3, 4]), int([3, 0], 0, 3)], attrs: { axis: 1 } },
    { inputs: [int([4, 3], -99, 99), int([4, 3], 0, 2)], attrs: { axis: 1 } },
    { inputs: [{ dtype: "bool", shape: [2, 3], low: 0, high: 1 }, int([2, 5], 0, 2)], attrs: { axis: 1 } },
    { inputs: [{ dtype: "bfloat16", shape: [2, 3] }, int([2, 5], 0, 2)], attrs: { axis: 1 } },
  ],
  errors: [
    { inputs: [float([3]), float([2])], attrs: { axis: 0 }, message: "indices must be int32" },
    { inputs: [float([3, 4]), int([2, 1], 0, 3)], attrs: { axis: 1 }, message: "sizes differ outside axis 1" },
    { inputs: [float([3, 4]), int([3], 0, 3)], attrs: { axis: 1 }, message: "sizes differ outside axis 1" },
    {
      inputs: [float([3]), { ...int([1], 0, 0), values: [3] }],
      attrs: { axis: 0 },
      message: "index 3 is out of range [0, 3)",
    },
  ],
};

const scatterAddAlongAxisOp: OpRecord<ScatterAttrs> = {
  name: "scatterAddAlongAxis",
  doc: "Elements added by number, lane by lane: `y[…, k, …] = Σ updates[…, i, …]` over all i with `indices[…, i, …] = k`. The adjoint of `takeAlongAxis`.",
  traits: { kind: "index", recompute: "costly" },
  shape: (types, { axis, size }) => {
    expectInputs("scatterAddAlongAxis", types, 2);
    const [indices, updates] = types as [TensorType, TensorType];
    expectIndices("scatterAddAlongAxis", indices);
    expectDtype("scatterAddAlongAxis", [updates], ["float32", "int32"]);
    expectSize("scatterAddAlongAxis", size);
    normalizeAxis("scatterAddAlongAxis", axis, updates.shape.length);
    if (!sameShape(indices.shape, updates.shape)) {
      throw new ShapeError(
        "scatterAddAlongAxis",
        `indices and updates need equal shapes: received ${formatType(indices)} and ${formatType(updates)}`,
      );
    }
    return [{ dtype: updates.dtype, shape: replaceAxis(updates.shape, axis, [size]) }];
  },
  evaluate: ([indices, updates], { axis }, { inputs, outputs }) => {
    const out = numbers(outputs[0]!);
    const shapes = { indexed: outputs[0]!.shape, indices: inputs[0]!.shape, axis };
    forEachAlong("scatterAddAlongAxis", shapes, indices!, (to, from) => (out[to]! += updates![from]!));
    return [integral(out, outputs[0]!.dtype)];
  },
  vjp: ({ inputs: [indices], attrs: { axis }, cts: [ct] }) => [undefined, takeAlongAxis(ct!, indices!, axis)],
  samples: [
    { inputs: [int([6], 0, 3), float([6])], attrs: { axis: 0, size: 4 } },
    { inputs: [int([3, 1], 0, 3), float([3, 1])], attrs: { axis: 1, size: 4 } },
    { inputs: [int([6, 4], 0, 2), float([6, 4])], attrs: { axis: 0, size: 3 } },
    { inputs: [int([2, 5, 3], 0, 1), float([2, 5, 3])], attrs: { axis: 1, size: 2 } },
    { inputs: [int([3, 0], 0, 3), float([3, 0])], attrs: { axis: 1, size: 4 } },
    { inputs: [int([2, 100], 0, 1), float([2, 100])], attrs: { axis: 1, size: 2 } },
    { inputs: [int([4, 5], 0, 2), int([4, 5], -99, 99)], attrs: { axis: 1, size: 3 } },
  ],
  errors: [
    { inputs: [float([2]), float([2])], attrs: { axis: 0, size: 3 }, message: "indices must be int32" },
    { inputs: [int([2], 0, 1), float([3])], attrs: { axis: 0, size: 3 }, message: "need equal shapes" },
    { inputs: [int([], 0, 1), float([])], attrs: { axis: 0, size: 3 }, message: "axis 0 does not exist" },
    {
      inputs: [{ ...int([1], 0, 0), values: [-1] }, float([1])],
      attrs: { axis: 0, size: 3 },
      message: "index -1 is out of range [0, 3)",
    },
  ],
  terms: (types, { axis }) => Math.max(1, types[0]!.shape[axis]!),
};

/** Rows by number along an axis (the first unless said); an index out of range `[0, n)` is an IndexError when it is evaluated. */
export const gather: OpFunction<(x: Value, indices: Value, axis?: number) => Value, GatherAttrs> = withOp(
  gatherOp,
  (x, indices, axis = 0) => bind1(gatherOp, [x, indices], { axis: normalizeAxis("gather", axis, x.shape.length) }),
);

/** Zeros with the updates added at the rows the indices name; `axis` is where the indices' axes begin in the updates. */
export const scatterAdd: OpFunction<(indices: Value, updates: Value, attrs: ScatterAttrs) => Value, ScatterAttrs> =
  withOp(scatterAddOp, (indices, updates, { axis, size }) => bind1(scatterAddOp, [indices, updates], { axis, size }));

/** Elements by number along an axis, each lane with its own indices. */
export const takeAlongAxis: OpFunction<(x: Value, indices: Value, axis: number) => Value, GatherAttrs> = withOp(
  takeAlongAxisOp,
  (x, indices, axis) =>
    bind1(takeAlongAxisOp, [x, indices], { axis: normalizeAxis("takeAlongAxis", axis, x.shape.length) }),
);

/** Zeros with the updates added at the elements the indices name, each lane with its own. */
export const scatterAddAlongAxis: OpFunction<
  (indices: Value, updates: Value, attrs: ScatterAttrs) => Value,
  ScatterAttrs
> = withOp(scatterAddAlongAxisOp, (indices, updates, { axis, size }) =>
  bind1(scatterAddAlongAxisOp, [indices, updates], {
    axis: normalizeAxis("scatterAddAlongAxis", axis, updates.shape.length),
    size,
  }),
);
