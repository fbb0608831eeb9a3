// Tensor: what users compute with. Numbers on a device, or a value of the program being traced; the same methods on both.
import {
  ArgumentError,
  formatType,
  normalizeAxis,
  sizeOf,
  type DType,
  type HostArray,
  type Nested,
  type Shape,
  type TensorType,
} from "../core/index.ts";
import * as ops from "../ops/index.ts";
import { currentTrace, Value } from "../program/index.ts";
import { defaultDevice, device, DeviceArray, type Device, type DeviceName } from "../runtime/index.ts";
import { applyValues, concrete, scalar, toHost, typeOfHost, type ArrayLike, type Content } from "./dispatch.ts";
import { lift2, liftFloat, matmul, promote } from "./values/broadcast.ts";
import * as shaping from "./values/shaping.ts";
import * as reducing from "./values/reducing.ts";

/** A Tensor, or what can become one. */
export type TensorLike = Tensor | ArrayLike;

/** Axes of a reduction and whether they stay as size 1. */
export interface ReduceOptions {
  readonly axis?: number | readonly number[] | undefined;
  readonly keepDims?: boolean;
}

/**
 * An n-dimensional array of float32, int32, uint32 or bool.
 *
 * @example
 * const x = tensor([[1, 2], [3, 4]]);
 * x.mul(2).sum().item(); // 20
 */
export class Tensor implements TensorType {
  readonly content: Content;

  /** Wraps a device array or a traced value; use `tensor()` to make one from numbers. */
  constructor(content: Content) {
    this.content = content;
  }

  get dtype(): DType {
    return this.content.dtype;
  }
  get shape(): Shape {
    return this.content.shape;
  }
  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  // ── reading ────────────────────────────────────────────────────────────────

  /** The numbers on the host. On the reference device float32 is read as float64. Throws TraceError inside a trace. */
  host(): HostArray {
    return concrete(this.content).read();
  }
  /** The numbers on the host, for devices that cannot answer at once. */
  async data(): Promise<HostArray> {
    return this.host();
  }
  /** The one element of a Tensor of size 1. */
  item(): number {
    if (this.size !== 1) throw new ArgumentError("item", `needs exactly one element: received ${formatType(this)}`);
    return this.host().get(0);
  }
  /** Nested arrays of numbers. */
  toNested(): Nested {
    return this.host().toNested();
  }
  /** The same numbers on another device. */
  to(target: Device | DeviceName): Tensor {
    const next = typeof target === "string" ? device(target) : target;
    const array = concrete(this.content);
    return array.backend === next.backend ? this : new Tensor(next.put(array.read(), array));
  }
  /** Gives the memory back now. Not needed: the garbage collector does it too. */
  dispose(): void {
    if (this.content instanceof DeviceArray) this.content.dispose();
  }
  toString(): string {
    if (this.content instanceof Value) return `Tensor(${this.content.toString()})`;
    return this.size <= 64
      ? `Tensor(${formatType(this)} ${JSON.stringify(this.toNested())})`
      : `Tensor(${formatType(this)})`;
  }

  // ── arithmetic ─────────────────────────────────────────────────────────────

