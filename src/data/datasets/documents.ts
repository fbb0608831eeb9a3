// Documents: text, JSON Lines and Parquet, plain or gzip, as one stream in a fixed order. Memory holds one document.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { ArgumentError, DataError, FormatError } from "../../engine/core/index.ts";
import { openFile, parseJson, readParquet, readParquetSource, type ByteSource } from "../formats/index.ts";
import { splitterOf, type Separator } from "./document-text.ts";
import { expandPaths, formatOf, type DocumentFormat } from "./paths.ts";
import { Utf8Decoder, type InvalidUtf8 } from "./utf8.ts";

/** One text, and where it comes from. */
export interface Document {
  readonly text: string;
  /** Path of its file. */
  readonly source: string;
  /** Line it begins in (text that is cut, JSON Lines) or number of its row (Parquet), counted from 1. */
  readonly line?: number;
  /** Other fields of its row, where asked for. */
  readonly meta?: { readonly [field: string]: unknown };
}

/** How files become documents. */
export interface DocumentOptions {
  /** Default: what the extension says. */
  readonly format?: DocumentFormat;
  /** Where a document of a text file ends; default: at the end of the file. */
  readonly separator?: Separator;
  /** Field (JSON Lines) or column (Parquet) of the text; default `text`. */
  readonly field?: string;
  /** Fields to keep as `meta`. */
  readonly meta?: readonly string[];
  /** Leave out rows without a text and lines that are no JSON, counted; default false: they are errors. */
  readonly skipBad?: boolean;
  /** Default `"error"`. */
  readonly invalidUtf8?: InvalidUtf8;
  /** Longest document in UTF-16 code units; default 2^28. */
  readonly maxLength?: number;
  /** Counts of this reading; filled while it goes on. */
  readonly counts?: DocumentCounts;
}

/** What was read, and what was left out. */
export interface DocumentCounts {
  files: number;
  /** Size of the files, as they lie on the disk, and how much of them was read so far. */
  totalBytes: number;
  readBytes: number;
  documents: number;
  /** Pieces between two separators that held nothing. */
  empty: number;
  /** Rows left out by `skipBad`, the first of them with their error. */
  badRows: number;
  readonly badSamples: string[];
  /** Invalid UTF-8 sequences that became U+FFFD. */
  replaced: number;
  /** Files of folders that were left alone. */
  readonly ignored: string[];
}

/** Counts that stand at zero. */
export function documentCounts(): DocumentCounts {
  const numbers = { files: 0, totalBytes: 0, readBytes: 0, documents: 0, empty: 0, badRows: 0, replaced: 0 };
  return { ...numbers, badSamples: [], ignored: [] };
}

/**
 * The documents of files, folders and patterns (see `expandPaths`), in a fixed order, read as a stream.
 *
 * Errors: FormatError whose `where` is the path (and line): `bad-utf8` with the byte's offset, `bad-gzip`, `bad-row`,
 * `document-too-long`, `unknown-format`, and the codes of the readers of JSON and Parquet.
 *
 * @example
 * await writeJsonl("corpus.jsonl", [{ text: "To be" }, { text: "or not to be" }]);
 * const texts: string[] = [];
 * for await (const { text } of documents(["corpus.jsonl"])) texts.push(text);
 * texts; // ["To be", "or not to be"]
 */
export async function* documents(
  paths: string | readonly string[],
  options: DocumentOptions = {},
): AsyncGenerator<Document> {
  const counts = options.counts ?? documentCounts();
  checkOptions(options);
  const list = typeof paths === "string" ? [paths] : paths;
  const { files, ignored } = await expandPaths(list, { anyExtension: options.format !== undefined });
  counts.ignored.push(...ignored);
  counts.files += files.length;
  for (const file of files) counts.totalBytes += (await stat(file)).size;
  let before = counts.readBytes;
  for (const file of files) {
    for await (const document of fileDocuments(file, options, counts)) {
      counts.documents++;
      yield document;
    }
    // Parquet is read by position: its bytes count when the file is done.
    before += (await stat(file)).size;
    counts.readBytes = before;
  }
}

