// Element-wise functions, as functions rather than methods.
import { broadcastShapes } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import type { Value } from "../../program/index.ts";
import { apply1, apply2, applyMany, asTensor, type Tensor, type TensorLike } from "../tensor.ts";
import { align, lift2, liftFloat, promote } from "../values/broadcast.ts";

type Unary = (x: TensorLike) => Tensor;
type Binary = (x: TensorLike, y: TensorLike) => Tensor;

const unary =
  (fn: (x: Value) => Value): Unary =>
  (x) =>
    apply1(fn, asTensor(x));
const binary = (op: ops.Binary, floats: boolean = false): Binary => {
  const fn = lift2(op, floats);
  return (x, y) => apply2(fn, x, y);
};

export const add: Binary = binary(ops.add);
export const sub: Binary = binary(ops.sub);
export const mul: Binary = binary(ops.mul);
export const div: Binary = binary(ops.div, true);
export const pow: Binary = binary(ops.pow, true);
export const maximum: Binary = binary(ops.maximum);
export const minimum: Binary = binary(ops.minimum);
export const remainder: Binary = binary(ops.remainder);
export const equal: Binary = binary(ops.equal);
export const notEqual: Binary = binary(ops.notEqual);
export const less: Binary = binary(ops.less);
export const lessEqual: Binary = binary(ops.lessEqual);
export const greater: Binary = binary(ops.greater);
export const greaterEqual: Binary = binary(ops.greaterEqual);

export const neg: Unary = unary(ops.neg);
export const abs: Unary = unary(ops.abs);
export const sign: Unary = unary(ops.sign);
export const floor: Unary = unary(liftFloat(ops.floor));
export const ceil: Unary = unary(liftFloat(ops.ceil));
export const round: Unary = unary(liftFloat(ops.round));
export const exp: Unary = unary(liftFloat(ops.exp));
export const expm1: Unary = unary(liftFloat(ops.expm1));
export const log: Unary = unary(liftFloat(ops.log));
export const log1p: Unary = unary(liftFloat(ops.log1p));
export const sqrt: Unary = unary(liftFloat(ops.sqrt));
export const rsqrt: Unary = unary(liftFloat(ops.rsqrt));
export const sin: Unary = unary(liftFloat(ops.sin));
export const cos: Unary = unary(liftFloat(ops.cos));
export const tan: Unary = unary(liftFloat(ops.tan));
export const tanh: Unary = unary(liftFloat(ops.tanh));
export const sigmoid: Unary = unary(liftFloat(ops.sigmoid));
export const erf: Unary = unary(liftFloat(ops.erf));
export const isFinite: Unary = unary(ops.isFinite);
export const logicalNot: Unary = unary(ops.logicalNot);
export const logicalAnd: Binary = (x, y) => apply2(logic(ops.logicalAnd), x, y);
export const logicalOr: Binary = (x, y) => apply2(logic(ops.logicalOr), x, y);
/** `x²`. */
export const square: Unary = unary((x) => ops.mul(x, x));
/** `max(x, 0)`; the gradient at 0 is 0. */
export const relu: Unary = unary(ops.relu);
/** `x · sigmoid(x)`. */
export const silu: Unary = unary(liftFloat(ops.silu));
/** `ln(1 + eˣ)`, without overflow. */
export const softplus: Unary = unary((x) => {
  const zero = ops.zerosLike(x);
  return ops.add(ops.maximum(x, zero), ops.log1p(ops.exp(ops.neg(ops.abs(x)))));
});

/** Kept inside an interval. */
export function clamp(x: TensorLike, low: number, high: number): Tensor {
  return asTensor(x).clamp(low, high);
}

/** `x · Φ(x)`, by erf (exact) or by its tanh approximation (Hendrycks & Gimpel 2016). */
export function gelu(x: TensorLike, { approximate = false }: { readonly approximate?: boolean } = {}): Tensor {
  return apply1((v) => ops.gelu(v, { approximate }), asTensor(x));
}

/**
 * float32 to bfloat16, up or down at random so that the result is right on average, by 16 bits of each word of `bits` (uint32,
 * same shape): the lower ones, or the upper ones. Source: Gupta et al. (2015).
 *
 * @example
 * roundRandomly(tensor([1.001, -2]), random.bits(random.key(0), [2])).dtype; // "bfloat16"
 */
export function roundRandomly(x: Tensor, bits: Tensor, { upper = false }: { readonly upper?: boolean } = {}): Tensor {
  return applyMany((v, b) => ops.roundRandomly(v, b, { upper }), [x, bits]);
}

/** a where the condition is true, b elsewhere; all broadcast. */
export function where(condition: TensorLike, a: TensorLike, b: TensorLike): Tensor {
  return applyMany(
    (c, x, y) => {
      const dtype = promote([x.dtype, y.dtype]);
      const shape = broadcastShapes("where", c.shape, x.shape, y.shape);
      return ops.where(
        ops.broadcast(c, shape),
        ops.broadcast(ops.cast(x, dtype), shape),
        ops.broadcast(ops.cast(y, dtype), shape),
      );
    },
    [asTensor(condition), asTensor(a), asTensor(b)],
  );
}

function logic(op: ops.Binary): (x: Value, y: Value) => Value {
  return (x, y) => {
    const [a, b] = align(op.op.name, [x, y], "bool");
    return op(a!, b!);
  };
}
