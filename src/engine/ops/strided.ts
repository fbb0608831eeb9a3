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
