// npy: one NumPy array. Versions 1, 2 and 3; either byte order; C and Fortran order; never an object array.
// Format: "\x93NUMPY" · version · header length · Python dict literal · data.
import { DtypeError, FormatError, HostArray, stridesOf, type StorageDType } from "../../engine/core/index.ts";
import { ByteReader, concatBytes, decodeArray, decodeUtf8, encodeArray, type DecodeOptions } from "./bytes.ts";
import { checkedBytes } from "./checked.ts";
import { readBytes, writeFileAtomic } from "./files.ts";

const MAGIC = "\x93NUMPY";
/** NumPy's own headers stay below 10,000 bytes. */
const MAX_HEADER = 65_536;
const MAX_RANK = 64;

const DTYPES: { readonly [code: string]: StorageDType } = {
  f8: "float64",
  f4: "float32",
  f2: "float16",
  i8: "int64",
  i4: "int32",
  i2: "int16",
  i1: "int8",
  u8: "uint64",
  u4: "uint32",
  u2: "uint16",
  u1: "uint8",
  b1: "bool",
};
const CODE_OF = new Map(Object.entries(DTYPES).map(([code, dtype]) => [dtype, code]));

/** Reads an .npy file; errors as of `decodeNpy`. */
export async function readNpy(path: string): Promise<HostArray> {
  return decodeNpy(await readBytes(path), { where: path });
}

/**
 * Decodes an .npy file into a row-major array; Fortran order is transposed, big endian is turned.
 *
 * Errors: `FormatError` with code `bad-magic`, `bad-version`, `bad-header`, `duplicate-key`, `object-dtype`,
 * `structured-dtype`, `unsupported-dtype`, `bad-shape`, `rank-too-high`, `size-overflow`, `truncated`, `trailing-data`,
 * `bad-bool`. Source: numpy.lib.format.
 *
 * @example
 * decodeNpy(encodeNpy(HostArray.from([[1, 2], [3, 4]]))).shape; // [2, 2]
 */
export function decodeNpy(bytes: Uint8Array, options: DecodeOptions = {}): HostArray {
  const where = options.where ?? "npy";
  const reader = new ByteReader(bytes, where);
  if (String.fromCharCode(...reader.take(6)) !== MAGIC) {
    throw new FormatError(where, "bad-magic", "an .npy file begins with \\x93NUMPY", {
      hint: "is it a .npz or a pickle?",
    });
  }
  const [major, minor] = [reader.u8(), reader.u8()];
  if (major < 1 || major > 3 || minor !== 0) {
    throw new FormatError(where, "bad-version", `versions 1.0, 2.0 and 3.0 are read: received ${major}.${minor}`);
  }
  const length = major === 1 ? reader.u16() : reader.u32();
  if (length > MAX_HEADER) {
    throw new FormatError(where, "header-too-large", `a header has at most ${MAX_HEADER} bytes: received ${length}`);
  }
  const header = parseHeader(where, decodeUtf8(where, reader.take(length)));
  const expected = checkedBytes(where, header.shape, header.dtype);
  if (reader.left > expected) {
    throw new FormatError(where, "trailing-data", `${reader.left - expected} bytes follow the array`);
  }
  const data = { bytes: reader.take(expected), bigEndian: header.bigEndian };
  if (!header.fortran || header.shape.length < 2) return decodeArray(where, header, data);
  return transpose(decodeArray(where, { dtype: header.dtype, shape: header.shape.toReversed() }, data));
}

/** Encodes an array as NumPy's `save` does (version 1.0, little endian, C order), byte for byte. */
export function encodeNpy(array: HostArray): Uint8Array {
  const code = CODE_OF.get(array.dtype);
  if (code === undefined) {
    throw new DtypeError("encodeNpy", `npy has no ${array.dtype}`, { hint: 'cast it first: array.cast("float32")' });
  }
  const order = code.endsWith("1") ? "|" : "<";
  const shape = array.shape.length === 1 ? `${array.shape[0]},` : array.shape.join(", ");
  const dict = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': (${shape}), }`;
  // Like NumPy: room for the first size to grow in place, then spaces up to a multiple of 64, then a newline.
  const room = array.shape.length === 0 ? 0 : 21 - String(array.shape[0]).length;
  const total = Math.ceil((10 + dict.length + room + 1) / 64) * 64;
  const head = new TextEncoder().encode(`${"x".repeat(10)}${dict.padEnd(total - 11)}\n`);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  new DataView(head.buffer).setUint16(8, total - 10, true);
  return concatBytes([head, encodeArray(array)]);
}

/** Writes an .npy file, atomically and durably. */
export async function writeNpy(path: string, array: HostArray): Promise<void> {
  await writeFileAtomic(path, encodeNpy(array));
}

