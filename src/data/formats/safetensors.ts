// safetensors: named tensors behind a JSON header. Reader (whole or one tensor at a time) and writer.
// Format: 8 bytes header length (little endian) · JSON header · data without holes or overlaps.
import { ArgumentError, FormatError, type HostArray, type StorageDType } from "../../engine/core/index.ts";
import { allocate, concatBytes, decodeUtf8, encodeArray, finishArray, type DecodeOptions } from "./bytes.ts";
import { alignUp, checkedAdd, checkedBytes, MAX_SIZE } from "./checked.ts";
import { openFile, writeFileAtomic, type ByteSource } from "./files.ts";
import { scanJson, type JsonNode } from "./json.ts";

/** Limits of the reader; each is far above what real files use. */
export const SAFETENSORS_LIMITS: {
  readonly headerBytes: number;
  readonly tensors: number;
  readonly rank: number;
  readonly nameBytes: number;
} = { headerBytes: 100_000_000, tensors: 1_000_000, rank: 64, nameBytes: 1024 };

/** Where one tensor lies: bytes `begin` to `end` of the data part. */
export interface TensorInfo {
  readonly dtype: StorageDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A checked header. */
export interface SafetensorsHeader {
  /** In the order of the data. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the data part starts in the file. */
  readonly dataOffset: number;
}

/** The content of a file: a Map, because a tensor may have any name. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, HostArray>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Text entries for the header's `__metadata__`, or none. */
export interface SafetensorsOptions {
  readonly metadata?: ReadonlyMap<string, string> | { readonly [key: string]: string };
}

// The names of the format in the order its reference writer sorts by (wide types last in this list come first in files).
const DTYPES: readonly (readonly [name: string, dtype: StorageDType])[] = [
  ["BOOL", "bool"],
  ["U8", "uint8"],
  ["I8", "int8"],
  ["I16", "int16"],
  ["U16", "uint16"],
  ["F16", "float16"],
  ["BF16", "bfloat16"],
  ["I32", "int32"],
  ["U32", "uint32"],
  ["F32", "float32"],
  ["F64", "float64"],
  ["I64", "int64"],
  ["U64", "uint64"],
];
const DTYPE_OF = new Map(DTYPES);
const NAME_OF = new Map(DTYPES.map(([name, dtype]) => [dtype, name]));
const ORDER_OF = new Map(DTYPES.map(([, dtype], i) => [dtype, i]));
const UNSUPPORTED: ReadonlySet<string> = new Set(
  "F4 F6_E2M3 F6_E3M2 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ C64 C128".split(" "),
);

/** Reads all tensors of a file; errors as of `openSafetensors`. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, HostArray>();
    for (const name of file.header.tensors.keys()) tensors.set(name, await file.read(name));
    return { tensors, metadata: file.header.metadata };
  } finally {
    await file.close();
  }
}

/** A file whose header has been checked and whose tensors are read on demand. */
export interface SafetensorsFile {
  readonly header: SafetensorsHeader;
  /** Reads one tensor by position, without the rest of the file; an unknown name is an ArgumentError. */
  read(name: string): Promise<HostArray>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file, checks its whole header, and reads single tensors on demand.
 *
 * Stricter than the reference reader: duplicate keys, unknown fields, numbers that are no plain integers, sizes above
 * 2^48, rank above 64, names above 1,024 bytes and bool bytes other than 0 and 1 are refused.
 * Errors: `FormatError` with a code per kind. Source: github.com/huggingface/safetensors.
 *
 * @example
 * await writeSafetensors("model.safetensors", { bias: HostArray.from([1, 2]) });
 * const file = await openSafetensors("model.safetensors");
 * (await file.read("bias")).toNested(); // [1, 2]
 * await file.close();
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const source = await openFile(path);
  try {
    const header = await readHeader(source);
    return { header, read: (name) => readTensor(source, header, name), close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Decodes bytes in memory; every tensor gets memory of its own. */
export function decodeSafetensors(bytes: Uint8Array, options: DecodeOptions = {}): Safetensors {
  const where = options.where ?? "safetensors";
  const length = headerLength(where, bytes.subarray(0, 8), bytes.length);
  const header = parseHeader(where, bytes.subarray(8, 8 + length), bytes.length);
  const tensors = new Map<string, HostArray>();
  for (const [name, info] of header.tensors) {
    const data = allocate(where, info.dtype, info.end - info.begin);
    new Uint8Array(data.buffer).set(bytes.subarray(header.dataOffset + info.begin, header.dataOffset + info.end));
    tensors.set(name, finishArray(where, info, data, false));
  }
  return { tensors, metadata: header.metadata };
}

/** Encodes named arrays: the bytes are a function of names, arrays and metadata alone, equal to the reference's. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, HostArray> | { readonly [name: string]: HostArray },
  options: SafetensorsOptions = {},
): Uint8Array {
  return concatBytes(safetensorsPieces(tensors, options));
}

/** Writes named arrays to a file, atomically and durably, without a copy of the whole in memory. */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, HostArray> | { readonly [name: string]: HostArray },
  options: SafetensorsOptions = {},
): Promise<void> {
  await writeFileAtomic(path, safetensorsPieces(tensors, options));
}

// Header and tensors as separate blocks. Wide dtypes first, then by name: every tensor is aligned to its element.
function safetensorsPieces(
  tensors: ReadonlyMap<string, HostArray> | { readonly [name: string]: HostArray },
  options: SafetensorsOptions,
): Uint8Array[] {
  const where = "encodeSafetensors";
  const sorted = entriesOf(tensors).sort(
    ([nameA, a], [nameB, b]) => ORDER_OF.get(b.dtype)! - ORDER_OF.get(a.dtype)! || compareUtf8(nameA, nameB),
  );
  const metadata = entriesOf(options.metadata ?? {}).sort(([a], [b]) => compareUtf8(a, b));
  const fields: string[] = [];
  if (metadata.length > 0) {
    const texts = metadata.map(([key, value]) => `${quote(where, key)}:${quote(where, value)}`);
    fields.push(`"__metadata__":{${texts.join(",")}}`);
  }
  let offset = 0;
  for (const [name, array] of sorted) {
    checkName(where, name, (problem) => new ArgumentError(where, problem));
    const end = checkedAdd(where, offset, array.byteLength);
    const dtype = NAME_OF.get(array.dtype)!;
    fields.push(
      `${quote(where, name)}:{"dtype":"${dtype}","shape":[${array.shape.join(",")}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const head = new Uint8Array(8 + alignUp(where, json.length, 8)).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
  return [head, ...sorted.map(([, array]) => encodeArray(array))];
}

async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const first = new Uint8Array(Math.min(8, source.size));
  await source.readInto(first, 0);
  const bytes = new Uint8Array(headerLength(source.where, first, source.size));
  await source.readInto(bytes, 8);
  return parseHeader(source.where, bytes, source.size);
}

async function readTensor(source: ByteSource, header: SafetensorsHeader, name: string): Promise<HostArray> {
  const info = header.tensors.get(name);
  if (info === undefined) {
    const some = [...header.tensors.keys()].slice(0, 5).join(", ");
    throw new ArgumentError(source.where, `there is no tensor \`${name}\``, { hint: `the file has: ${some}, …` });
  }
  const data = allocate(source.where, info.dtype, info.end - info.begin);
  await source.readInto(new Uint8Array(data.buffer), header.dataOffset + info.begin);
  return finishArray(source.where, info, data, false);
}

function headerLength(where: string, first: Uint8Array, fileSize: number): number {
  if (fileSize < 8) throw new FormatError(where, "too-small", `a file has at least 8 bytes: received ${fileSize}`);
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > BigInt(SAFETENSORS_LIMITS.headerBytes)) {
    const problem = `the header may have ${SAFETENSORS_LIMITS.headerBytes} bytes: received ${length}`;
    throw new FormatError(where, "header-too-large", problem, { hint: "is this a safetensors file at all?" });
  }
  if (length > BigInt(fileSize - 8)) {
    const problem = `the header has ${length} bytes, ${fileSize - 8} are there`;
    throw new FormatError(where, "header-truncated", problem, { hint: "the file is cut short: copy it again" });
  }
  return Number(length);
}

function parseHeader(where: string, bytes: Uint8Array, fileSize: number): SafetensorsHeader {
  if (bytes[0] !== 0x7b) throw new FormatError(where, "header-start", "the header must begin with {");
  const root = scanJson(decodeUtf8(where, bytes), { where, maxDepth: 4, number: sizeLiteral }) as Map<string, JsonNode>;
  const metadata = readMetadata(where, root.get("__metadata__"));
  root.delete("__metadata__");
  if (root.size > SAFETENSORS_LIMITS.tensors) {
    throw new FormatError(
      where,
      "too-many-tensors",
      `${SAFETENSORS_LIMITS.tensors} are the most: received ${root.size}`,
    );
  }
  const infos = [...root].map(([name, node]) => [name, readInfo(where, name, node)] as const);
  infos.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  const dataOffset = 8 + bytes.length;
  checkLayout(where, infos, fileSize - dataOffset);
  return { tensors: new Map(infos), metadata, dataOffset };
}

// Tensors must cover the data part exactly: no overlap (it multiplies memory), no hole (it hides data).
function checkLayout(where: string, infos: readonly (readonly [string, TensorInfo])[], dataBytes: number): void {
  let offset = 0;
  for (const [name, { begin, end }] of infos) {
    if (begin < offset)
      throw bad(where, name, "overlap", `starts at ${begin}, inside the tensor before (to ${offset})`);
    if (begin > offset)
      throw bad(where, name, "hole", `starts at ${begin}: bytes ${offset} to ${begin} belong to none`);
    offset = end;
  }
  if (offset > dataBytes) {
    const problem = `the tensors need ${offset} bytes of data, ${dataBytes} are there`;
    throw new FormatError(where, "truncated", problem, { hint: "the file is cut short: copy it again" });
  }
  if (offset < dataBytes) {
    throw new FormatError(where, "trailing-data", `${dataBytes - offset} bytes after the last tensor belong to none`);
  }
}

function readMetadata(where: string, node: JsonNode | undefined): Map<string, string> {
  const out = new Map<string, string>();
  if (node === undefined) return out;
  if (!(node instanceof Map))
    throw new FormatError(where, "bad-metadata", "`__metadata__` must be an object of strings");
  for (const [key, value] of node) {
    if (typeof value !== "string") {
      throw new FormatError(
        where,
        "bad-metadata",
        `\`__metadata__.${key}\` must be a string: received ${kindOf(value)}`,
      );
    }
    out.set(key, value);
  }
  return out;
}

function readInfo(where: string, name: string, node: JsonNode): TensorInfo {
  checkName(where, name, (problem) => new FormatError(where, "name-too-long", problem));
  if (!(node instanceof Map)) throw bad(where, name, "bad-entry", `must be an object: received ${kindOf(node)}`);
  for (const field of ["dtype", "shape", "data_offsets"]) {
    if (!node.has(field)) throw bad(where, name, "missing-field", `has no \`${field}\``);
  }
  for (const field of node.keys()) {
    if (field !== "dtype" && field !== "shape" && field !== "data_offsets") {
      throw bad(where, name, "unknown-field", `has the unknown field \`${field}\``);
    }
  }
  const dtype = readDType(where, name, node.get("dtype")!);
  const shape = node.get("shape")!;
  if (!isNumbers(shape)) throw bad(where, name, "bad-shape", "`shape` must be a list of whole numbers");
  if (shape.length > SAFETENSORS_LIMITS.rank) {
    throw bad(where, name, "rank-too-high", `rank ${SAFETENSORS_LIMITS.rank} is the most: received ${shape.length}`);
  }
  const offsets = node.get("data_offsets")!;
  if (!isNumbers(offsets) || offsets.length !== 2) {
    throw bad(where, name, "bad-offsets", "`data_offsets` must be two whole numbers");
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw bad(where, name, "bad-offsets", `ends (${end}) before it starts (${begin})`);
  const expected = checkedBytes(`${where}: tensor ${name}`, shape, dtype);
  if (end - begin !== expected) {
    throw bad(
      where,
      name,
      "size-mismatch",
      `${dtype}[${shape.join(",")}] has ${expected} bytes: received ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

function readDType(where: string, name: string, node: JsonNode): StorageDType {
  if (typeof node !== "string")
    throw bad(where, name, "bad-dtype", `\`dtype\` must be a string: received ${kindOf(node)}`);
  const dtype = DTYPE_OF.get(node);
  if (dtype !== undefined) return dtype;
  if (UNSUPPORTED.has(node)) {
    const hint = "convert the tensor to F32, F16 or BF16 before saving it";
    throw new FormatError(where, "unsupported-dtype", `tensor \`${name}\`: ${node} is not read here`, { hint });
  }
  throw bad(where, name, "unknown-dtype", `has the unknown dtype ${JSON.stringify(node.slice(0, 40))}`);
}

// Sizes and offsets: plain decimal digits, at most 2^48. `-0`, `1.0` and `1e2` are numbers, but no sizes.
function sizeLiteral(literal: string, where: string): number {
  if (!/^\d+$/.test(literal)) {
    throw new FormatError(where, "not-an-integer", `sizes are plain whole numbers: received ${literal.slice(0, 40)}`);
  }
  const value = Number(literal);
  if (value > MAX_SIZE) {
    throw new FormatError(where, "size-overflow", `sizes end at 2^48: received ${literal.slice(0, 40)}`);
  }
  return value;
}

function checkName(where: string, name: string, error: (problem: string) => Error): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > SAFETENSORS_LIMITS.nameBytes) {
    throw error(`a name has at most ${SAFETENSORS_LIMITS.nameBytes} bytes: received ${bytes}`);
  }
  if (name === "__metadata__") throw new ArgumentError(where, "`__metadata__` is no name for a tensor");
}

function quote(where: string, text: string): string {
  if (/\p{Surrogate}/u.test(text)) throw new ArgumentError(where, "half a surrogate pair in a name or in metadata");
  return JSON.stringify(text);
}

function entriesOf<V>(map: ReadonlyMap<string, V> | { readonly [key: string]: V }): [string, V][] {
  return map instanceof Map ? [...map] : Object.entries(map);
}

function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isNumbers(node: JsonNode): node is number[] {
  return Array.isArray(node) && node.every((item) => typeof item === "number");
}

function kindOf(node: JsonNode): string {
  if (node === null) return "null";
  if (Array.isArray(node)) return "a list";
  return node instanceof Map ? "an object" : typeof node;
}

function bad(where: string, name: string, code: string, problem: string): FormatError {
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name;
  return new FormatError(where, code, `tensor \`${shown}\`: ${problem}`);
}
