// Layout ops: views where nothing moves, else one strided copy.
import { toBfloat16, type DType, type Shape } from "../../../core/index.ts";
import { elementBytes, floatBits } from "../../../plan/index.ts";
import type { Lowered } from "../../backend.ts";
import {
  aroundAxis,
  checkRank,
  mergeAxes,
  rule,
  sizeOf,
  stridesOf,
  type Box,
  type LowerRule,
  type LowerRules,
} from "./lowering.ts";

/** The bits of one number in the memory of a dtype. */
export function wordOf(x: number, dtype: DType): number {
  if (dtype === "float32") return floatBits(x);
  if (dtype === "bfloat16") return toBfloat16(x);
  return dtype === "bool" ? (x === 0 ? 0 : 1) : x | 0;
}

interface Move extends Box {
  readonly op: string;
  readonly dtype: DType;
  readonly fromStart?: number;
  readonly toStart?: number;
  /** Fills the whole output first. */
  readonly fill?: { readonly word: number; readonly size: number };
}

function move({ op, dtype, fromStart = 0, toStart = 0, fill, ...box }: Move): Lowered {
  const { dims, from, to } = mergeAxes(box);
  checkRank(op, dims.length);
  const head = [elementBytes(dtype), fill === undefined ? 0 : 1, fill?.word ?? 0, fill?.size ?? 0];
  return { kernel: "copy", params: [...head, dims.length, fromStart, toStart, ...dims, ...from, ...to] };
}

// A copy into a row-major output; a view where the input is walked in its own order from its start.
function gatherBox(parts: {
  op: string;
  dtype: DType;
  shape: Shape;
  from: readonly number[];
  start?: number;
}): Lowered {
  const { op, dtype, shape, from, start = 0 } = parts;
  const box = mergeAxes({ dims: shape, from, to: stridesOf(shape) });
  const still = box.dims.length === 0 || (box.dims.length === 1 && box.from[0] === 1);
  if (still && start === 0) return { view: 0 };
  return move({ op, dtype, dims: shape, from, to: stridesOf(shape), fromStart: start });
}

const view: LowerRule = () => ({ view: 0 });

const copy: LowerRule = ({ inputs }) => {
  const { dtype, shape } = inputs[0]!;
  return move({ op: "copy", dtype, dims: [sizeOf(shape)], from: [1], to: [1] });
};

const transpose: LowerRule = rule<{ permutation: readonly number[] }>(({ attrs, inputs, outputs }) => {
  const strides = stridesOf(inputs[0]!.shape);
  const from = attrs.permutation.map((axis) => strides[axis]!);
  return gatherBox({ op: "transpose", dtype: inputs[0]!.dtype, shape: outputs[0]!.shape, from });
});

const broadcast: LowerRule = rule<{ shape: Shape; axes: readonly number[] }>(({ attrs: { shape, axes }, inputs }) => {
  const x = inputs[0]!;
  if (sizeOf(shape) === sizeOf(x.shape)) return { view: 0 };
  const strides = stridesOf(x.shape);
  const from = new Array<number>(shape.length).fill(0);
  axes.forEach((axis, i) => (from[axis] = x.shape[i] === 1 ? 0 : strides[i]!));
  return gatherBox({ op: "broadcast", dtype: x.dtype, shape, from });
});

type SliceAttrs = { start: readonly number[]; step: readonly number[] };
const slice: LowerRule = rule<SliceAttrs>(({ attrs: { start, step }, inputs, outputs }) => {
  const strides = stridesOf(inputs[0]!.shape);
  return gatherBox({
    op: "slice",
    dtype: inputs[0]!.dtype,
    shape: outputs[0]!.shape,
    from: strides.map((s, axis) => s * step[axis]!),
    start: strides.reduce((offset, s, axis) => offset + s * start[axis]!, 0),
  });
});

type PadAttrs = { low: readonly number[]; interior: readonly number[]; value: number };
const pad: LowerRule = rule<PadAttrs>(({ attrs: { low, interior, value }, inputs, outputs }) => {
  const { dtype, shape } = inputs[0]!;
  const strides = stridesOf(outputs[0]!.shape);
  return move({
    op: "pad",
    dtype,
    dims: shape,
    from: stridesOf(shape),
    to: strides.map((s, axis) => s * (interior[axis]! + 1)),
    toStart: strides.reduce((offset, s, axis) => offset + s * low[axis]!, 0),
    fill: { word: wordOf(value, dtype), size: sizeOf(outputs[0]!.shape) },
  });
});

const reverse: LowerRule = rule<{ axes: readonly number[] }>(({ attrs: { axes }, inputs }) => {
  const { dtype, shape } = inputs[0]!;
  const strides = stridesOf(shape);
  return gatherBox({
    op: "reverse",
    dtype,
    shape,
    from: strides.map((s, axis) => (axes.includes(axis) ? -s : s)),
    start: axes.reduce((offset, axis) => offset + Math.max(0, shape[axis]! - 1) * strides[axis]!, 0),
  });
});

const concat: LowerRule = rule<{ axis: number }>(({ attrs: { axis }, inputs, outputs }) => {
  const width = elementBytes(outputs[0]!.dtype);
  const rows = inputs.map(({ shape }) => sizeOf(shape.slice(axis)) * width);
  return { kernel: "concat", params: [sizeOf(outputs[0]!.shape.slice(0, axis)), ...rows] };
});

const full: LowerRule = rule<{ value: number }>(({ attrs: { value }, outputs }) => {
  const { dtype, shape } = outputs[0]!;
  return { kernel: "fill", params: [elementBytes(dtype), sizeOf(shape), wordOf(value, dtype)] };
});

const iota: LowerRule = rule<{ axis: number }>(({ attrs: { axis }, outputs }) => {
  const { dtype, shape } = outputs[0]!;
  const { outer, n, inner } = aroundAxis(shape, axis);
  return { kernel: "iota", params: [dtype === "float32" ? 1 : 0, outer, n, inner] };
});

/** Rules of the ops that move or make elements. */
export const layoutRules: LowerRules = {
  reshape: view,
  barrier: view,
  copy,
  transpose,
  broadcast,
  slice,
  pad,
  reverse,
  concat,
  full,
  iota,
};
