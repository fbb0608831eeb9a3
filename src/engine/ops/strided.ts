// Walking arrays by strides: what the float64 evaluations of layout ops and reductions share.
import { sizeOf, type Shape } from "../core/index.ts";

/** Walks a shape in row-major order with the offset that other strides give. */
export function forEachIndex(
  shape: Shape,
  strides: readonly number[],
  start: number,
  fn: (index: number, offset: number) => void,
): void {
  const size = sizeOf(shape);
  const index = new Array<number>(shape.length).fill(0);
  let offset = start;
  for (let i = 0; i < size; i++) {
    fn(i, offset);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      offset += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      offset -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}

/** The elements of `x` that strides pick, as a row-major array. */
export function gatherStrided(x: Float64Array, shape: Shape, strides: readonly number[], start: number): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  forEachIndex(shape, strides, start, (to, from) => (out[to] = x[from]!));
  return out;
}

/** An array seen along one axis: element `(o, i, r)` is at `(o · size + i) · inner + r`. */
export interface Lanes {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** Splits a shape at an axis. */
export function lanesOf(shape: Shape, axis: number): Lanes {
  return { outer: sizeOf(shape.slice(0, axis)), size: shape[axis]!, inner: sizeOf(shape.slice(axis + 1)) };
}

/** Calls `fn` with the offset of the first element of each lane; the next elements of it follow `inner` apart. */
export function forEachLane({ outer, size, inner }: Lanes, fn: (start: number, lane: number) => void): void {
  for (let o = 0; o < outer; o++) for (let r = 0; r < inner; r++) fn(o * size * inner + r, o * inner + r);
}