function checkOptions({ separator, maxLength = 2 ** 28 }: DocumentOptions): void {
  if (separator === "") throw new ArgumentError("documents", "`separator` is empty");
  if (typeof separator === "object" && !(Number.isSafeInteger(separator.blankLines) && separator.blankLines >= 1))
    throw new ArgumentError("documents", `\`blankLines\` is a whole number ≥ 1: received ${separator.blankLines}`);
  if (!(maxLength >= 1 && maxLength <= 2 ** 29 - 25))
    throw new ArgumentError("documents", `\`maxLength\` is from 1 to 2^29 − 25: received ${maxLength}`);
}

function fileDocuments(path: string, options: DocumentOptions, counts: DocumentCounts): AsyncGenerator<Document> {
  const format = options.format ?? formatOf(path) ?? guess(path);
  if (format === "text") return textDocuments(path, options, counts);
  return format === "jsonl" ? jsonlDocuments(path, options, counts) : parquetDocuments(path, options, counts);
}

// A file that was named is read as text where its extension says nothing; these would be read as what they are not.
function guess(path: string): DocumentFormat {
  const wrong = /\.(json|csv|tsv|arrow|zst|bz2|xz|zip|tar|pdf|html?|docx)$/i.exec(path.replace(/\.gz$/i, ""));
  if (wrong === null) return "text";
  throw new FormatError(path, "unknown-format", `documents are not read from ${wrong[0]} files`, {
    hint: 'convert it to text, JSON Lines or Parquet; `format: "text"` reads it as it is',
  });
}

async function* textDocuments(
  path: string,
  options: DocumentOptions,
  counts: DocumentCounts,
): AsyncGenerator<Document> {
  const { separator, maxLength = 2 ** 28 } = options;
  const splitter = splitterOf(path, separator, maxLength);
  const decoder = new Utf8Decoder(path, options.invalidUtf8);
  const give = function* (pieces: Iterable<{ text: string; line: number }>): Generator<Document> {
    for (const { text, line } of pieces) {
      if (text === "") counts.empty++;
      else yield separator === undefined ? { text, source: path } : { text, source: path, line };
    }
  };
  for await (const bytes of chunks(path, counts)) yield* give(splitter.push(decoder.push(bytes)));
  yield* give(splitter.push(decoder.end()));
  yield* give(splitter.end());
  counts.replaced += decoder.replaced;
}

async function* jsonlDocuments(
  path: string,
  options: DocumentOptions,
  counts: DocumentCounts,
): AsyncGenerator<Document> {
  const { field = "text", meta = [], skipBad = false, maxLength = 2 ** 28 } = options;
  for await (const { line, bytes } of lines(path, counts, maxLength)) {
    const where = `${path}:${line}`;
    try {
      const decoder = new Utf8Decoder(where, options.invalidUtf8);
      let json = decoder.push(bytes) + decoder.end();
      if (line > 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) json = `\uFEFF${json}`;
      counts.replaced += decoder.replaced;
      const value = parseJson(json, { where });
      if (typeof value !== "object" || value === null || Array.isArray(value))
        throw new FormatError(where, "bad-row", "the line is no object");
      yield { ...row(where, value, { field, meta }), source: path, line };
    } catch (error) {
      refuse(error, skipBad, counts);
    }
  }
}

async function* parquetDocuments(
  path: string,
  options: DocumentOptions,
  counts: DocumentCounts,
): AsyncGenerator<Document> {
  const { field = "text", meta = [], skipBad = false } = options;
  const decode = (bytes: Uint8Array): string => {
    const decoder = new Utf8Decoder(path, options.invalidUtf8);
    const text = decoder.push(bytes) + decoder.end();
    counts.replaced += decoder.replaced;
    return text;
  };
  const reading = { columns: [...new Set([field, ...meta])], text: decode };
  const groups = /\.gz$/i.test(path)
    ? readParquetSource(await unpacked(path, counts), reading)
    : readParquet(path, reading);
  for await (const { start, rows } of groups) {
    for (const [i, values] of rows.entries()) {
      const line = start + i + 1;
      try {
        yield { ...row(`${path}:${line}`, values, { field, meta }), source: path, line };
      } catch (error) {
        refuse(error, skipBad, counts);
      }
    }
  }
}

