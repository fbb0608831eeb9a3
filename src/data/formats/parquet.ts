// Parquet: columns of a table, one row group at a time, through hyparquet. What it cannot read is a typed error.
import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { ChainruleError, FormatError } from "../../engine/core/index.ts";
import { decodeUtf8 } from "./bytes.ts";
import { openFile, type ByteSource } from "./files.ts";

/** One row: its values by column, null where there is none. */
export type ParquetRow = { readonly [column: string]: unknown };

/** The rows of one row group. */
export interface ParquetGroup {
  /** Number of the first row, counted from 0. */
  readonly start: number;
  readonly rows: readonly ParquetRow[];
}

/** What to read. */
export interface ParquetOptions {
  /** Names of top-level columns; default all. */
  readonly columns?: readonly string[];
  /** Turns the bytes of a text into a string; default: strict UTF-8 (`bad-utf8`). */
  readonly text?: (bytes: Uint8Array, where: string) => string;
  /** Largest row group, unpacked; default 2 GiB. */
  readonly maxGroupBytes?: number;
}

/**
 * Reads a Parquet file row group by row group; memory holds one of them.
 *
 * Errors: `FormatError` with code `unreadable`, `bad-parquet` (damaged, or an encoding that is not known),
 * `no-such-column`, `too-large`, `bad-utf8`. Source: parquet.apache.org, by `hyparquet`, which trusts counts inside pages:
 * a file that was damaged on purpose can keep it busy for long. Read Parquet of people you know.
 *
 * @example no-run
 * for await (const { rows } of readParquet("corpus.parquet", { columns: ["text"] })) rows.length;
 */
export async function* readParquet(path: string, options: ParquetOptions = {}): AsyncGenerator<ParquetGroup> {
  const source = await openFile(path);
  try {
    yield* readParquetSource(source, options);
  } finally {
    await source.close();
  }
}

/** As `readParquet`, from bytes in memory or anything else that is read by position. */
export async function* readParquetSource(
  source: ByteSource,
  options: ParquetOptions = {},
): AsyncGenerator<ParquetGroup> {
  const { where, size } = source;
  const { text = (bytes) => decodeUtf8(where, bytes), maxGroupBytes = 2 ** 31 } = options;
  if (size < 12) throw new FormatError(where, "bad-parquet", `a Parquet file has 12 bytes at least: received ${size}`);
  const file = {
    byteLength: size,
    async slice(start: number, end: number = size): Promise<ArrayBuffer> {
      // Offsets come from the file: they are checked before memory is asked for.
      if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= size)) {
        throw new FormatError(where, "bad-parquet", `bytes ${start} to ${end} are not in a file of ${size}`);
      }
      const bytes = new Uint8Array(end - start);
      await source.readInto(bytes, start);
      return bytes.buffer;
    },
  };
  const metadata = await guarded(where, () => parquetMetadataAsync(file));
  const names = await guarded(where, () => parquetSchema(metadata).children.map(({ element }) => element.name));
  for (const column of options.columns ?? []) {
    if (names.includes(column)) continue;
    throw new FormatError(where, "no-such-column", `there is no column \`${column}\``, {
      hint: `columns: ${names.join(", ")}`,
    });
  }
  const columns = [...(options.columns ?? names)];
  let start = 0;
  for (const group of metadata.row_groups) {
    const count = Number(group.num_rows);
    const bytes = Number(group.total_byte_size);
    if (!Number.isSafeInteger(count) || count < 0)
      throw new FormatError(where, "bad-parquet", `a row group states ${count} rows`);
    if (!(bytes <= maxGroupBytes) || count > 2 ** 31)
      throw new FormatError(where, "too-large", `a row group of ${bytes} bytes and ${count} rows is above the limit`);
    const rows = await guarded(where, () =>
      parquetReadObjects({
        file,
        metadata,
        columns,
        compressors,
        rowStart: start,
        rowEnd: start + count,
        parsers: { stringFromBytes: (value: Uint8Array | undefined) => value && text(value, where) },
      }),
    );
    if (rows.length !== count)
      throw new FormatError(where, "bad-parquet", `a row group states ${count} rows and holds ${rows.length}`);
    yield { start, rows };
    start += count;
  }
}

// The library throws errors of many kinds (ranges, types, its own): to its callers the file is what is wrong.
async function guarded<T>(where: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (cause instanceof ChainruleError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(where, "bad-parquet", `the file cannot be read: ${reason}`, { cause });
  }
}
