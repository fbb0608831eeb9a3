// CSV (RFC 4180, by csv-parse): typed columns, an explicit rule for missing values, errors with line numbers.
import { parse, type Info } from "csv-parse/sync";
import { ArgumentError, FormatError, HostArray } from "../../engine/core/index.ts";
import { decodeUtf8, type DecodeOptions } from "./bytes.ts";
import { readBytes, writeFileAtomic } from "./files.ts";

/** What a column becomes; `skip` leaves it out on purpose. */
export type ColumnKind = "float32" | "float64" | "int32" | "bool" | "category" | "text" | "skip";

/** One column: an array of numbers, codes with their categories, or texts. */
export type Column =
  | { readonly kind: "float32" | "float64" | "int32" | "bool"; readonly data: HostArray }
  | { readonly kind: "category"; readonly data: HostArray<"int32">; readonly categories: readonly string[] }
  | { readonly kind: "text"; readonly texts: readonly string[] };

/** The columns of a file by name, in the file's order. */
export interface Table {
  readonly rows: number;
  readonly columns: ReadonlyMap<string, Column>;
  /** Rows left out because a value was missing (only with `onMissing: "drop"`). */
  readonly dropped: number;
}

/** How to read a CSV file. */
export interface CsvOptions extends DecodeOptions {
  /**
   * Kind of each column by name; every column of the file must be listed. Without it a column is `float64` where every
   * present value is a number, else `text`.
   */
  readonly columns?: { readonly [name: string]: ColumnKind };
  /** True (default): names stand in the first line. A list: the names, and the first line is data. */
  readonly header?: true | readonly string[];
  /** Default `,`. */
  readonly delimiter?: string;
  /** Cells (trimmed) that mean "no value"; default: the empty cell only. */
  readonly missing?: readonly string[];
  /** A row with a missing number, category or bool: an error (default), left out and counted, or NaN (floats only). */
  readonly onMissing?: "error" | "drop" | "nan";
}

/** Reads a CSV file; errors as of `decodeCsv`. */
export async function readCsv(path: string, options: CsvOptions = {}): Promise<Table> {
  return decodeCsv(await readBytes(path), { where: path, ...options });
}

/**
 * Decodes CSV text (UTF-8, byte order mark allowed) into typed columns.
 *
 * Categories are numbered in the order of their sorted names. Errors: `FormatError` with code `bad-utf8`, `quote`,
 * `row-length`, `blank-line`, `empty`, `no-rows`, `duplicate-column`, `empty-name`, `unlisted-column`, `missing-column`, `bad-number`,
 * `bad-integer`, `bad-bool`, `missing-value`, `bad-csv`; each names line and column.
 *
 * @example
 * const table = decodeCsv("age,city\n31,Bern\n", { columns: { age: "float32", city: "category" } });
 */
export function decodeCsv(source: Uint8Array | string, options: CsvOptions = {}): Table {
  const where = options.where ?? "csv";
  const text = (typeof source === "string" ? source : decodeUtf8(where, source)).replace(/^\uFEFF/, "");
  const records = parseRecords(where, text, options.delimiter ?? ",");
  const names = options.header === undefined || options.header === true ? records.shift()?.cells : options.header;
  if (names === undefined) throw new FormatError(where, "empty", "the file has not even a header line");
  if (records.length === 0) throw new FormatError(where, "no-rows", "the file has a header but no rows");
  checkNames(where, names);
  for (const { cells, line } of records) {
    if (cells.length !== names.length) {
      if (cells.length === 1 && cells[0] === "") throw new FormatError(where, "blank-line", `line ${line} is empty`);
      const problem = `line ${line} has ${cells.length} cells, the header names ${names.length} columns`;
      throw new FormatError(where, "row-length", problem, { hint: "is a comma inside a value not quoted?" });
    }
  }
  const missing = new Set((options.missing ?? [""]).map((cell) => cell.trim()));
  const kinds = options.columns ?? inferKinds(names, records, missing);
  checkKinds(where, names, kinds);
  const rule: Rule = { where, names, kinds, missing, onMissing: options.onMissing ?? "error" };
  const kept = rule.onMissing === "drop" ? records.filter((record) => isComplete(record, rule)) : records;
  const columns = new Map<string, Column>();
  names.forEach((name, i) => {
    if (kinds[name] !== "skip") columns.set(name, readColumn(rule, kept, i));
  });
  return { rows: kept.length, columns, dropped: records.length - kept.length };
}

/** Numeric columns side by side as float32 [rows, names]; a column that is not numeric is an ArgumentError. */
export function tableToArray(table: Table, names: readonly string[]): HostArray<"float32"> {
  const out = new HostArray("float32", [table.rows, names.length]);
  names.forEach((name, i) => {
    const column = table.columns.get(name);
    if (column === undefined || column.kind === "text" || column.kind === "category") {
      const what = column === undefined ? "there is no such column" : `it holds ${column.kind}`;
      throw new ArgumentError("tableToArray", `column \`${name}\` is not numeric: ${what}`);
    }
    for (let row = 0; row < table.rows; row++) out.data[row * names.length + i] = column.data.get(row);
  });
  return out;
}

/** Encodes rows as CSV: `\n` between lines, quotes where a cell needs them; NaN and null become empty cells. */
export function encodeCsv(
  names: readonly string[],
  rows: readonly (readonly (string | number | boolean | null)[])[],
): string {
  const lines = [names, ...rows].map((row, i) => {
    if (row.length !== names.length) {
      throw new ArgumentError("encodeCsv", `row ${i - 1} has ${row.length} cells: expected ${names.length}`);
    }
    const line = row.map(encodeCell).join(",");
    return line === "" ? '""' : line; // a line with one empty cell is not an empty line
  });
  return `${lines.join("\n")}\n`;
}

