// HostArray: numbers in host memory with a dtype and a shape; the type of everything that comes from or goes to files.
import { arrayTypes, type DataOf, type StorageDType, type TypedArray } from "./dtype.ts";
import { ArgumentError, ShapeError } from "./error.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./half.ts";
import { checkShape, formatType, sameShape, sizeOf, type Shape } from "./shape.ts";

/** Nested arrays of numbers or booleans, as a user writes them. */
export type Nested = number | boolean | readonly Nested[];

/**
 * A row-major array in host memory.
 *
 * @example
 * const a = HostArray.from([[1, 2], [3, 4]]); // float32[2,2]
 * a.toNested(); // [[1, 2], [3, 4]]
 */
export class HostArray<D extends StorageDType = StorageDType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: DataOf[D];

  constructor(dtype: D, shape: Shape, data?: DataOf[D]) {
    checkShape("HostArray", shape);
    const size = sizeOf(shape);
    this.dtype = dtype;
    this.shape = [...shape];
    this.data = data ?? new arrayTypes[dtype](size);
    if (this.data.length !== size) {
      throw new ShapeError("HostArray", `${formatType(this)} needs ${size} elements: received ${this.data.length}`);
    }
    if (!(this.data instanceof arrayTypes[dtype])) {
      throw new ArgumentError(
        "HostArray",
        `${dtype} is held by a ${arrayTypes[dtype].name}: received ${this.data.constructor.name}`,
      );
    }
  }

  get size(): number {
    return this.data.length;
  }

  get byteLength(): number {
    return this.data.byteLength;
  }

  /** From nested arrays (dtype as given, else `float32`, or `bool` where every leaf is a boolean). */
  static from(nested: Nested, dtype?: StorageDType): HostArray {
    const shape: number[] = [];
    for (let level: Nested = nested; Array.isArray(level); level = level[0] as Nested) {
      shape.push(level.length);
      if (level.length === 0) break;
    }
    const flat: (number | boolean)[] = [];
    flatten(nested, shape, 0, flat);
    const chosen = dtype ?? (flat.length > 0 && flat.every((x) => typeof x === "boolean") ? "bool" : "float32");
    const out = new HostArray(chosen, shape);
    for (let i = 0; i < flat.length; i++) out.set(i, Number(flat[i]));
    return out;
  }

  /** Wraps a typed array without copying; a Float64Array is `float64`, an Int32Array `int32`, and so on. */
  static of(data: TypedArray | Uint8ClampedArray, shape: Shape = [data.length]): HostArray {
    if (data instanceof Uint8ClampedArray) data = new Uint8Array(data.buffer, data.byteOffset, data.length);
    for (const dtype of ownDTypes) {
      if (data instanceof arrayTypes[dtype]) return new HostArray(dtype, shape, data);
    }
    throw new ArgumentError(
      "HostArray.of",
      `expected a typed array of numbers: received ${Object.prototype.toString.call(data)}`,
    );
  }

  /** Element `index` of the flat data as a number (bfloat16 and float16 decoded, int64 converted). */
  get(index: number): number {
    const raw = this.data[index];
    if (raw === undefined) throw new RangeError(`HostArray: index ${index} is outside ${formatType(this)}`);
    if (this.dtype === "bfloat16") return fromBfloat16(raw as number);
    if (this.dtype === "float16") return fromFloat16(raw as number);
    return Number(raw);
  }

  set(index: number, value: number): void {
    const data = this.data as { [i: number]: number | bigint };
    if (this.dtype === "bfloat16") data[index] = toBfloat16(value);
    else if (this.dtype === "float16") data[index] = toFloat16(value);
    else if (this.dtype === "bool") data[index] = value === 0 ? 0 : 1;
    else if (this.dtype === "int64" || this.dtype === "uint64") data[index] = BigInt(Math.trunc(value));
    else data[index] = value;
  }

  /** A copy in another dtype; the same object if it already has that dtype. */
  cast<T extends StorageDType>(dtype: T): HostArray<T> {
    const own: StorageDType = this.dtype;
    if (own === dtype) return this as unknown as HostArray<T>;
    const out = new HostArray(dtype, this.shape);
    for (let i = 0; i < this.size; i++) out.set(i, this.get(i));
    return out;
  }

  /** The same data under another shape of equal size. */
  reshape(shape: Shape): HostArray<D> {
    return new HostArray(this.dtype, shape, this.data);
  }

  /** A copy of rows `start` to `end` of the first axis. */
  rows(start: number, end: number): HostArray<D> {
    const stride = sizeOf(this.shape.slice(1));
    const data = this.data.slice(start * stride, end * stride) as DataOf[D];
    return new HostArray(this.dtype, [end - start, ...this.shape.slice(1)], data);
  }

  /** A copy of the rows with these numbers, in this order. */
  takeRows(rows: ArrayLike<number>): HostArray<D> {
    const stride = sizeOf(this.shape.slice(1));
    const out = new HostArray(this.dtype, [rows.length, ...this.shape.slice(1)]);
    const target = out.data as Uint8Array;
    const source = this.data as Uint8Array;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!;
      target.set(source.subarray(row * stride, (row + 1) * stride), i * stride);
    }
    return out;
  }

  /** The elements as a plain array of numbers. */
  toFlat(): number[] {
    return Array.from({ length: this.size }, (_, i) => this.get(i));
  }

  /** Nested arrays of numbers; a scalar gives a number. */
  toNested(): Nested {
    let offset = 0;
    const build = (axis: number): Nested => {
      if (axis === this.shape.length) return this.get(offset++);
      return Array.from({ length: this.shape[axis]! }, () => build(axis + 1));
    };
    return build(0);
  }

  /** Whether dtype, shape and every bit are equal. */
  equals(other: HostArray): boolean {
    if (this.dtype !== other.dtype || !sameShape(this.shape, other.shape)) return false;
    const a = this.bytes();
    const b = other.bytes();
    for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
    return true;
  }

  /** The raw bytes, sharing memory. */
  bytes(): Uint8Array {
    return new Uint8Array(this.data.buffer, this.data.byteOffset, this.data.byteLength);
  }

  toString(): string {
    return formatType(this);
  }
}

// One dtype for each typed-array class: what an unlabelled typed array means.
const ownDTypes = [
  "float32",
  "float64",
  "int32",
  "uint32",
  "int16",
  "uint16",
  "int8",
  "uint8",
  "int64",
  "uint64",
] as const;

function flatten(nested: Nested, shape: Shape, axis: number, flat: (number | boolean)[]): void {
  if (axis === shape.length) {
    if (typeof nested !== "number" && typeof nested !== "boolean") {
      throw new ShapeError("HostArray.from", `rows differ in depth: expected a number, received ${describe(nested)}`);
    }
    flat.push(nested);
    return;
  }
  if (!Array.isArray(nested) || nested.length !== shape[axis]) {
    throw new ShapeError(
      "HostArray.from",
      `rows differ in length: expected ${shape[axis]} at depth ${axis}, received ${describe(nested)}`,
    );
  }
  for (const item of nested) flatten(item as Nested, shape, axis + 1, flat);
}

function describe(nested: unknown): string {
  return Array.isArray(nested) ? `an array of ${nested.length}` : String(nested);
}
