// CSV: typed columns, missing values by rule, quoting, and messages that name line and column.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, FormatError, type HostArray } from "../../engine/core/index.ts";
import { decodeCsv, encodeCsv, readCsv, tableToArray, writeCsv, type Table } from "./csv.ts";

const TEXT = 'age,city,ok,id,note\n31,Bern,true,1,"a, ""b"""\n,Aarau,false,2,\n40.5,Bern,1,-3,x\n';
const KINDS = { age: "float32", city: "category", ok: "bool", id: "int32", note: "text" } as const;

const numbers = (table: Table, name: string): number[] =>
  (table.columns.get(name) as { data: HostArray }).data.toFlat();

describe("typed columns", () => {
  const table = decodeCsv(TEXT, { columns: KINDS, onMissing: "nan" });
  it("hold numbers, codes, bools and texts", () => {
    expect(table.rows).toBe(3);
    expect(numbers(table, "age")).toEqual([31, NaN, 40.5]);
    expect(table.columns.get("city")).toMatchObject({ kind: "category", categories: ["Aarau", "Bern"] });
    expect(numbers(table, "city")).toEqual([1, 0, 1]);
    expect(numbers(table, "ok")).toEqual([1, 0, 1]);
    expect(numbers(table, "id")).toEqual([1, 2, -3]);
    expect(table.columns.get("note")).toEqual({ kind: "text", texts: ['a, "b"', "", "x"] });
  });
  it("stack into an array", () => {
    expect(tableToArray(table, ["id", "age"]).toNested()).toEqual([
      [1, 31],
      [2, NaN],
      [-3, 40.5],
    ]);
    expect(() => tableToArray(table, ["city"])).toThrow(ArgumentError);
    expect(() => tableToArray(table, ["none"])).toThrow(ArgumentError);
  });
  it("are inferred as float64 or text", () => {
    const inferred = decodeCsv("a,b,c\n1,x,\n2.5,3,\n");
    expect([...inferred.columns.values()].map((column) => column.kind)).toEqual(["float64", "text", "text"]);
  });
  it("can be left out by name only", () => {
    const some = decodeCsv(TEXT, { columns: { ...KINDS, age: "skip", note: "skip" } });
    expect([...some.columns.keys()]).toEqual(["city", "ok", "id"]);
  });
});

describe("missing values", () => {
  it("are an error by default, with line and column", () => {
    expect(() => decodeCsv(TEXT, { columns: KINDS })).toThrow(/line 3, column `age`: the value is missing\nhint/);
  });
  it("drop the row and are counted", () => {
    const table = decodeCsv(TEXT, { columns: KINDS, onMissing: "drop" });
    expect([table.rows, table.dropped]).toEqual([2, 1]);
    expect(numbers(table, "id")).toEqual([1, -3]);
  });
  it("are what the caller says they are", () => {
    const options = { columns: { x: "float64" }, missing: ["NA", "?"], onMissing: "nan" } as const;
    expect(numbers(decodeCsv("x\n1\nNA\n ? \n", options), "x")).toEqual([1, NaN, NaN]);
    expect(() => decodeCsv("x\n1\nnan\n", options)).toThrow(expect.objectContaining({ code: "bad-number" }) as Error);
  });
});

describe("text", () => {
  it("keeps any cell through writing and reading", async () => {
    const cell = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r", " ", "é", "\uFEFF") });
    const rows = fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(rows, (given) => {
        const table = decodeCsv(encodeCsv(["a", "b"], given), { columns: { a: "text", b: "text" } });
        const [a, b] = ["a", "b"].map((name) => table.columns.get(name) as { texts: readonly string[] });
        expect(given.map((_, i) => [a!.texts[i], b!.texts[i]])).toEqual(given);
      }),
      { seed: 4, numRuns: 300 },
    );
    const path = join(await mkdtemp(join(tmpdir(), "csv-")), "x.csv");
    await writeCsv(
      path,
      ["x", "y"],
      [
        [1.5, true],
        [NaN, null],
      ],
    );
    const table = await readCsv(path, { columns: { x: "float32", y: "text" }, onMissing: "nan" });
    expect(numbers(table, "x")).toEqual([1.5, NaN]);
  });
  it("keeps a single column with an empty cell", () => {
    const table = decodeCsv(encodeCsv(["a"], [["x"], [""], [" "]]), { columns: { a: "text" } });
    expect(table.columns.get("a")).toEqual({ kind: "text", texts: ["x", "", " "] });
  });
  it("may begin with a byte order mark, end without a newline, use CRLF and another delimiter", () => {
    expect(numbers(decodeCsv("\uFEFFx;y\r\n1;2\r\n3;4", { delimiter: ";" }), "y")).toEqual([2, 4]);
  });
  it("may come without a header", () => {
    expect(numbers(decodeCsv("1,2\n3,4\n", { header: ["a", "b"] }), "b")).toEqual([2, 4]);
  });
  it("counts lines inside quotes", () => {
    const text = 'a,b\n"x\ny",1\nz,oops\n';
    const error = expect.objectContaining({ code: "bad-number", problem: expect.stringContaining("line 4") as string });
    expect(() => decodeCsv(text, { columns: { a: "text", b: "int32" } })).toThrow(error as Error);
    expect(() => encodeCsv(["a"], [[1, 2]])).toThrow(ArgumentError);
    expect(() => decodeCsv("")).toThrow(FormatError);
  });
});
