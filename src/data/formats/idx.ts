// idx: the format of MNIST, plain or gzip. Format: 0 0 · type · rank · sizes (u32, big endian) · elements (big endian).
import { DtypeError, FormatError, ShapeError, type HostArray, type StorageDType } from "../../engine/core/index.ts";
import { ByteReader, concatBytes, decodeArray, encodeArray, type DecodeOptions } from "./bytes.ts";
import { checkedAdd, checkedBytes, checkedMul } from "./checked.ts";
import { readBytes, writeFileAtomic } from "./files.ts";
import { gunzip, gunzipHead, gzip, isGzip } from "./gzip.ts";

const DTYPES: ReadonlyMap<number, StorageDType> = new Map([
  [0x08, "uint8"],
  [0x09, "int8"],
  [0x0b, "int16"],
  [0x0c, "int32"],
  [0x0d, "float32"],
  [0x0e, "float64"],
]);
const CODE_OF = new Map([...DTYPES].map(([code, dtype]) => [dtype, code]));
const MAX_RANK = 64;

/** Reads an idx file, plain or gzip (seen from its content, not its name); errors as of `decodeIdx`. */
export async function readIdx(path: string): Promise<HostArray> {
  return decodeIdx(await readBytes(path), { where: path });
}

/**
 * Decodes an idx file, plain or gzip.
 *
 * Errors: `FormatError` with code `bad-magic`, `unknown-dtype`, `rank-too-high`, `size-overflow`, `truncated`,
 * `trailing-data`, `bad-gzip`, `bomb` (compressed data that cannot or does not hold what its header states).
 * Source: yann.lecun.com/exdb/mnist.
 *
 * @example
 * decodeIdx(encodeIdx(new HostArray("uint8", [2, 3]))).shape; // [2, 3]
 */
export function decodeIdx(bytes: Uint8Array, options: DecodeOptions = {}): HostArray {
  const where = options.where ?? "idx";
  const plain = isGzip(bytes) ? unpackIdx(where, bytes) : bytes;
  const reader = new ByteReader(plain, where);
  const { dtype, shape } = readHeader(reader);
  const expected = checkedBytes(where, shape, dtype);
  if (reader.left > expected) {
    throw new FormatError(where, "trailing-data", `${reader.left - expected} bytes follow the array`);
  }
  return decodeArray(where, { dtype, shape }, { bytes: reader.take(expected), bigEndian: true });
}

/** The plain bytes of a gzipped idx file; its own header says how much may come out. */
export function unpackIdx(where: string, bytes: Uint8Array): Uint8Array {
  const head = new ByteReader(gunzipHead(where, bytes), where);
  const { dtype, shape } = readHeader(head);
  const expected = checkedAdd(where, head.offset, checkedBytes(where, shape, dtype));
  if (expected > checkedMul(where, bytes.length, 1032)) {
    throw new FormatError(
      where,
      "bomb",
      `${bytes.length} compressed bytes cannot hold the ${expected} that are stated`,
    );
  }
  return gunzip(where, bytes, expected);
}

/** Encodes an array; only the six dtypes of the format exist (uint8, int8, int16, int32, float32, float64). */
export function encodeIdx(array: HostArray, options: { readonly gzip?: boolean } = {}): Uint8Array {
  const code = CODE_OF.get(array.dtype);
  if (code === undefined) {
    throw new DtypeError("encodeIdx", `idx has no ${array.dtype}`, {
      hint: `it has ${[...CODE_OF.keys()].join(", ")}`,
    });
  }
  if (array.shape.length > MAX_RANK || array.shape.some((size) => size >= 2 ** 32)) {
    throw new ShapeError(
      "encodeIdx",
      `rank ${MAX_RANK} and sizes below 2^32 are the most: received ${array.toString()}`,
    );
  }
  const head = new Uint8Array(4 + 4 * array.shape.length);
  head.set([0, 0, code, array.shape.length]);
  const view = new DataView(head.buffer);
  array.shape.forEach((size, axis) => view.setUint32(4 + 4 * axis, size));
  const plain = concatBytes([head, encodeArray(array, true)]);
  return options.gzip === true ? gzip(plain) : plain;
}

/** Writes an idx file (gzip where the name ends in `.gz`), atomically and durably. */
export async function writeIdx(path: string, array: HostArray): Promise<void> {
  await writeFileAtomic(path, encodeIdx(array, { gzip: path.endsWith(".gz") }));
}

function readHeader(reader: ByteReader): { dtype: StorageDType; shape: number[] } {
  const { where } = reader;
  if (reader.u16() !== 0) throw new FormatError(where, "bad-magic", "an idx file begins with two zero bytes");
  const code = reader.u8();
  const dtype = DTYPES.get(code);
  if (dtype === undefined) {
    throw new FormatError(where, "unknown-dtype", `the type code 0x${code.toString(16)} is none of the format's six`);
  }
  const rank = reader.u8();
  if (rank > MAX_RANK) throw new FormatError(where, "rank-too-high", `rank ${MAX_RANK} is the most: received ${rank}`);
  return { dtype, shape: Array.from({ length: rank }, () => reader.u32(false)) };
}
