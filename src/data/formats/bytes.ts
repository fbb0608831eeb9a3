// Bytes and numbers: a cursor that never reads past the end, and arrays in either byte order.
import { arrayTypes, bytesPerElement, FormatError, HostArray } from "../../engine/core/index.ts";
import type { Shape, StorageDType, TypedArray } from "../../engine/core/index.ts";
import { checkedBytes } from "./checked.ts";

const hostIsLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** A cursor over bytes; a read past the end is the error `truncated`. */
export class ByteReader {
  offset = 0;
  readonly bytes: Uint8Array;
  readonly where: string;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, where: string) {
    this.bytes = bytes;
    this.where = where;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.offset;
  }

  /** The next `n` bytes, sharing memory. */
  take(n: number): Uint8Array {
    const start = this.#advance(n);
    return this.bytes.subarray(start, start + n);
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(littleEndian: boolean = true): number {
    return this.#view.getUint16(this.#advance(2), littleEndian);
  }

  u32(littleEndian: boolean = true): number {
    return this.#view.getUint32(this.#advance(4), littleEndian);
  }

  /** Four characters, as chunk names are. */
  tag(): string {
    return String.fromCharCode(...this.take(4));
  }

  #advance(n: number): number {
    if (n > this.left) {
      const problem = `${n} bytes are needed at offset ${this.offset}: received ${this.left}`;
      throw new FormatError(this.where, "truncated", problem, {
        hint: "the file is cut short: copy or download it again",
      });
    }
    const start = this.offset;
    this.offset += n;
    return start;
  }
}

/** Options every decoder takes. */
export interface DecodeOptions {
  /** What errors call the file (its path, say). */
  readonly where?: string;
}

/** Copies raw elements into an array of its own; `bool` bytes other than 0 and 1 are refused (`bad-bool`). */
export function decodeArray(
  where: string,
  type: { readonly dtype: StorageDType; readonly shape: Shape },
  source: { readonly bytes: Uint8Array; readonly bigEndian?: boolean },
): HostArray {
  const { bytes } = source;
  const expected = checkedBytes(where, type.shape, type.dtype);
  if (bytes.length !== expected) {
    throw new FormatError(where, "size-mismatch", `${expected} bytes are needed: received ${bytes.length}`);
  }
  const data = allocate(where, type.dtype, bytes.length);
  const raw = new Uint8Array(data.buffer);
  raw.set(bytes);
  return finishArray(where, type, data, source.bigEndian ?? false);
}

/** Memory for `byteLength` bytes of a dtype; more than this machine gives is the error `too-large`. */
export function allocate(where: string, dtype: StorageDType, byteLength: number): TypedArray {
  try {
    return new arrayTypes[dtype](byteLength / bytesPerElement(dtype));
  } catch (cause) {
    throw new FormatError(where, "too-large", `${byteLength} bytes do not fit into memory`, { cause });
  }
}

/** Makes an array of raw file elements that already sit in `data`: byte order turned, booleans checked. */
export function finishArray(
  where: string,
  type: { readonly dtype: StorageDType; readonly shape: Shape },
  data: TypedArray,
  bigEndian: boolean,
): HostArray {
  if (bigEndian === hostIsLittleEndian) swapBytes(new Uint8Array(data.buffer), bytesPerElement(type.dtype));
  if (type.dtype === "bool") {
    const wrong = (data as Uint8Array).findIndex((byte) => byte > 1);
    if (wrong >= 0) {
      throw new FormatError(
        where,
        "bad-bool",
        `a bool is stored as 0 or 1: received ${String(data[wrong])} at ${wrong}`,
      );
    }
  }
  return new HostArray(type.dtype, type.shape, data);
}

/** The elements in the stated byte order; shares memory with the array where nothing must be turned. */
export function encodeArray(array: HostArray, bigEndian: boolean = false): Uint8Array {
  if (bigEndian !== hostIsLittleEndian) return array.bytes();
  const copy = array.bytes().slice();
  swapBytes(copy, bytesPerElement(array.dtype));
  return copy;
}

/** Joins pieces into one block of bytes. */
export function concatBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    out.set(piece, offset);
    offset += piece.length;
  }
  return out;
}

/** UTF-8 text, or the error `bad-utf8`; a byte order mark is kept for the caller to judge. */
export function decodeUtf8(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(where, "bad-utf8", "the text is not valid UTF-8", {
      cause,
      hint: "convert the file to UTF-8",
    });
  }
}

function swapBytes(bytes: Uint8Array, width: number): void {
  if (width === 1) return;
  for (let start = 0; start < bytes.length; start += width) bytes.subarray(start, start + width).reverse();
}
