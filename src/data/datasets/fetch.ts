// Fetching the original files of known data sets: resumed where it stopped, checked by hash, moved into place last.
import { mkdir, open, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import { sha256File, syncFolder } from "../formats/index.ts";
import { knownDatasets, type KnownFile, type KnownName } from "./known.ts";

/** Progress of one file. */
export interface FetchProgress {
  readonly file: string;
  readonly received: number;
  readonly bytes: number;
}

/** How to fetch. */
export interface FetchOptions {
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Stops the work; what has arrived is kept, and the next call goes on from there. */
  readonly signal?: AbortSignal;
}

/** What is in the folder afterwards. */
export interface FetchResult {
  readonly folder: string;
  /** Files that were fetched now, and files that were already there and right. */
  readonly fetched: readonly string[];
  readonly present: readonly string[];
}

/**
 * Fetches a known data set into a folder. Files that are there with the right SHA-256 are left alone; a part that an
 * earlier call left is continued; a wrong hash removes the part and tries the next mirror.
 *
 * Errors: ArgumentError for an unknown name, DataError where no mirror gave the file.
 *
 * @example no-run
 * await fetchDataset("fashion-mnist", "data/fashion-mnist");
 */
export async function fetchDataset(name: KnownName, folder: string, options: FetchOptions = {}): Promise<FetchResult> {
  if (!Object.hasOwn(knownDatasets, name)) {
    throw new ArgumentError("fetchDataset", `there is no data set \`${name}\``, {
      hint: `there are: ${Object.keys(knownDatasets).join(", ")}`,
    });
  }
  const { files, mirrors } = knownDatasets[name];
  return fetchFiles(files, mirrors, { ...options, folder });
}

/** As `fetchDataset`, for files and mirrors of your own. */
export async function fetchFiles(
  files: readonly KnownFile[],
  mirrors: readonly string[],
  options: FetchOptions & { readonly folder: string },
): Promise<FetchResult> {
  const { folder } = options;
  await mkdir(folder, { recursive: true });
  const fetched: string[] = [];
  const present: string[] = [];
  for (const file of files) {
    const path = join(folder, file.name);
    if ((await sizeOf(path)) === file.bytes && (await sha256File(path)) === file.sha256) {
      present.push(file.name);
      continue;
    }
    await fetchFile(file, mirrors, options);
    fetched.push(file.name);
  }
  return { folder, fetched, present };
}

async function fetchFile(
  file: KnownFile,
  mirrors: readonly string[],
  options: FetchOptions & { readonly folder: string },
): Promise<void> {
  const path = join(options.folder, file.name);
  const part = `${path}.part`;
  const failures: string[] = [];
  for (const mirror of mirrors) {
    try {
      await receive(new URL(file.name, mirror), part, { file, ...options });
      const hash = await sha256File(part);
      if (hash === file.sha256) {
        await rename(part, path);
        await syncFolder(options.folder);
        return;
      }
      await unlink(part);
      failures.push(`${mirror}: the file has the hash ${hash}, expected ${file.sha256}`);
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      failures.push(`${mirror}: ${describe(error)}`);
    }
  }
  throw new DataError("fetchDataset", `${file.name} could not be fetched\n${failures.join("\n")}`, {
    hint: "the next call goes on where this one stopped; or put the file into the folder yourself",
  });
}

/** Appends to the part what is missing of it. */
async function receive(url: URL, part: string, options: FetchOptions & { readonly file: KnownFile }): Promise<void> {
  const { file, signal, onProgress } = options;
  let received = await sizeOf(part);
  if (received > file.bytes) {
    await unlink(part);
    received = 0;
  }
  if (received === file.bytes) return;
  const range: Record<string, string> = received > 0 ? { Range: `bytes=${received}-` } : {};
  const headers = { "Accept-Encoding": "identity", ...range }; // the file as it is, not unpacked on the way
  const response = await fetch(url, { headers, ...(signal === undefined ? {} : { signal }) });
  if (!response.ok || response.body === null) throw new Error(`${url.href} answered ${response.status}`);
  // 200 instead of 206: the server sends the file from its beginning.
  const resumes = response.status === 206 && continuesAt(response, received);
  if (received > 0 && !resumes) received = 0;
  const target = await open(part, received > 0 ? "a" : "w");
  try {
    for await (const chunk of response.body) {
      const bytes = chunk as Uint8Array;
      received += bytes.length;
      if (received > file.bytes) throw new Error(`${url.href} sends more than ${file.bytes} bytes`);
      await target.writeFile(bytes);
      onProgress?.({ file: file.name, received, bytes: file.bytes });
    }
    await target.sync();
  } finally {
    await target.close();
  }
  if (received < file.bytes) throw new Error(`${url.href} ended after ${received} of ${file.bytes} bytes`);
}

function continuesAt(response: Response, offset: number): boolean {
  const range = response.headers.get("content-range") ?? "";
  if (range.startsWith(`bytes ${offset}-`)) return true;
  throw new Error(`the server answered with another part: ${range}`);
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
