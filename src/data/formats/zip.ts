// zip: archives of untrusted origin. Own strict reading of the directory, inflating by fflate; writing by fflate.
import { inflateSync, zipSync, type Zippable } from "fflate";
import { FormatError } from "../../engine/core/index.ts";
import { ByteReader, decodeUtf8, type DecodeOptions } from "./bytes.ts";
import { checkedAdd } from "./checked.ts";
import { crc32 } from "./crc32.ts";

/** Limits against archives that unpack to more than they should. */
export const ZIP_LIMITS: {
  readonly members: number;
  readonly memberBytes: number;
  readonly totalBytes: number;
  readonly ratioFrom: number;
  readonly ratio: number;
} = {
  members: 10_000,
  memberBytes: 2 ** 32 - 2, // 4 GiB: what the format holds without zip64
  totalBytes: 2 ** 34,
  ratioFrom: 2 ** 28, // members above 256 MiB …
  ratio: 100, // … may not be more than 100 times their stored size
};

// DEFLATE codes at most 258 bytes in 2 bits: nothing unpacks to more than 1032 times its size.
const DEFLATE_MOST = 1032;
const FIRST_DAY = new Date(1980, 0, 1);

/** One file of an archive. */
export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  readonly storedSize: number;
  readonly method: number;
  readonly crc: number;
  readonly headerOffset: number;
}

/**
 * Lists an archive without unpacking anything.
 *
 * Errors: `FormatError` with code `not-a-zip`, `zip64`, `encrypted`, `unsafe-name`, `duplicate-name`, `link`,
 * `too-many-members`, `bomb`, `bad-method`, `bad-directory`, `truncated`.
 */
export function listZip(bytes: Uint8Array, options: DecodeOptions = {}): ZipEntry[] {
  const where = options.where ?? "zip";
  const end = findEnd(where, bytes);
  const reader = new ByteReader(bytes.subarray(end.offset, end.offset + end.size), where);
  const entries: ZipEntry[] = [];
  const names = new Set<string>();
  let total = 0;
  for (let i = 0; i < end.count; i++) {
    const entry = readEntry(where, reader);
    // Two names that differ in case are one file on many systems.
    const folded = entry.name.normalize("NFC").toLowerCase();
    if (names.has(folded)) throw new FormatError(where, "duplicate-name", `two members are called ${show(entry.name)}`);
    names.add(folded);
    checkSize(where, entry);
    total = checkedAdd(where, total, entry.size);
    entries.push(entry);
  }
  if (reader.left > 0)
    throw new FormatError(where, "bad-directory", `${reader.left} bytes after the directory's entries`);
  if (total > ZIP_LIMITS.totalBytes) {
    throw new FormatError(where, "bomb", `the members unpack to ${total} bytes, ${ZIP_LIMITS.totalBytes} are the most`);
  }
  checkOverlaps(where, entries, end.offset);
  return entries;
}

/** Unpacks one member and checks its CRC-32; codes `bad-member`, `bad-crc`, `bad-deflate`. */
export function unzipEntry(bytes: Uint8Array, entry: ZipEntry, options: DecodeOptions = {}): Uint8Array {
  const where = `${options.where ?? "zip"}: ${entry.name}`;
  const reader = new ByteReader(bytes, where);
  reader.offset = entry.headerOffset;
  if (reader.u32() !== 0x04034b50) throw new FormatError(where, "bad-member", "the member's own header is missing");
  reader.take(4);
  const method = reader.u16();
  reader.take(16);
  const [nameLength, extraLength] = [reader.u16(), reader.u16()];
  const name = decodeUtf8(where, reader.take(nameLength));
  if (method !== entry.method || name !== entry.name) {
    throw new FormatError(where, "bad-member", "the member's own header and the directory differ");
  }
  reader.take(extraLength);
  const stored = reader.take(entry.storedSize);
  const data = entry.method === 0 ? stored.slice() : inflate(where, stored, entry.size);
  if (crc32(data) !== entry.crc) {
    throw new FormatError(where, "bad-crc", "the content does not match its checksum", { hint: "copy the file again" });
  }
  return data;
}

/** Packs files into an archive; the same files give the same bytes (no clock, no user, fixed order). */
export function encodeZip(files: ReadonlyMap<string, Uint8Array>, compress: boolean): Uint8Array {
  const level = compress ? 6 : 0;
  // Names were checked by the caller; a null prototype keeps any of them a plain key.
  const tree = Object.create(null) as Zippable;
  for (const [name, data] of files) tree[name] = [data, { level, mtime: FIRST_DAY }];
  return zipSync(tree);
}

function inflate(where: string, stored: Uint8Array, size: number): Uint8Array {
  let data: Uint8Array;
  try {
    // One spare byte: a member that unpacks to more than it states is then seen.
    data = inflateSync(stored, { out: new Uint8Array(size + 1) });
  } catch (cause) {
    throw new FormatError(where, "bad-deflate", "the compressed data is damaged", { cause });
  }
  if (data.length !== size) {
    throw new FormatError(where, "bad-deflate", `${size} bytes are stated: received ${data.length}`);
  }
  return data.slice();
}

