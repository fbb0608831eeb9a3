// Shapes as users write them: -1, negative axes, open ends.
import {
  ArgumentError,
  formatType,
  normalizeAxes,
  normalizeAxis,
  ShapeError,
  sizeOf,
  type Shape,
} from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import type { Value } from "../../program/index.ts";

/** Another shape of equal size; one axis may be -1. */
export function reshape(x: Value, shape: Shape): Value {
  const open = shape.indexOf(-1);
  if (open < 0) return ops.reshape(x, shape);
  const rest = sizeOf(shape.filter((_, i) => i !== open));
  const size = sizeOf(x.shape);
  if (rest === 0 || size % rest !== 0)
    throw new ShapeError("reshape", `${formatType(x)} does not divide into [${shape.join(",")}]`);
  return ops.reshape(
    x,
    shape.map((n, i) => (i === open ? size / rest : n)),
  );
}

/** Axes in another order; negative axes count from the end. */
export function transpose(x: Value, permutation?: readonly number[]): Value {
  return ops.transpose(
    x,
    permutation?.map((axis) => normalizeAxis("transpose", axis, x.shape.length)),
  );
}

/** A new axis of size 1. */
export function expandDims(x: Value, axis: number): Value {
  const at = normalizeAxis("expandDims", axis, x.shape.length + 1);
  return ops.reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Without the axes of size 1 named (all such axes unless said). */
export function squeeze(x: Value, axis?: number | readonly number[]): Value {
  if (axis === undefined)
    return ops.reshape(
      x,
      x.shape.filter((n) => n !== 1),
    );
  const axes = normalizeAxes("squeeze", axis, x.shape.length);
  for (const a of axes)
    if (x.shape[a] !== 1) throw new ShapeError("squeeze", `axis ${a} is not of size 1: received ${formatType(x)}`);
  return ops.reshape(
    x,
    x.shape.filter((_, i) => !axes.includes(i)),
  );
}

/** Elements `start` to before `end` of one axis, every `step`-th. */
export function slice(
  x: Value,
  start: number,
  options: { readonly end?: number | undefined; readonly axis?: number; readonly step?: number },
): Value {
  const axis = normalizeAxis("slice", options.axis ?? 0, x.shape.length);
  const n = x.shape[axis]!;
  const bound = (i: number): number => Math.min(Math.max(i < 0 ? i + n : i, 0), n);
  const from = bound(start);
  const to = Math.max(from, bound(options.end ?? n));
  const at = (value: number, other: Shape | number): number[] =>
    x.shape.map((size, i) => (i === axis ? value : typeof other === "number" ? other : size));
  return ops.slice(x, at(from, 0), at(to, x.shape), at(options.step ?? 1, 1));
}

/** Equal parts along an axis, or parts that end at the given places. */
export function split(x: Value, parts: number | readonly number[], axis: number): Value[] {
  const at = normalizeAxis("split", axis, x.shape.length);
  const n = x.shape[at]!;
  if (typeof parts === "number" && n % parts !== 0)
    throw new ArgumentError("split", `an axis of ${n} does not divide into ${parts} equal parts`);
  const ends =
    typeof parts === "number" ? Array.from({ length: parts }, (_, i) => ((i + 1) * n) / parts) : [...parts, n];
  return ends.map((end, i) => slice(x, i === 0 ? 0 : ends[i - 1]!, { end, axis: at }));
}

/** Arrays along a new axis. */
export function stack(values: readonly Value[], axis: number): Value {
  return ops.concat(
    values.map((value) => expandDims(value, axis)),
    normalizeAxis("stack", axis, (values[0]?.shape.length ?? 0) + 1),
  );
}