  add(other: TensorLike): Tensor {
    return apply2(lift2(ops.add), this, other);
  }
  sub(other: TensorLike): Tensor {
    return apply2(lift2(ops.sub), this, other);
  }
  mul(other: TensorLike): Tensor {
    return apply2(lift2(ops.mul), this, other);
  }
  div(other: TensorLike): Tensor {
    return apply2(lift2(ops.div, true), this, other);
  }
  pow(other: TensorLike): Tensor {
    return apply2(lift2(ops.pow, true), this, other);
  }
  maximum(other: TensorLike): Tensor {
    return apply2(lift2(ops.maximum), this, other);
  }
  minimum(other: TensorLike): Tensor {
    return apply2(lift2(ops.minimum), this, other);
  }
  remainder(other: TensorLike): Tensor {
    return apply2(lift2(ops.remainder), this, other);
  }
  neg(): Tensor {
    return apply1(ops.neg, this);
  }
  abs(): Tensor {
    return apply1(ops.abs, this);
  }
  exp(): Tensor {
    return apply1(liftFloat(ops.exp), this);
  }
  log(): Tensor {
    return apply1(liftFloat(ops.log), this);
  }
  sqrt(): Tensor {
    return apply1(liftFloat(ops.sqrt), this);
  }
  tanh(): Tensor {
    return apply1(liftFloat(ops.tanh), this);
  }
  sigmoid(): Tensor {
    return apply1(liftFloat(ops.sigmoid), this);
  }
  relu(): Tensor {
    return apply1(ops.relu, this);
  }
  square(): Tensor {
    return apply1((x) => ops.mul(x, x), this);
  }
  clamp(low: number, high: number): Tensor {
    return apply1((x) => ops.clamp(x, low, high), this);
  }
  cast(dtype: DType): Tensor {
    return apply1((x) => ops.cast(x, dtype), this);
  }

  // ── comparison ─────────────────────────────────────────────────────────────

  equal(other: TensorLike): Tensor {
    return apply2(lift2(ops.equal), this, other);
  }
  notEqual(other: TensorLike): Tensor {
    return apply2(lift2(ops.notEqual), this, other);
  }
  less(other: TensorLike): Tensor {
    return apply2(lift2(ops.less), this, other);
  }
  lessEqual(other: TensorLike): Tensor {
    return apply2(lift2(ops.lessEqual), this, other);
  }
  greater(other: TensorLike): Tensor {
    return apply2(lift2(ops.greater), this, other);
  }
  greaterEqual(other: TensorLike): Tensor {
    return apply2(lift2(ops.greaterEqual), this, other);
  }

  // ── contraction, reduction ─────────────────────────────────────────────────

  /** The matrix product, as NumPy's `@`. */
  matmul(other: TensorLike): Tensor {
    return apply2(matmul, this, other);
  }
  sum(options: ReduceOptions = {}): Tensor {
    return apply1((x) => reducing.sum(x, options), this);
  }
  mean(options: ReduceOptions = {}): Tensor {
    return apply1((x) => reducing.mean(x, options), this);
  }
  variance(options: ReduceOptions & { readonly correction?: number } = {}): Tensor {
    return apply1((x) => reducing.variance(x, options), this);
  }
  max(options: ReduceOptions = {}): Tensor {
    return apply1((x) => reducing.max(x, options), this);
  }
  min(options: ReduceOptions = {}): Tensor {
    return apply1((x) => reducing.min(x, options), this);
  }
  prod(options: ReduceOptions = {}): Tensor {
    return apply1((x) => reducing.prod(x, options), this);
  }
  argmax(axis: number = -1): Tensor {
    return apply1((x) => ops.argmax(x, normalizeAxis("argmax", axis, x.shape.length)), this);
  }
  argmin(axis: number = -1): Tensor {
    return apply1((x) => ops.argmin(x, normalizeAxis("argmin", axis, x.shape.length)), this);
  }

  // ── shape ──────────────────────────────────────────────────────────────────

  /** Another shape of equal size; one axis may be -1. */
  reshape(shape: Shape): Tensor {
    return apply1((x) => shaping.reshape(x, shape), this);
  }
  /** Axes in another order; reversed unless said. */
  transpose(permutation?: readonly number[]): Tensor {
    return apply1((x) => shaping.transpose(x, permutation), this);
  }
  broadcastTo(shape: Shape): Tensor {
    return apply1((x) => ops.broadcast(x, shape), this);
  }
  expandDims(axis: number): Tensor {
    return apply1((x) => shaping.expandDims(x, axis), this);
  }
  squeeze(axis?: number | readonly number[]): Tensor {
    return apply1((x) => shaping.squeeze(x, axis), this);
  }
  /** Elements `start` to before `end` of an axis; negative numbers count from its end. */
  slice(start: number, end?: number, options: { readonly axis?: number; readonly step?: number } = {}): Tensor {
    return apply1((x) => shaping.slice(x, start, { end, ...options }), this);
  }
  /** Rows of an axis by index. */
  take(indices: TensorLike, axis: number = 0): Tensor {
    return applyMany(
      (x, i) => ops.gather(x, i, normalizeAxis("take", axis, x.shape.length)),
      [this, asTensor(indices, "int32")],
    );
  }
}

