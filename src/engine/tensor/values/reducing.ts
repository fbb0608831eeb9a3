// Reductions as users write them: any axes, kept as size 1 or not.
import { normalizeAxes, ShapeError, formatType, type Shape } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import type { Value } from "../../program/index.ts";

export interface Axes {
  readonly axis?: number | readonly number[] | undefined;
  readonly keepDims?: boolean;
}

type Reduction = (x: Value, axes: readonly number[]) => Value;

function reduce(name: string, op: Reduction): (x: Value, options: Axes) => Value {
  return (x, { axis, keepDims = false }) => {
    const axes = normalizeAxes(name, axis, x.shape.length);
    const result = axes.length === 0 ? x : op(x, axes);
    return keepDims ? ops.reshape(result, keptShape(x.shape, axes)) : result;
  };
}

/** The shape with reduced axes as size 1. */
export function keptShape(shape: Shape, axes: readonly number[]): number[] {
  return shape.map((n, i) => (axes.includes(i) ? 1 : n));
}

/** Booleans are counted. */
export const sum: (x: Value, options: Axes) => Value = reduce("sum", (x, axes) =>
  ops.sum(x.dtype === "bool" ? ops.cast(x, "int32") : x, axes),
);
export const max: (x: Value, options: Axes) => Value = reduce("max", (x, axes) => ops.max(x, axes));
export const min: (x: Value, options: Axes) => Value = reduce("min", (x, axes) => ops.min(x, axes));
export const prod: (x: Value, options: Axes) => Value = reduce("prod", (x, axes) => ops.prod(x, axes));
export const logSumExp: (x: Value, options: Axes) => Value = reduce("logSumExp", (x, axes) =>
  ops.logSumExp(ops.cast(x, "float32"), axes),
);

export const mean: (x: Value, options: Axes) => Value = reduce("mean", (x, axes) => {
  const n = ops.countReduced(x.shape, axes);
  if (n === 0) throw new ShapeError("mean", `the mean of nothing is undefined: received ${formatType(x)}`);
  const total = ops.sum(ops.cast(x, "float32"), axes);
  return ops.mul(total, ops.full(1 / n, total));
});

/** The mean squared distance from the mean, over n − correction. */
export function variance(x: Value, options: Axes & { readonly correction?: number }): Value {
  const wide = ops.cast(x, "float32");
  const axes = normalizeAxes("variance", options.axis, x.shape.length);
  const center = ops.sub(wide, ops.broadcast(mean(wide, { axis: axes, keepDims: true }), x.shape));
  const squares = mean(ops.mul(center, center), options);
  const n = ops.countReduced(x.shape, axes);
  const { correction = 0 } = options;
  return correction === 0 ? squares : ops.mul(squares, ops.full(n / (n - correction), squares));
}
