// Sizes in the memory of machine backends, and floats as words.
import { sizeOf, type DType, type Shape } from "../core/index.ts";

/** Bytes of one element in the memory of machine backends: bool takes one, bfloat16 two, all others four. */
export function elementBytes(dtype: DType): number {
  return dtype === "bool" ? 1 : dtype === "bfloat16" ? 2 : 4;
}

/** Bytes of a buffer in the memory of machine backends. */
export function bufferBytes(type: { readonly dtype: DType; readonly shape: Shape }): number {
  return sizeOf(type.shape) * elementBytes(type.dtype);
}

const floatView = new Float32Array(1);
const intView = new Int32Array(floatView.buffer);

/** The bits of a float32 as an int32 word. */
export function floatBits(x: number): number {
  floatView[0] = x;
  return intView[0]!;
}
