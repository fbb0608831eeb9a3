// Joining, cutting, indexing and ordering.
import { normalizeAxis, ArgumentError, type Shape } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import { apply1, applyAll, applyMany, asTensor, type ReduceOptions, type Tensor, type TensorLike } from "../tensor.ts";
import { promote } from "../values/broadcast.ts";
import * as reducing from "../values/reducing.ts";
import * as shaping from "../values/shaping.ts";

/** Arrays one after another along an axis. */
export function concat(tensors: readonly TensorLike[], axis: number = 0): Tensor {
  const inputs = tensors.map((x) => asTensor(x));
  if (inputs.length === 0) throw new ArgumentError("concat", "needs at least one array: received none");
  const dtype = promote(inputs.map((x) => x.dtype));
  return applyMany(
    (...values) =>
      ops.concat(
        values.map((v) => ops.cast(v, dtype)),
        normalizeAxis("concat", axis, values[0]!.shape.length),
      ),
    inputs,
  );
}

/** Arrays along a new axis. */
export function stack(tensors: readonly TensorLike[], axis: number = 0): Tensor {
  return applyMany(
    (...values) => shaping.stack(values, axis),
    tensors.map((x) => asTensor(x)),
  );
}

/** Equal parts along an axis, or parts that end at the given places. */
export function split(x: Tensor, parts: number | readonly number[], axis: number = 0): Tensor[] {
  return applyAll((v) => shaping.split(v, parts, axis), [x]);
}

/** Elements before and after each axis: `[[before, after], …]`. */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[], value: number = 0): Tensor {
  return apply1(
    (v) =>
      ops.pad(v, {
        low: widths.map(([low]) => low),
        high: widths.map(([, high]) => high),
        interior: widths.map(() => 0),
        value,
      }),
    x,
  );
}

/** Elements in the opposite order along axes. */
export function reverse(x: Tensor, axis: number | readonly number[] = 0): Tensor {
  return apply1((v) => ops.reverse(v, typeof axis === "number" ? [axis] : axis), x);
}

export function reshape(x: TensorLike, shape: Shape): Tensor {
  return asTensor(x).reshape(shape);
}

export function transpose(x: TensorLike, permutation?: readonly number[]): Tensor {
  return asTensor(x).transpose(permutation);
}

/** Elements of an axis by number: result shape is x.shape with that axis replaced by the shape of `indices`. */
export function take(x: Tensor, indices: TensorLike, axis: number = 0): Tensor {
  return x.take(indices, axis);
}

/** One element per index along an axis; `indices` has the shape of x but for that axis. */
export function takeAlongAxis(x: Tensor, indices: Tensor, axis: number = -1): Tensor {
  return applyMany(
    (v, i) => ops.takeAlongAxis(v, i, normalizeAxis("takeAlongAxis", axis, v.shape.length)),
    [x, indices],
  );
}

/** Ascending along an axis (descending if asked), stable, NaN last. */
export function sort(
  x: Tensor,
  { axis = -1, descending = false }: { readonly axis?: number; readonly descending?: boolean } = {},
): Tensor {
  return applyAll((v) => ops.sort(v, { axis: normalizeAxis("sort", axis, v.shape.length), descending }), [x])[0]!;
}

/** The indices that sort: int32. */
export function argsort(
  x: Tensor,
  { axis = -1, descending = false }: { readonly axis?: number; readonly descending?: boolean } = {},
): Tensor {
  return applyAll((v) => ops.sort(v, { axis: normalizeAxis("argsort", axis, v.shape.length), descending }), [x])[1]!;
}

/** The k largest along the last axis, largest first, with their indices. */
export function topK(x: Tensor, k: number): { readonly values: Tensor; readonly indices: Tensor } {
  const [values, indices] = applyAll((v) => ops.topK(v, k), [x]);
  return { values: values!, indices: indices! };
}

/** Sums up to each element along an axis. */
export function cumsum(
  x: Tensor,
  { axis = -1, reverse: backwards = false }: { readonly axis?: number; readonly reverse?: boolean } = {},
): Tensor {
  return apply1((v) => ops.cumsum(v, axis, { reverse: backwards }), x);
}

export function sum(x: TensorLike, options: ReduceOptions = {}): Tensor {
  return asTensor(x).sum(options);
}
export function mean(x: TensorLike, options: ReduceOptions = {}): Tensor {
  return asTensor(x).mean(options);
}
export function variance(x: TensorLike, options: ReduceOptions & { readonly correction?: number } = {}): Tensor {
  return asTensor(x).variance(options);
}
export function max(x: TensorLike, options: ReduceOptions = {}): Tensor {
  return asTensor(x).max(options);
}
export function min(x: TensorLike, options: ReduceOptions = {}): Tensor {
  return asTensor(x).min(options);
}
export function prod(x: TensorLike, options: ReduceOptions = {}): Tensor {
  return asTensor(x).prod(options);
}
/** `ln Σ eˣ`, without overflow. */
export function logSumExp(x: TensorLike, options: ReduceOptions = {}): Tensor {
  return apply1((v) => reducing.logSumExp(v, options), asTensor(x));
}
export function argmax(x: TensorLike, axis: number = -1): Tensor {
  return asTensor(x).argmax(axis);
}
export function argmin(x: TensorLike, axis: number = -1): Tensor {
  return asTensor(x).argmin(axis);
}
export function matmul(a: TensorLike, b: TensorLike): Tensor {
  return asTensor(a).matmul(b);
}
