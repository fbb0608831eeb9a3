// Element types: what programs compute with, and what files may also store.

/**
 * Element types of a program's values. On the reference backend `float32` is evaluated in float64. `bfloat16` is for storage:
 * it can be moved, chosen from, cast and multiplied into a float32 product; every other op refuses it.
 */
export type DType = "float32" | "bfloat16" | "int32" | "uint32" | "bool";

/** Element types host memory and files may hold; `float16` and `bfloat16` keep their bits in a Uint16Array. */
export type StorageDType = DType | "float64" | "float16" | "int64" | "uint64" | "int16" | "uint16" | "int8" | "uint8";

/** The typed array that holds each storage dtype. */
export interface DataOf {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

/** Any typed array this package stores numbers in. */
export type TypedArray = DataOf[StorageDType];

interface TypedArrayConstructor<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): T;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): T;
}

/** The typed-array class of each storage dtype. */
export const arrayTypes: { readonly [D in StorageDType]: TypedArrayConstructor<DataOf[D]> } = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** Bytes of one element. */
export function bytesPerElement(dtype: StorageDType): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT;
}

/** Whether values of a program can have this dtype. */
export function isComputeDType(dtype: string): dtype is DType {
  return dtype === "float32" || dtype === "bfloat16" || dtype === "int32" || dtype === "uint32" || dtype === "bool";
}

/** Whether the dtype stores real numbers. */
export function isFloat(dtype: StorageDType): boolean {
  return dtype === "float32" || dtype === "float64" || dtype === "float16" || dtype === "bfloat16";
}

/** The dtype a stored dtype becomes when it is handed to a program, where no other is asked for. */
export function computeDType(dtype: StorageDType): DType {
  if (isFloat(dtype)) return "float32";
  if (dtype === "bool" || dtype === "uint32") return dtype;
  return "int32";
}
