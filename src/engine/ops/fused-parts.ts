// Small steps the fused composites are written in: a number times an array, a row's figure beside each of its elements.
import { countReduced, keptAxes, broadcast, sum } from "./layout.ts";
import { add, mul } from "./arith.ts";
import { fullLike } from "./create.ts";
import type { Value } from "../program/index.ts";

/** `c · x`. */
export function scaled(x: Value, c: number): Value {
  return mul(x, fullLike(c, x));
}

/** `x + c`. */
export function shifted(x: Value, c: number): Value {
  return add(x, fullLike(c, x));
}

/** What a reduction of `like` over `axes` gave, repeated to the shape of `like`. */
export function spread(y: Value, like: Value, axes: readonly number[]): Value {
  return broadcast(y, like.shape, keptAxes(like.shape, axes));
}

/** A row `[D]` repeated over all other axes of `like`, whose last axis has size D. */
export function spreadRow(row: Value, like: Value): Value {
  return broadcast(row, like.shape, [like.shape.length - 1]);
}

/** One number repeated to the shape of `like`. */
export function spreadScalar(scalar: Value, like: Value): Value {
  return broadcast(scalar, like.shape, []);
}

/** The mean over axes. */
export function mean(x: Value, axes: readonly number[]): Value {
  return scaled(sum(x, axes), 1 / countReduced(x.shape, axes));
}
