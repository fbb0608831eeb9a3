// Shapes and the arithmetic on them: sizes, strides, axes, broadcasting.
import { ArgumentError, ShapeError } from "./error.ts";
import type { DType } from "./dtype.ts";

/** Sizes of the axes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** What a program knows of a value before it has numbers. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

export function sameType(a: TensorType, b: TensorType): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

/** `float32[2,3]`. */
export function formatType(type: { readonly dtype: string; readonly shape: Shape }): string {
  return `${type.dtype}[${type.shape.join(",")}]`;
}

/** Turns `-1` into the last axis and refuses axes that do not exist. */
export function normalizeAxis(where: string, axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank) {
    throw new ShapeError(where, `axis ${axis} does not exist: received rank ${rank}`);
  }
  return normal;
}

/** Sorted axes without repeats; `undefined` means all. */
export function normalizeAxes(where: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = typeof axes === "number" ? [axes] : axes;
  const normal = list.map((axis) => normalizeAxis(where, axis, rank)).sort((a, b) => a - b);
  if (new Set(normal).size !== normal.length) {
    throw new ShapeError(where, `an axis is named twice: received [${list.join(", ")}]`);
  }
  return normal;
}

/** NumPy's rule: align from the right, sizes equal or 1. */
export function broadcastShapes(where: string, ...shapes: readonly Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    const lead = rank - shape.length;
    for (let i = 0; i < shape.length; i++) {
      const n = shape[i]!;
      const o = out[lead + i]!;
      if (n === o || n === 1) continue;
      if (o !== 1) {
        throw new ShapeError(
          where,
          `shapes do not broadcast: received ${shapes.map((s) => `[${s.join(",")}]`).join(" and ")}`,
        );
      }
      out[lead + i] = n;
    }
  }
  return out;
}

/** Refuses anything that is not a list of whole, non-negative sizes. */
export function checkShape(where: string, shape: Shape): void {
  for (const n of shape) {
    if (!Number.isSafeInteger(n) || n < 0) {
      throw new ShapeError(where, `sizes are whole numbers ≥ 0: received [${shape.join(",")}]`);
    }
  }
  if (!Number.isSafeInteger(sizeOf(shape))) throw new ShapeError(where, `too many elements: [${shape.join(",")}]`);
}

/** Refuses a number outside `[low, high]`. */
export function checkRange(where: string, name: string, value: number, low: number, high: number = Infinity): void {
  if (!(value >= low && value <= high)) {
    const range = high === Infinity ? `≥ ${low}` : `in [${low}, ${high}]`;
    throw new ArgumentError(where, `\`${name}\` must be ${range}: received ${value}`);
  }
}