/**
 * A Tensor from numbers, nested arrays, typed arrays or a host array.
 * dtype unless given: float32 for plain numbers and floats, int32 for integer arrays, bool for booleans.
 *
 * @example
 * tensor([1, 2, 3]).shape; // [3]
 */
export function tensor(
  data: ArrayLike,
  options: { readonly dtype?: DType; readonly device?: Device | DeviceName } = {},
): Tensor {
  const host = toHost(data, options.dtype);
  const type = typeOfHost(host, options.dtype);
  const target = typeof options.device === "string" ? device(options.device) : (options.device ?? defaultDevice());
  return new Tensor(target.put(host, type));
}

/**
 * A Tensor over the memory of a host array, where the default device can read that as it is: nothing is copied, and the
 * array must not change while the Tensor is used. Undefined where the numbers would have to be copied or converted.
 */
export function borrow(array: HostArray, dtype: DType): Tensor | undefined {
  const borrowed = defaultDevice().borrow(array, { dtype, shape: array.shape });
  return borrowed === undefined ? undefined : new Tensor(borrowed);
}

/** The value itself if it is a Tensor, else `tensor(value)`; inside a trace numbers become constants. */
export function asTensor(value: TensorLike, dtype?: DType): Tensor {
  if (value instanceof Tensor) return value;
  if (typeof value === "number") return new Tensor(scalar(value, dtype ?? "float32"));
  if (typeof value === "boolean") return new Tensor(scalar(Number(value), dtype ?? "bool"));
  const host = toHost(value, dtype);
  return currentTrace() === undefined ? tensor(host, dtype === undefined ? {} : { dtype }) : constant(host, dtype);
}

function constant(host: HostArray, dtype?: DType): Tensor {
  const type = typeOfHost(host, dtype);
  return new Tensor(ops.constant(host.dtype === "float64" ? host : host.cast(type.dtype)));
}

/** Applies a function of one value. */
export function apply1(fn: (x: Value) => Value, x: Tensor): Tensor {
  return new Tensor(applyValues(([a]) => [fn(a!)], [x.content])[0]!);
}

/** Applies a function of two values; a plain number takes the dtype of the other operand where it fits. */
export function apply2(fn: (x: Value, y: Value) => Value, x: TensorLike, y: TensorLike): Tensor {
  const a = x instanceof Tensor ? x : asTensor(x, weakDType(x, y));
  const b = y instanceof Tensor ? y : asTensor(y, weakDType(y, a));
  return new Tensor(applyValues(([v, w]) => [fn(v!, w!)], [a.content, b.content])[0]!);
}

/** Applies a function of several values with one result. */
export function applyMany(fn: (...values: Value[]) => Value, inputs: readonly Tensor[]): Tensor {
  return new Tensor(
    applyValues(
      (values) => [fn(...values)],
      inputs.map((x) => x.content),
    )[0]!,
  );
}

/** Applies a function of several values with several results. */
export function applyAll(fn: (...values: Value[]) => readonly Value[], inputs: readonly Tensor[]): Tensor[] {
  return applyValues(
    (values) => fn(...values),
    inputs.map((x) => x.content),
  ).map((content) => new Tensor(content));
}

// A literal must not widen what it is combined with: 2 · int32 stays int32, 0.5 · int32 becomes float32.
function weakDType(literal: TensorLike, other: TensorLike): DType | undefined {
  if (typeof literal !== "number" || !(other instanceof Tensor)) return undefined;
  if (!Number.isInteger(literal)) return "float32";
  return other.dtype === "bool" ? "int32" : promote([other.dtype]);
}
