// Sorting: values with the places they came from, so that the gradient is one scatter.
import { ArgumentError, formatType, normalizeAxis, ShapeError, sizeOf } from "../core/index.ts";
import { bind, type OpRecord, type Value } from "../program/index.ts";
import { expectDtype, expectInputs, float, int, numbers, withOp, type OpFunction } from "./define.ts";
import { scatterAddAlongAxis } from "./gather.ts";
import { slice } from "./slice.ts";
import { forEachLane, lanesOf } from "./strided.ts";

/** Along which axis, and whether the largest comes first. */
export type SortAttrs = { readonly axis: number; readonly descending: boolean };
/** How many of the largest. */
export type TopKAttrs = { readonly k: number };

// NaN belongs behind every number in both directions; equal elements stay in their order.
function before(a: number, b: number, descending: boolean): number {
  if (a !== a || b !== b) return Number(a !== a) - Number(b !== b);
  if (a === b) return 0;
  return a < b === descending ? 1 : -1;
}

/** The order of one lane: places 0 … size − 1, sorted by what `value` gives for them. */
function orderOf(size: number, descending: boolean, value: (place: number) => number): number[] {
  const places = Array.from({ length: size }, (_, i) => i);
  return places.sort((i, j) => before(value(i), value(j), descending));
}

const sortOp: OpRecord<SortAttrs> = {
  name: "sort",
  doc: "Elements in order along an axis and the places they came from: `values[i] = x[indices[i]]`; stable, NaN last in both directions.",
  traits: { kind: "sort", recompute: "costly" },
  shape: (types, { axis }) => {
    expectInputs("sort", types, 1);
    expectDtype("sort", types, ["float32", "int32", "uint32"]);
    const { dtype, shape } = types[0]!;
    normalizeAxis("sort", axis, shape.length);
    return [
      { dtype, shape },
      { dtype: "int32", shape },
    ];
  },
  evaluate: ([x], { axis, descending }, { inputs, outputs }) => {
    const [values, indices] = [numbers(outputs[0]!), numbers(outputs[1]!)];
    const lanes = lanesOf(inputs[0]!.shape, axis);
    forEachLane(lanes, (start) => {
      const order = orderOf(lanes.size, descending, (place) => x![start + place * lanes.inner]!);
      order.forEach((place, i) => {
        values[start + i * lanes.inner] = x![start + place * lanes.inner]!;
        indices[start + i * lanes.inner] = place;
      });
    });
    return [values, indices];
  },
  vjp: ({ inputs: [x], outputs: [, indices], attrs: { axis }, cts: [ct] }) => [
    ct && scatterAddAlongAxis(indices!, ct, { axis, size: x!.shape[axis]! }),
  ],
  samples: [
    { inputs: [float([7], { distinct: true })], attrs: { axis: 0, descending: false } },
    { inputs: [float([7], { distinct: true })], attrs: { axis: 0, descending: true } },
    { inputs: [float([3, 4], { distinct: true })], attrs: { axis: 0, descending: false } },
    { inputs: [float([2, 5, 3], { distinct: true })], attrs: { axis: 1, descending: true } },
    { inputs: [float([2, 100], { distinct: true })], attrs: { axis: 1, descending: false } },
    { inputs: [float([3, 0])], attrs: { axis: 1, descending: false } },
    { inputs: [int([4, 30], -3, 3)], attrs: { axis: 1, descending: true } },
    {
      inputs: [{ dtype: "uint32", shape: [4], values: [4294967295, 0, 2147483648, 7] }],
      attrs: { axis: 0, descending: false },
    },
    {
      inputs: [float([6], { values: [2, NaN, 1, Infinity, NaN, -Infinity] })],
      attrs: { axis: 0, descending: false },
      wrt: [],
    },
    {
      inputs: [float([6], { values: [2, NaN, 1, Infinity, 2, -Infinity] })],
      attrs: { axis: 0, descending: true },
      wrt: [],
    },
  ],
  errors: [
    { inputs: [float([])], attrs: { axis: 0, descending: false }, message: "axis 0 does not exist" },
    {
      inputs: [{ dtype: "bool", shape: [2] }],
      attrs: { axis: 0, descending: false },
      message: "expected float32 or int32 or uint32",
    },
  ],
};

