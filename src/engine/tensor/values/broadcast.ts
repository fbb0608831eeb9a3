// NumPy's rules on program values: dtypes promote, shapes broadcast; underneath, primitives see equal types.
import { broadcastShapes, formatType, ShapeError, type DType } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import type { Value } from "../../program/index.ts";

const ORDER: readonly DType[] = ["bool", "uint32", "int32", "float32"];

/** The smallest dtype that holds all and is computed with: bool < uint32 < int32 < float32. */
export function promote(dtypes: readonly DType[]): DType {
  if (dtypes.includes("bfloat16")) return dtypes.every((dtype) => dtype === "bfloat16") ? "bfloat16" : "float32";
  return ORDER[Math.max(...dtypes.map((dtype) => ORDER.indexOf(dtype)))]!;
}

/** Values cast to one dtype and broadcast to one shape. */
export function align(
  where: string,
  values: readonly Value[],
  dtype: DType = promote(values.map((v) => v.dtype)),
): Value[] {
  const shape = broadcastShapes(where, ...values.map((value) => value.shape));
  return values.map((value) => ops.broadcast(ops.cast(value, dtype), shape));
}

/** A two-operand op under NumPy's rules. */
export function lift2(op: ops.Binary, floats: boolean = false): (x: Value, y: Value) => Value {
  const { name } = op.op;
  return (x, y) => {
    const dtype = promote([x.dtype, y.dtype]);
    const wide = floats ? "float32" : dtype === "bool" && !BOOLEAN.has(name) ? "int32" : dtype;
    const [a, b] = align(name, [x, y], wide);
    return op(a!, b!);
  };
}

// These take booleans as they are; for the others true counts as 1.
const BOOLEAN = new Set(["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual"]);

/** A function of real numbers: integers become float32. */
export function liftFloat(op: ops.Unary): (x: Value) => Value {
  return (x) => op(ops.cast(x, "float32"));
}

/** A matrix product that takes vectors, matrices and batches, as NumPy's `@`. */
export function matmul(a: Value, b: Value): Value {
  if (a.shape.length === 0 || b.shape.length === 0) {
    throw new ShapeError("matmul", `scalars have no matrix product: received ${formatType(a)} @ ${formatType(b)}`, {
      hint: "use mul",
    });
  }
  let x = ops.cast(a, "float32");
  let y = ops.cast(b, "float32");
  if (a.shape.length === 1) x = ops.reshape(x, [1, ...x.shape]);
  if (b.shape.length === 1) y = ops.reshape(y, [...y.shape, 1]);
  let product: Value;
  if (y.shape.length === 2 && x.shape.length > 2) {
    // A batch times one matrix is one larger product.
    const [k, n] = y.shape as [number, number];
    const lead = x.shape.slice(0, -1);
    if (x.shape.at(-1) !== k)
      ops.matmul.op.shape([x, ops.broadcast(y, [...x.shape.slice(0, -2), k, n])], {
        transposeA: false,
        transposeB: false,
      });
    const rows = lead.reduce((size, d) => size * d, 1);
    product = ops.reshape(ops.matmul(ops.reshape(x, [rows, k]), y), [...lead, n]);
  } else {
    const batch = broadcastShapes("matmul", x.shape.slice(0, -2), y.shape.slice(0, -2));
    product = ops.matmul(
      ops.broadcast(x, [...batch, ...x.shape.slice(-2)]),
      ops.broadcast(y, [...batch, ...y.shape.slice(-2)]),
    );
  }
  let shape = [...product.shape];
  if (b.shape.length === 1) shape = shape.slice(0, -1);
  if (a.shape.length === 1)
    shape = b.shape.length === 1 ? shape.slice(0, -1) : [...shape.slice(0, -2), ...shape.slice(-1)];
  return ops.reshape(product, shape);
}
