// gzip: unpacking with a limit that is known before the work begins.
import { constants, gunzipSync, gzipSync } from "node:zlib";
import { FormatError } from "../../engine/core/index.ts";

/** Whether bytes begin as gzip does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** The beginning of the content (from the first kilobyte of the file), to learn the full size from. */
export function gunzipHead(where: string, bytes: Uint8Array): Uint8Array {
  // A kilobyte unpacks to 1 MiB at most; the flush mode takes the cut end for granted.
  return run(where, () => gunzipSync(bytes.subarray(0, 1024), { finishFlush: constants.Z_SYNC_FLUSH }));
}

/** The whole content; more than `maxBytes` is the error `bomb`, damage is `bad-gzip`. */
export function gunzip(where: string, bytes: Uint8Array, maxBytes: number): Uint8Array {
  return run(where, () => gunzipSync(bytes, { maxOutputLength: Math.max(1, maxBytes) }));
}

/** Packs bytes at the highest level. */
export function gzip(bytes: Uint8Array): Uint8Array {
  return gzipSync(bytes, { level: 9 });
}

function run(where: string, unpack: () => Uint8Array): Uint8Array {
  try {
    return unpack();
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") {
      throw new FormatError(where, "bomb", "the content is larger than its own header states", { cause });
    }
    throw new FormatError(where, "bad-gzip", "the compressed data is damaged or cut short", { cause });
  }
}
