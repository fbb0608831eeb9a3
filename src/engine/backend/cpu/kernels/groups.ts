// Neighbouring axes that are all kept or all reduced act as one axis.
import { stridesOf, type Shape } from "../../../core/index.ts";

/** Merged axes with their strides in the input. */
export interface Groups {
  readonly dims: readonly number[];
  readonly strides: readonly number[];
}

/** Splits the axes of a shape into those kept and those reduced, neighbours merged and axes of size 1 dropped. */
export function reduceGroups(shape: Shape, axes: readonly number[]): { kept: Groups; reduced: Groups } {
  const strides = stridesOf(shape);
  const kept = { dims: [] as number[], strides: [] as number[] };
  const reduced = { dims: [] as number[], strides: [] as number[] };
  let last: typeof kept | undefined;
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const group = axes.includes(axis) ? reduced : kept;
    if (group === last) {
      group.dims[group.dims.length - 1]! *= shape[axis]!;
      group.strides[group.strides.length - 1] = strides[axis]!;
    } else {
      group.dims.push(shape[axis]!);
      group.strides.push(strides[axis]!);
    }
    last = group;
  }
  return { kept, reduced };
}
