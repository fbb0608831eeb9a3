// Host arrays into device memory, converted to the dtype that is stored there, piece by piece.
import { ArgumentError, toBfloat16, type DType, type HostArray, type TypedArray } from "../../core/index.ts";
import { elementBytes } from "../../plan/index.ts";
import type { Driver } from "./driver.ts";

/** Elements converted at a time. */
const PIECE = 1 << 15;

const pieces = {
  float32: new Float32Array(PIECE),
  bfloat16: new Uint16Array(PIECE),
  int32: new Int32Array(PIECE),
  uint32: new Uint32Array(PIECE),
  bool: new Uint8Array(PIECE),
};

/** Writes an array to an address as `dtype`. */
export function writeArray(driver: Driver, address: number, dtype: DType, array: HostArray): void {
  const { data, size } = array;
  if (array.dtype === dtype && (dtype !== "bool" || (data as Uint8Array).every((x) => x <= 1))) {
    if (size > 0) driver.write(address, data);
    return;
  }
  const width = elementBytes(dtype);
  for (let start = 0; start < size; start += PIECE) {
    const count = Math.min(PIECE, size - start);
    const piece = pieces[dtype].subarray(0, count);
    fillPiece(piece, dtype, array, start);
    driver.write(address + start * width, piece);
  }
}

function fillPiece(piece: TypedArray, dtype: DType, array: HostArray, start: number): void {
  const from = array.dtype;
  const numbers = piece as { [i: number]: number };
  if (dtype === "bool") {
    for (let i = 0; i < piece.length; i++) numbers[i] = array.get(start + i) === 0 ? 0 : 1;
  } else if (dtype === "bfloat16") {
    for (let i = 0; i < piece.length; i++) numbers[i] = toBfloat16(array.get(start + i));
  } else if (from === "float16" || from === "bfloat16") {
    for (let i = 0; i < piece.length; i++) numbers[i] = array.get(start + i);
  } else if (from === "int64" || from === "uint64") {
    for (let i = 0; i < piece.length; i++) {
      const x = array.get(start + i);
      numbers[i] = x;
      if (dtype !== "float32" && numbers[i] !== x)
        throw new ArgumentError("write", `${x} does not fit into ${dtype} (element ${start + i} of ${from})`);
    }
  } else {
    // The engine converts typed arrays of numbers itself, faster than a loop here.
    (piece as Float32Array).set((array.data as Float32Array).subarray(start, start + piece.length));
  }
}