function findEnd(where: string, bytes: Uint8Array): { count: number; size: number; offset: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const last = bytes.length - 22;
  let at = last;
  while (at >= 0 && at >= last - 65_535 && view.getUint32(at, true) !== 0x06054b50) at--;
  if (at < 0 || at < last - 65_535) throw new FormatError(where, "not-a-zip", "there is no end of a zip directory");
  const reader = new ByteReader(bytes, where);
  reader.offset = at + 4;
  const [disk, directoryDisk, here, count] = [reader.u16(), reader.u16(), reader.u16(), reader.u16()];
  const [size, offset, comment] = [reader.u32(), reader.u32(), reader.u16()];
  if (count === 0xffff || size === 0xffffffff || offset === 0xffffffff) {
    throw new FormatError(where, "zip64", "archives above 4 GiB or 65,535 members are not read");
  }
  if (
    disk !== 0 ||
    directoryDisk !== 0 ||
    here !== count ||
    comment !== bytes.length - at - 22 ||
    offset + size !== at
  ) {
    throw new FormatError(where, "bad-directory", "the end of the zip directory contradicts the file");
  }
  if (count > ZIP_LIMITS.members) {
    throw new FormatError(where, "too-many-members", `${ZIP_LIMITS.members} are the most: received ${count}`);
  }
  return { count, size, offset };
}

function readEntry(where: string, reader: ByteReader): ZipEntry {
  if (reader.u32() !== 0x02014b50) throw new FormatError(where, "bad-directory", "a directory entry is damaged");
  const madeBy = reader.u16();
  reader.take(2);
  const [flags, method] = [reader.u16(), reader.u16()];
  reader.take(4);
  const [crc, storedSize, size] = [reader.u32(), reader.u32(), reader.u32()];
  const [nameLength, extraLength, commentLength] = [reader.u16(), reader.u16(), reader.u16()];
  reader.take(4);
  const attributes = reader.u32();
  const headerOffset = reader.u32();
  const name = decodeUtf8(where, reader.take(nameLength));
  reader.take(extraLength + commentLength);
  checkMemberName(where, name);
  const unixType = Math.floor(attributes / 2 ** 28); // file type bits of the Unix mode in the upper half
  if (Math.floor(madeBy / 256) === 3 && unixType !== 0 && unixType !== 8) {
    throw new FormatError(where, "link", `${show(name)} is a link or a special file`);
  }
  if (flags % 2 === 1) throw new FormatError(where, "encrypted", `${show(name)} is encrypted`);
  if (size === 0xffffffff || storedSize === 0xffffffff || headerOffset === 0xffffffff) {
    throw new FormatError(where, "zip64", `${show(name)} is above 4 GiB`);
  }
  if (method !== 0 && method !== 8) {
    throw new FormatError(
      where,
      "bad-method",
      `${show(name)} uses compression method ${method}: stored and deflate are read`,
    );
  }
  return { name, size, storedSize, method, crc, headerOffset };
}

/** Refuses names that could leave the folder they are unpacked into, on any system. */
export function checkMemberName(where: string, name: string): void {
  const parts = name.split("/");
  // oxlint-disable-next-line no-control-regex
  const odd = name === "" || /[\\\u0000-\u001f:]/.test(name) || name.startsWith("/");
  if (odd || parts.some((part, i) => part === ".." || part === "." || (part === "" && i < parts.length - 1))) {
    throw new FormatError(where, "unsafe-name", `${show(name)} is no safe name for a member`);
  }
}

function checkSize(where: string, entry: ZipEntry): void {
  const { name, size, storedSize, method } = entry;
  if (size > ZIP_LIMITS.memberBytes || (size > ZIP_LIMITS.ratioFrom && size > ZIP_LIMITS.ratio * storedSize)) {
    throw new FormatError(where, "bomb", `${show(name)} would unpack ${storedSize} bytes to ${size}`);
  }
  if (method === 0 ? size !== storedSize : size > DEFLATE_MOST * storedSize) {
    throw new FormatError(where, "bad-directory", `${show(name)}: ${storedSize} bytes cannot hold ${size}`);
  }
}

// Members that share bytes are how a small archive unpacks to petabytes.
function checkOverlaps(where: string, entries: readonly ZipEntry[], directory: number): void {
  const sorted = entries.toSorted((a, b) => a.headerOffset - b.headerOffset);
  sorted.forEach((entry, i) => {
    const next = sorted[i + 1]?.headerOffset ?? directory;
    if (entry.headerOffset + 30 + entry.storedSize > next) {
      throw new FormatError(where, "bad-directory", `${show(entry.name)} overlaps what follows it`);
    }
  });
}

function show(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