function row(
  where: string,
  values: { readonly [field: string]: unknown },
  { field, meta }: { readonly field: string; readonly meta: readonly string[] },
): { text: string; meta?: { [field: string]: unknown } } {
  const text = Object.hasOwn(values, field) ? values[field] : undefined;
  if (typeof text !== "string") {
    const received = text === undefined || text === null ? String(text) : `a ${typeof text}`;
    throw new FormatError(where, "bad-row", `the field \`${field}\` is a text: received ${received}`, {
      hint: `fields of this row: ${Object.keys(values).join(", ") || "none"}`,
    });
  }
  if (meta.length === 0) return { text };
  const kept = meta.filter((name) => Object.hasOwn(values, name)).map((name) => [name, values[name]] as const);
  return { text, meta: Object.fromEntries(kept) };
}

function refuse(error: unknown, skipBad: boolean, counts: DocumentCounts): void {
  if (!skipBad || !(error instanceof FormatError)) throw error;
  counts.badRows++;
  if (counts.badSamples.length < 5) counts.badSamples.push(`${error.where}: ${error.problem}`);
}

/** The bytes of a file in pieces, unpacked. */
async function* chunks(path: string, counts: DocumentCounts): AsyncGenerator<Uint8Array> {
  await (await openFile(path)).close(); // a missing file is the same typed error as everywhere
  const file = createReadStream(path, { highWaterMark: 2 ** 18 });
  if (!/\.gz$/i.test(path)) {
    for await (const chunk of file) {
      counts.readBytes += (chunk as Uint8Array).length;
      yield chunk as Uint8Array;
    }
    return;
  }
  file.on("data", (chunk) => void (counts.readBytes += chunk.length));
  const gunzip = createGunzip({ chunkSize: 2 ** 18 });
  file.on("error", (error) => gunzip.destroy(error));
  try {
    for await (const chunk of file.pipe(gunzip)) yield chunk as Uint8Array;
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    if (typeof code !== "string" || !code.startsWith("Z_")) throw cause;
    throw new FormatError(path, "bad-gzip", "the compressed data is damaged or cut short", { cause });
  } finally {
    file.destroy();
  }
}

/** Lines with their numbers; a newline byte is never part of another UTF-8 character. */
async function* lines(
  path: string,
  counts: DocumentCounts,
  maxBytes: number,
): AsyncGenerator<{ line: number; bytes: Uint8Array }> {
  let line = 0;
  let held: Uint8Array[] = [];
  let size = 0;
  const hold = (bytes: Uint8Array): void => {
    size += bytes.length;
    if (size > maxBytes)
      throw new FormatError(`${path}:${line + 1}`, "line-too-long", `a line has more than ${maxBytes} bytes`);
    if (bytes.length > 0) held.push(bytes);
  };
  const take = (): { line: number; bytes: Uint8Array } => {
    const bytes = held.length === 1 ? held[0]! : Buffer.concat(held);
    held = [];
    size = 0;
    return { line: ++line, bytes };
  };
  for await (const chunk of chunks(path, counts)) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      hold(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    hold(chunk.subarray(start));
  }
  if (size > 0) yield take();
}

/** Parquet is read by position: a packed one is unpacked into memory, up to 1 GiB. */
async function unpacked(path: string, counts: DocumentCounts): Promise<ByteSource> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of chunks(path, counts)) {
    size += part.length;
    if (size > 2 ** 30) {
      throw new DataError(path, "a packed Parquet file unpacks to more than 1 GiB", { hint: "unpack it first" });
    }
    parts.push(part);
  }
  const bytes = Buffer.concat(parts);
  return {
    where: path,
    size,
    readInto: async (target, offset) => target.set(bytes.subarray(offset, offset + target.length)),
    close: async () => {},
  };
}