const topKOp: OpRecord<TopKAttrs> = {
  name: "topK",
  doc: "The k largest elements of the last axis, largest first, and their places: `values[i] = x[indices[i]]`; the lower place first on ties, NaN last.",
  traits: { kind: "sort", recompute: "costly" },
  shape: (types, { k }) => {
    expectInputs("topK", types, 1);
    expectDtype("topK", types, ["float32", "int32"]);
    const { dtype, shape } = types[0]!;
    if (shape.length === 0) throw new ShapeError("topK", `needs an axis: received ${formatType(types[0]!)}`);
    const size = shape[shape.length - 1]!;
    if (!Number.isInteger(k) || k < 1 || k > size) {
      throw new ArgumentError(
        "topK",
        `k must be a whole number in [1, ${size}]: received ${k} for ${formatType(types[0]!)}`,
      );
    }
    const kept = [...shape.slice(0, -1), k];
    return [
      { dtype, shape: kept },
      { dtype: "int32", shape: kept },
    ];
  },
  evaluate: ([x], { k }, { inputs, outputs }) => {
    const [values, indices] = [numbers(outputs[0]!), numbers(outputs[1]!)];
    const { shape } = inputs[0]!;
    const size = shape[shape.length - 1]!;
    for (let lane = 0; lane < sizeOf(shape.slice(0, -1)); lane++) {
      const order = orderOf(size, true, (place) => x![lane * size + place]!);
      for (let i = 0; i < k; i++) {
        values[lane * k + i] = x![lane * size + order[i]!]!;
        indices[lane * k + i] = order[i]!;
      }
    }
    return [values, indices];
  },
  decompose: ([x], { k }) => {
    const first = x!.shape.map(() => 0);
    const end = [...x!.shape.slice(0, -1), k];
    return sort(x!, { descending: true }).map((part) => slice(part, first, end));
  },
  vjp: ({ inputs: [x], outputs: [, indices], cts: [ct] }) => {
    const axis = x!.shape.length - 1;
    return [ct && scatterAddAlongAxis(indices!, ct, { axis, size: x!.shape[axis]! })];
  },
  samples: [
    { inputs: [float([7], { distinct: true })], attrs: { k: 3 } },
    { inputs: [float([3, 4], { distinct: true })], attrs: { k: 1 } },
    { inputs: [float([2, 3, 5], { distinct: true })], attrs: { k: 5 } },
    { inputs: [float([2, 100], { distinct: true })], attrs: { k: 10 } },
    { inputs: [float([0, 4])], attrs: { k: 2 } },
    { inputs: [int([4, 12], -2, 2)], attrs: { k: 6 } },
    { inputs: [float([5], { values: [1, NaN, 3, 1, -Infinity] })], attrs: { k: 5 }, wrt: [] },
  ],
  errors: [
    { inputs: [float([2, 3])], attrs: { k: 4 }, message: "k must be a whole number in [1, 3]: received 4" },
    { inputs: [float([2, 3])], attrs: { k: 0 }, message: "k must be a whole number in [1, 3]: received 0" },
    { inputs: [float([])], attrs: { k: 1 }, message: "needs an axis" },
    { inputs: [{ dtype: "bool", shape: [2] }], attrs: { k: 1 }, message: "expected float32 or int32" },
  ],
};

type Sorted = readonly [values: Value, indices: Value];

/** Elements in order along an axis (the last unless said), ascending unless said, and the places they came from. */
export const sort: OpFunction<(x: Value, options?: Partial<SortAttrs>) => Sorted, SortAttrs> = withOp(
  sortOp,
  (x: Value, { axis = -1, descending = false }: Partial<SortAttrs> = {}): Sorted => {
    const [values, indices] = bind(sortOp, [x], { axis: normalizeAxis("sort", axis, x.shape.length), descending });
    return [values!, indices!];
  },
);

/** The k largest elements of the last axis, largest first, and their places. */
export const topK: OpFunction<(x: Value, k: number) => Sorted, TopKAttrs> = withOp(
  topKOp,
  (x: Value, k: number): Sorted => {
    const [values, indices] = bind(topKOp, [x], { k });
    return [values!, indices!];
  },
);