interface Header {
  readonly dtype: StorageDType;
  readonly bigEndian: boolean;
  readonly fortran: boolean;
  readonly shape: readonly number[];
}

// The header is a Python dict literal; only the exact forms NumPy writes are taken, nothing is evaluated.
function parseHeader(where: string, text: string): Header {
  const fields = new Map<string, string>();
  const body = /^\{(.*)\}[ \t]*\n?$/s.exec(text.trimStart())?.[1];
  if (body === undefined) throw new FormatError(where, "bad-header", "the header is not a Python dict on one line");
  let rest = body.trim();
  while (rest !== "") {
    const field = /^(['"])(\w+)\1\s*:\s*/.exec(rest);
    if (field === null) throw new FormatError(where, "bad-header", `expected a key, received ${show(rest)}`);
    const key = field[2]!;
    if (fields.has(key)) throw new FormatError(where, "duplicate-key", `the key '${key}' appears twice`);
    rest = rest.slice(field[0].length);
    const value = /^('[^'\\]*'|"[^"\\]*"|True|False|\([^()]*\))\s*(?:,\s*|$)/.exec(rest);
    if (value === null) throw badValue(where, key, rest);
    fields.set(key, value[1]!);
    rest = rest.slice(value[0].length);
  }
  const keys = [...fields.keys()].sort().join();
  if (keys !== "descr,fortran_order,shape") {
    throw new FormatError(where, "bad-header", `keys are descr, fortran_order and shape: received ${show(keys)}`);
  }
  const fortran = fields.get("fortran_order")!;
  if (fortran !== "True" && fortran !== "False") {
    throw new FormatError(where, "bad-header", `fortran_order is True or False: received ${show(fortran)}`);
  }
  return {
    ...parseDescr(where, fields.get("descr")!),
    fortran: fortran === "True",
    shape: parseShape(where, fields.get("shape")!),
  };
}

function badValue(where: string, key: string, rest: string): FormatError {
  if (key === "descr" && rest.startsWith("[")) {
    return new FormatError(where, "structured-dtype", "records (structured dtypes) are not read", {
      hint: "save each field as an array of its own",
    });
  }
  if (key === "shape") return new FormatError(where, "bad-shape", `the shape is not a tuple: received ${show(rest)}`);
  return new FormatError(where, "bad-header", `the value of '${key}' is not read: ${show(rest)}`);
}

function parseDescr(where: string, quoted: string): { dtype: StorageDType; bigEndian: boolean } {
  const descr = /^['"](.*)['"]$/.exec(quoted)?.[1] ?? "";
  const parts = /^([<>|=])([a-zA-Z])(\d*)$/.exec(descr);
  if (parts?.[2] === "O") {
    throw new FormatError(where, "object-dtype", "the array holds pickled Python objects, which are never read", {
      hint: "in Python: array.astype(float), then save again",
    });
  }
  const dtype = parts === null ? undefined : DTYPES[`${parts[2]}${parts[3]}`];
  if (parts === null || dtype === undefined || (parts[1] === "|" && !descr.endsWith("1"))) {
    throw new FormatError(where, "unsupported-dtype", `the dtype ${show(quoted)} is not read`, {
      hint: `numbers of these kinds are: ${Object.keys(DTYPES).join(", ")}`,
    });
  }
  return { dtype, bigEndian: parts[1] === ">" };
}

function parseShape(where: string, text: string): number[] {
  // (), (3,), (2, 3) and (2, 3,): a single size needs its comma, as in Python.
  const sizes = /^\((.*)\)$/s
    .exec(text)?.[1]
    ?.split(",")
    .map((size) => size.trim()) ?? ["?"];
  const single = sizes.length === 1 && sizes[0] !== "";
  if (sizes.at(-1) === "") sizes.pop();
  if (single || !sizes.every((size) => /^\d+$/.test(size))) {
    throw new FormatError(where, "bad-shape", `the shape is not a tuple of sizes: received ${show(text)}`);
  }
  if (sizes.length > MAX_RANK) {
    throw new FormatError(where, "rank-too-high", `rank ${MAX_RANK} is the most: received ${sizes.length}`);
  }
  return sizes.map(Number);
}

/** Reverses the axes: what was stored column-major becomes row-major. */
function transpose(array: HostArray): HostArray {
  const shape = array.shape.toReversed();
  const out = new HostArray(array.dtype, shape);
  const steps = stridesOf(array.shape).toReversed();
  const source = array.data as { readonly [i: number]: number };
  const target = out.data as { [i: number]: number };
  const index = shape.map(() => 0);
  for (let to = 0, from = 0; to < out.size; to++) {
    target[to] = source[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= steps[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function show(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
