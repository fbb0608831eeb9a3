// JSON Lines: one JSON value a line. Streaming reader with line numbers in every error, and writer.
import { createReadStream } from "node:fs";
import { ArgumentError, FormatError } from "../../engine/core/index.ts";
import { decodeUtf8, type DecodeOptions } from "./bytes.ts";
import { openFile, writeFileAtomic } from "./files.ts";
import { parseJson, type JsonValue } from "./json.ts";

/** Limits of the reader. */
export interface JsonlOptions extends DecodeOptions {
  /** Longest line in bytes; default 64 MiB. */
  readonly maxLineBytes?: number;
  /** Deepest nesting; default 64. */
  readonly maxDepth?: number;
}

/** A value and the number of its line, counted from 1. */
export interface JsonLine {
  readonly line: number;
  readonly value: JsonValue;
}

/**
 * Reads a JSON Lines file line by line, without holding the file in memory.
 *
 * Errors: `FormatError` whose `where` is `path:line`, with the codes of `parseJson`, or `blank-line`, `line-too-long`,
 * `bad-utf8`, `unreadable`. Source: jsonlines.org.
 *
 * @example
 * await writeJsonl("train.jsonl", [{ text: "one" }, { text: "two" }]);
 * const lines: number[] = [];
 * for await (const { line } of readJsonl("train.jsonl")) lines.push(line);
 * lines; // [1, 2]
 */
export async function* readJsonl(path: string, options: JsonlOptions = {}): AsyncGenerator<JsonLine> {
  await (await openFile(path)).close(); // a missing file is the same typed error as everywhere
  const reader = lineReader({ where: path, ...options });
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18 })) yield* reader.push(chunk as Uint8Array);
  yield* reader.end();
}

/** Decodes JSON Lines in memory; errors as of `readJsonl`. */
export function decodeJsonl(source: Uint8Array | string, options: JsonlOptions = {}): JsonValue[] {
  const reader = lineReader({ where: "jsonl", ...options });
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  return [...reader.push(bytes), ...reader.end()].map(({ value }) => value);
}

/** Encodes values, one a line; what JSON cannot hold (undefined, NaN, functions) is an ArgumentError, not a gap. */
export function encodeJsonl(values: Iterable<JsonValue>): string {
  return [...encodeLines(values)].join("");
}

/** Writes a JSON Lines file, atomically and durably, one value at a time; values may come from a generator. */
export async function writeJsonl(path: string, values: Iterable<JsonValue>): Promise<void> {
  await writeFileAtomic(path, blocks(encodeLines(values)));
}

function* encodeLines(values: Iterable<JsonValue>): Generator<string> {
  let line = 0;
  for (const value of values) {
    line++;
    checkValue(value, `value ${line}`);
    yield `${JSON.stringify(value)}\n`;
  }
}

// Lines joined to blocks of about 1 MiB: a system call for each line would be slow.
function* blocks(lines: Iterable<string>): Generator<Uint8Array> {
  let block = "";
  for (const line of lines) {
    block += line;
    if (block.length < 2 ** 20) continue;
    yield new TextEncoder().encode(block);
    block = "";
  }
  yield new TextEncoder().encode(block);
}

interface LineReader {
  push(chunk: Uint8Array): Generator<JsonLine>;
  end(): Generator<JsonLine>;
}

// Splits bytes at newlines before decoding them: a newline byte is never part of another UTF-8 character.
function lineReader(options: JsonlOptions & { readonly where: string }): LineReader {
  const { where, maxLineBytes = 2 ** 26, maxDepth = 64 } = options;
  let line = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  const hold = (bytes: Uint8Array): void => {
    heldBytes += bytes.length;
    if (heldBytes > maxLineBytes) {
      throw new FormatError(`${where}:${line + 1}`, "line-too-long", `a line has more than ${maxLineBytes} bytes`);
    }
    if (bytes.length > 0) held.push(bytes);
  };
  const take = (): JsonLine => {
    line++;
    const at = `${where}:${line}`;
    const bytes = held.length === 1 ? held[0]! : Buffer.concat(held);
    held = [];
    heldBytes = 0;
    let text = decodeUtf8(at, bytes);
    if (line === 1) text = text.replace(/^\uFEFF/, "");
    if (text.trim() === "")
      throw new FormatError(at, "blank-line", "the line is empty", { hint: "remove empty lines" });
    return { line, value: parseJson(text, { where: at, maxDepth }) };
  };
  return {
    *push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        hold(chunk.subarray(start, end));
        yield take();
        start = end + 1;
      }
      hold(chunk.subarray(start));
    },
    *end() {
      if (heldBytes > 0) yield take();
    },
  };
}

function checkValue(value: unknown, where: string): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (typeof value === "object") {
    for (const [key, item] of Object.entries(value)) checkValue(item, `${where}.${key}`);
    return;
  }
  throw new ArgumentError("encodeJsonl", `JSON cannot hold ${String(value)} (${where})`);
}
