// What the lowering rules share: their type, strides, and the merging of axes.
import { BackendError, sizeOf, stridesOf, type Shape } from "../../../core/index.ts";
import type { Attrs } from "../../../program/index.ts";
import type { LowerContext, Lowered } from "../../backend.ts";

/** What a rule may ask of the binary it lowers for. */
export interface LowerTarget {
  /** The number of a loop instruction. */
  loopOp(name: string): number;
}

/** Shapes and attributes to a kernel with its params; `undefined` where there is no kernel and the op is decomposed. */
export type LowerRule = (context: LowerContext<never>, target: LowerTarget) => Lowered | undefined;

/** A rule written for the attributes of its op. */
export function rule<A extends Attrs>(
  lower: (context: LowerContext<A>, target: LowerTarget) => Lowered | undefined,
): LowerRule {
  return lower as unknown as LowerRule;
}

/** Rules by the name of their op. */
export type LowerRules = { readonly [op: string]: LowerRule };

/** Most axes a strided kernel walks, after merging. */
export const MAX_RANK = 8;

/** A box walked through two arrays at once, strides in elements. */
export interface Box {
  readonly dims: readonly number[];
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** The same walk with as few axes as possible: size 1 dropped, neighbours joined where both arrays allow it. */
export function mergeAxes({ dims, from, to }: Box): Box {
  if (dims.includes(0)) return { dims: [0], from: [1], to: [1] };
  const out = { dims: [] as number[], from: [] as number[], to: [] as number[] };
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    const n = dims[axis]!;
    if (n === 1) continue;
    const last = out.dims.length - 1;
    const inner = out.dims[last];
    if (inner !== undefined && from[axis] === out.from[last]! * inner && to[axis] === out.to[last]! * inner) {
      out.dims[last] = inner * n;
    } else {
      out.dims.push(n);
      out.from.push(from[axis]!);
      out.to.push(to[axis]!);
    }
  }
  return { dims: out.dims.reverse(), from: out.from.reverse(), to: out.to.reverse() };
}

/** Refuses a walk with more axes than the kernels have. */
export function checkRank(op: string, rank: number, limit: number = MAX_RANK): void {
  if (rank > limit) {
    throw new BackendError(op, `needs ${rank} axes after merging; the kernels walk ${limit}`, {
      hint: "reshape so that neighbouring axes become one",
    });
  }
}

/** Sizes before, at and after an axis. */
export function aroundAxis(shape: Shape, axis: number): { outer: number; n: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, axis)), n: shape[axis]!, inner: sizeOf(shape.slice(axis + 1)) };
}

export { sizeOf, stridesOf };
