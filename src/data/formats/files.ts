// Files: durable atomic writes, positional reads, hashes. A reader sees the old file or the new one, never half.
import { createHash, randomBytes } from "node:crypto";
import { open, readFile, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FormatError } from "../../engine/core/index.ts";

/** Bytes that can be read in pieces. */
export interface ByteSource {
  readonly where: string;
  readonly size: number;
  /** Fills `target` from `offset`; fewer bytes than asked for is the error `truncated`. */
  readInto(target: Uint8Array, offset: number): Promise<void>;
  close(): Promise<void>;
}

/** The pieces of a file: one block, or blocks one after the other. */
export type FileContent = Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file so that after a crash or power loss the path holds the old content or the new one, never a mixture:
 * temporary file in the same folder → fsync → rename → fsync of the folder.
 *
 * @example
 * await writeFileAtomic("config.json", JSON.stringify({ units: 128 }));
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(temporary, "wx");
  try {
    try {
      for await (const piece of pieces(content)) await writeAll(file, piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {}); // the first error is the one to report
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Makes renames and new files in a folder durable (a power loss keeps them). */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return; // Windows has no fsync of folders; NTFS journals the rename itself
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The whole file; code `unreadable` where it is missing or may not be read. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** A file for positional reads, so that one part can be loaded without the rest. */
export async function openFile(path: string): Promise<ByteSource> {
  let file: FileHandle;
  let size: number;
  try {
    file = await open(path, "r");
    const stat = await file.stat();
    if (!stat.isFile()) {
      await file.close();
      throw new Error("not a file");
    }
    size = stat.size;
  } catch (cause) {
    throw unreadable(path, cause);
  }
  return {
    where: path,
    size,
    async readInto(target, offset) {
      let done = 0;
      while (done < target.length) {
        const { bytesRead } = await file.read(target, done, Math.min(target.length - done, 2 ** 30), offset + done);
        if (bytesRead === 0) throw shortRead(path, target.length, offset, done);
        done += bytesRead;
      }
    },
    close: () => file.close(),
  };
}

/** SHA-256 of bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** SHA-256 of a file, in hexadecimal, read in pieces. */
export async function sha256File(path: string): Promise<string> {
  const source = await openFile(path);
  try {
    const hash = createHash("sha256");
    for (let offset = 0; offset < source.size;) {
      const piece = new Uint8Array(Math.min(2 ** 22, source.size - offset));
      await source.readInto(piece, offset);
      hash.update(piece);
      offset += piece.length;
    }
    return hash.digest("hex");
  } finally {
    await source.close();
  }
}

async function* pieces(content: FileContent): AsyncGenerator<Uint8Array> {
  if (typeof content === "string") yield new TextEncoder().encode(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* content;
}

// One write may take less than it was given (2 GiB and more, a disk that fills up): go on until all is written.
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 30));
    done += bytesWritten;
  }
}

function shortRead(where: string, wanted: number, offset: number, received: number): FormatError {
  return new FormatError(where, "truncated", `${wanted} bytes are needed at offset ${offset}: received ${received}`);
}

function unreadable(path: string, cause: unknown): FormatError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FormatError(path, "unreadable", `the file cannot be read: ${reason}`, { cause });
}
