// npz: several named NumPy arrays in one zip archive.
import { ArgumentError, FormatError, type HostArray } from "../../engine/core/index.ts";
import type { DecodeOptions } from "./bytes.ts";
import { readBytes, writeFileAtomic } from "./files.ts";
import { decodeNpy, encodeNpy } from "./npy.ts";
import { checkMemberName, encodeZip, listZip, unzipEntry } from "./zip.ts";

/** How to write an archive. */
export interface NpzOptions {
  /** Deflate the members, as `numpy.savez_compressed` does; default false. */
  readonly compress?: boolean;
}

/** Reads an .npz file; errors as of `decodeNpz`. */
export async function readNpz(path: string): Promise<Map<string, HostArray>> {
  return decodeNpz(await readBytes(path), { where: path });
}

/**
 * Decodes all arrays of an .npz archive by name (without `.npy`).
 *
 * Errors: `FormatError` with the codes of `listZip`, `unzipEntry` and `decodeNpy`, or `not-an-array` for a member that
 * is no .npy file. Bombs are refused by their stated size, before anything is unpacked.
 *
 * @example
 * decodeNpz(encodeNpz({ x: HostArray.from([1, 2]) })).get("x")!.shape; // [2]
 */
export function decodeNpz(bytes: Uint8Array, options: DecodeOptions = {}): Map<string, HostArray> {
  const where = options.where ?? "npz";
  const arrays = new Map<string, HostArray>();
  for (const entry of listZip(bytes, { where })) {
    if (!entry.name.endsWith(".npy")) {
      throw new FormatError(where, "not-an-array", `the member ${JSON.stringify(entry.name)} is no .npy file`);
    }
    const data = unzipEntry(bytes, entry, { where });
    arrays.set(entry.name.slice(0, -4), decodeNpy(data, { where: `${where}: ${entry.name}` }));
  }
  return arrays;
}

/** Encodes named arrays as `numpy.savez` lays them out; the same arrays give the same bytes. */
export function encodeNpz(
  arrays: ReadonlyMap<string, HostArray> | { readonly [name: string]: HostArray },
  options: NpzOptions = {},
): Uint8Array {
  const files = new Map<string, Uint8Array>();
  for (const [name, array] of arrays instanceof Map ? arrays : Object.entries(arrays as Record<string, HostArray>)) {
    checkName(name);
    files.set(`${name}.npy`, encodeNpy(array));
  }
  return encodeZip(files, options.compress ?? false);
}

/** Writes an .npz file, atomically and durably. */
export async function writeNpz(
  path: string,
  arrays: ReadonlyMap<string, HostArray> | { readonly [name: string]: HostArray },
  options: NpzOptions = {},
): Promise<void> {
  await writeFileAtomic(path, encodeNpz(arrays, options));
}

function checkName(name: string): void {
  try {
    checkMemberName("encodeNpz", name);
  } catch (cause) {
    throw new ArgumentError("encodeNpz", `${JSON.stringify(name)} is no safe name for an array`, { cause });
  }
}
