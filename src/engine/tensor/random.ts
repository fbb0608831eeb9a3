// Random numbers as functions of a key: the same key gives the same numbers, on every device and with any number of threads.
import { HostArray, keyOf, type Shape } from "../core/index.ts";
import * as ops from "../ops/index.ts";
import { apply1, applyMany, asTensor, tensor, type Tensor, type TensorLike } from "./tensor.ts";

/**
 * The key of a seed: uint32[2].
 *
 * @example
 * random.normal(random.key(0), [2, 3]);
 */
export function key(seed: number): Tensor {
  return tensor(new HostArray("uint32", [2], Uint32Array.from(keyOf(seed))));
}

/** Several independent keys from one. Never use a key twice: split it first. */
export function split(parent: Tensor, count: number = 2): Tensor[] {
  return Array.from({ length: count }, (_, i) => foldIn(parent, i));
}

/** A new key from a key and a whole number (a step, an epoch, a layer). */
export function foldIn(parent: Tensor, data: TensorLike): Tensor {
  return applyMany((k, d) => ops.foldIn(k, ops.cast(d, "int32")), [parent, asTensor(data, "int32")]);
}

/** 32 random bits for each element: uint32. */
export function bits(parent: Tensor, shape: Shape): Tensor {
  return apply1((k) => ops.randomBits(k, shape), parent);
}

/** Uniform in [low, high): multiples of 2⁻²⁴ stretched to the interval. */
export function uniform(
  parent: Tensor,
  shape: Shape,
  { low = 0, high = 1 }: { readonly low?: number; readonly high?: number } = {},
): Tensor {
  return apply1((k) => {
    const unit = ops.uniform(k, shape);
    if (low === 0 && high === 1) return unit;
    return ops.add(ops.mul(unit, ops.full(high - low, unit)), ops.full(low, unit));
  }, parent);
}

/** Normal with mean 0 and variance 1 (Box–Muller). */
export function normal(parent: Tensor, shape: Shape): Tensor {
  return apply1((k) => ops.normal(k, shape), parent);
}

/** True with probability p. */
export function bernoulli(parent: Tensor, p: number, shape: Shape): Tensor {
  return apply1((k) => {
    const unit = ops.uniform(k, shape);
    return ops.less(unit, ops.full(p, unit));
  }, parent);
}

/** Indices along the last axis drawn with probabilities softmax(logits). */
export function categorical(parent: Tensor, logits: TensorLike): Tensor {
  return applyMany((k, l) => ops.categorical(l, k), [parent, asTensor(logits)]);
}

/** The numbers 0 … n − 1 in random order: int32[n]. */
export function permutation(parent: Tensor, n: number): Tensor {
  return apply1((k) => ops.permutation(k, n), parent);
}