/** Writes a CSV file, atomically and durably. */
export async function writeCsv(
  path: string,
  names: readonly string[],
  rows: readonly (readonly (string | number | boolean | null)[])[],
): Promise<void> {
  await writeFileAtomic(path, encodeCsv(names, rows));
}

interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

interface Rule {
  readonly where: string;
  readonly names: readonly string[];
  readonly kinds: { readonly [name: string]: ColumnKind };
  readonly missing: ReadonlySet<string>;
  readonly onMissing: "error" | "drop" | "nan";
}

function parseRecords(where: string, text: string, delimiter: string): Row[] {
  try {
    const options = { delimiter, info: true, relax_column_count: true, skip_empty_lines: false } as const;
    const records = parse(text, options) as unknown as { record: string[]; info: Info }[];
    return records.map(({ record, info }) => ({ cells: record, line: info.lines }));
  } catch (cause) {
    const { code = "", message } = cause as { code?: string; message: string };
    const kind = code.includes("QUOTE") ? "quote" : "bad-csv";
    throw new FormatError(where, kind, message, { cause });
  }
}

function checkNames(where: string, names: readonly string[]): void {
  names.forEach((name, i) => {
    if (name.trim() === "") throw new FormatError(where, "empty-name", `column ${i + 1} has no name`);
    if (names.indexOf(name) !== i)
      throw new FormatError(where, "duplicate-column", `two columns are called \`${name}\``);
  });
}

function checkKinds(where: string, names: readonly string[], kinds: Rule["kinds"]): void {
  for (const name of names) {
    if (!Object.hasOwn(kinds, name)) {
      const hint = `give its kind, or "skip" to leave it out`;
      throw new FormatError(where, "unlisted-column", `column \`${name}\` is not listed in \`columns\``, { hint });
    }
  }
  for (const name of Object.keys(kinds)) {
    if (!names.includes(name)) {
      throw new FormatError(
        where,
        "missing-column",
        `there is no column \`${name}\`: the file has ${names.join(", ")}`,
      );
    }
  }
}

function inferKinds(names: readonly string[], rows: readonly Row[], missing: ReadonlySet<string>): Rule["kinds"] {
  const kinds = names.map((name, i): [string, ColumnKind] => {
    const present = rows.map((row) => row.cells[i]!.trim()).filter((cell) => !missing.has(cell));
    return [name, present.length > 0 && present.every((cell) => NUMBER.test(cell)) ? "float64" : "text"];
  });
  return Object.fromEntries(kinds);
}

function isComplete(row: Row, rule: Rule): boolean {
  return rule.names.every((name, i) => {
    const kind = rule.kinds[name]!;
    return kind === "skip" || kind === "text" || !rule.missing.has(row.cells[i]!.trim());
  });
}

function readColumn(rule: Rule, rows: readonly Row[], index: number): Column {
  const name = rule.names[index]!;
  const kind = rule.kinds[name] as Exclude<ColumnKind, "skip">;
  if (kind === "text") return { kind, texts: rows.map((row) => row.cells[index]!) };
  const cells = rows.map((row) => row.cells[index]!.trim());
  if (kind === "category") {
    cells.forEach((cell, i) => {
      if (rule.missing.has(cell)) throw cellError(rule, rows[i]!, index, "missing-value", "the value is missing");
    });
    const categories = [...new Set(cells)].sort();
    const codes = new Map(categories.map((category, code) => [category, code]));
    return {
      kind,
      categories,
      data: HostArray.of(Int32Array.from(cells, (cell) => codes.get(cell)!)) as HostArray<"int32">,
    };
  }
  const data = new HostArray(kind, [rows.length]);
  cells.forEach((cell, i) => data.set(i, readNumber(rule, rows[i]!, { index, kind, cell })));
  return { kind, data };
}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;
const BOOLS: ReadonlyMap<string, number> = new Map([
  ["true", 1],
  ["1", 1],
  ["false", 0],
  ["0", 0],
]);

function readNumber(rule: Rule, row: Row, at: { index: number; kind: ColumnKind; cell: string }): number {
  const { index, kind, cell } = at;
  const isFloat = kind === "float32" || kind === "float64";
  if (rule.missing.has(cell)) {
    if (isFloat && rule.onMissing === "nan") return NaN;
    throw cellError(rule, row, index, "missing-value", "the value is missing");
  }
  if (kind === "bool") {
    const value = BOOLS.get(cell.toLowerCase());
    if (value === undefined) throw cellError(rule, row, index, "bad-bool", `not true, false, 1 or 0: ${show(cell)}`);
    return value;
  }
  const value = NUMBER.test(cell) ? Number(cell) : NaN;
  if (!Number.isFinite(kind === "float32" ? Math.fround(value) : value)) {
    throw cellError(rule, row, index, "bad-number", `not a number in the range of ${kind}: ${show(cell)}`);
  }
  if (kind === "int32" && !(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31)) {
    throw cellError(rule, row, index, "bad-integer", `not a whole number of 32 bits: ${show(cell)}`);
  }
  return value;
}

function cellError(rule: Rule, row: Row, index: number, code: string, problem: string): FormatError {
  const hint =
    code === "missing-value"
      ? 'say what to do: onMissing: "drop", or "nan" for floats'
      : "is it another kind of column?";
  return new FormatError(rule.where, code, `line ${row.line}, column \`${rule.names[index]!}\`: ${problem}`, { hint });
}

function encodeCell(cell: string | number | boolean | null): string {
  if (cell === null || Number.isNaN(cell)) return "";
  const text = String(cell);
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function show(cell: string): string {
  return JSON.stringify(cell.slice(0, 40));
}
