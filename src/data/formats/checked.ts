// Checked arithmetic for sizes that come from files: every sum and product is exact or refused.
import { bytesPerElement, FormatError, type Shape, type StorageDType } from "../../engine/core/index.ts";

/** Sizes in files stop here (the limit of the safetensors schema): far above any memory, far below 2^53. */
export const MAX_SIZE: number = 2 ** 48;

/** `a + b`, exact, at most `MAX_SIZE`. */
export function checkedAdd(where: string, a: number, b: number): number {
  return checkedSize(where, a + b, `${a} + ${b}`);
}

/** `a · b`, exact, at most `MAX_SIZE`. */
export function checkedMul(where: string, a: number, b: number): number {
  return checkedSize(where, a * b, `${a} × ${b}`);
}

/** The smallest multiple of `to` that is ≥ `n`. */
export function alignUp(where: string, n: number, to: number): number {
  return checkedMul(where, Math.ceil(n / to), to);
}

/** Number of elements of a shape read from a file; code `size-overflow` above `MAX_SIZE`. */
export function checkedElements(where: string, shape: Shape): number {
  // A zero makes the product zero, but the other sizes must still be sane.
  return shape.reduce((n, size) => checkedMul(where, n, checkedSize(where, size, "a size")), 1);
}

/** Bytes of an array whose shape was read from a file. */
export function checkedBytes(where: string, shape: Shape, dtype: StorageDType): number {
  return checkedMul(where, checkedElements(where, shape), bytesPerElement(dtype));
}

function checkedSize(where: string, n: number, what: string): number {
  if (Number.isSafeInteger(n) && n >= 0 && n <= MAX_SIZE) return n;
  throw new FormatError(where, "size-overflow", `${what} is not a size from 0 to 2^48: received ${n}`);
}
