// The strict JSON scanner against JSON.parse, and JSON Lines with their line numbers.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError } from "../../engine/core/index.ts";
import { parseJson, scanJson, type JsonValue } from "./json.ts";
import { decodeJsonl, encodeJsonl, readJsonl, writeJsonl } from "./jsonl.ts";

const folder = await mkdtemp(join(tmpdir(), "jsonl-"));
const json = fc.jsonValue({
  maxDepth: 5,
  stringUnit: "grapheme",
  noUnicodeString: false,
} as never) as fc.Arbitrary<JsonValue>;
const hasProto = (value: JsonValue): boolean => JSON.stringify(value).includes('"__proto__":');

async function collect(path: string, options: Parameters<typeof readJsonl>[1] = {}): Promise<JsonValue[]> {
  const out: JsonValue[] = [];
  for await (const { line, value } of readJsonl(path, options)) {
    expect(line).toBe(out.length + 1);
    out.push(value);
  }
  return out;
}

describe("parseJson", () => {
  it("agrees with JSON.parse on all JSON", () => {
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 2, "\t"), (value, indent) => {
        fc.pre(!hasProto(value));
        const text = JSON.stringify(value, null, indent);
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
      { seed: 5, numRuns: 500 },
    );
  });
  it("takes what JSON.parse takes and nothing else, apart from its own rules", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"a"',
      '"',
      "1",
      "-",
      ".",
      "e",
      "0",
      "true",
      "nul",
      "null",
      " ",
      "\\",
      "\n",
    );
    const own = ["duplicate-key", "unsafe-integer", "number-range"];
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
        const text = parts.join("");
        const verdict = (parse: () => unknown): string => {
          try {
            return JSON.stringify(parse());
          } catch (error) {
            return own.includes((error as { code?: string }).code ?? "") ? "own" : "refused";
          }
        };
        const ours = verdict(() => parseJson(text));
        if (ours !== "own") expect(ours, text).toBe(verdict(() => JSON.parse(text)));
      }),
      { seed: 6, numRuns: 5000 },
    );
  });
  it("keeps special keys as plain keys in Maps", () => {
    const map = scanJson('{"__proto__": {"dtype": "F32"}, "constructor": 1}') as Map<string, unknown>;
    expect([...map.keys()]).toEqual(["__proto__", "constructor"]);
    expect(parseJson('{"constructor": 1}')).toEqual({ constructor: 1 });
  });
  it("takes large whole numbers only if no digit is lost", () => {
    expect(parseJson("[9007199254740993e0, -74914030911419960000, 1e300]")).toEqual([
      2 ** 53,
      -74914030911419960000,
      1e300,
    ]);
    for (const text of ["9007199254740993", "-18446744073709551615"]) {
      expect(() => parseJson(text)).toThrow(expect.objectContaining({ code: "unsafe-integer" }) as Error);
    }
  });
  it("counts depth", () => {
    expect(parseJson("[[[]]]", { maxDepth: 3 })).toEqual([[[]]]);
    expect(() => parseJson("[[[]]]", { maxDepth: 2 })).toThrow(expect.objectContaining({ code: "too-deep" }) as Error);
    expect(() => parseJson("[".repeat(200_000))).toThrow(expect.objectContaining({ code: "too-deep" }) as Error);
  });
});

describe("JSON Lines", () => {
  it("keep any values through a file, however the chunks fall", async () => {
    const path = join(folder, "values.jsonl");
    const values = fc.sample(json, { seed: 7, numRuns: 3000 }).filter((value) => !hasProto(value));
    await writeJsonl(path, values);
    expect(await collect(path)).toEqual(JSON.parse(JSON.stringify(values)));
    expect(decodeJsonl(encodeJsonl(values))).toEqual(JSON.parse(JSON.stringify(values)));
  });
  it("may lack the last newline, use CRLF, begin with a byte order mark, be empty", async () => {
    const path = join(folder, "odd.jsonl");
    await writeFile(path, '\uFEFF{"a":1}\r\n2');
    expect(await collect(path)).toEqual([{ a: 1 }, 2]);
    expect(decodeJsonl("")).toEqual([]);
  });
  it("name the line of an error", async () => {
    const path = join(folder, "bad.jsonl");
    await writeFile(path, '{"a":1}\n{"a":2}\n{"a":}\n');
    await expect(collect(path)).rejects.toMatchObject({ code: "syntax", where: `${path}:3` });
    await expect(collect(join(folder, "none"))).rejects.toMatchObject({ code: "unreadable" });
  });
  it("stop at lines that are too long", async () => {
    const path = join(folder, "long.jsonl");
    await writeFile(path, `1\n"${"x".repeat(600_000)}"\n`);
    await expect(collect(path, { maxLineBytes: 500_000 })).rejects.toMatchObject({
      code: "line-too-long",
      where: `${path}:2`,
    });
    expect(await collect(path)).toHaveLength(2);
  });
  it("refuse to write what JSON cannot hold", () => {
    expect(() => encodeJsonl([1, { a: [NaN] }])).toThrow(/NaN \(value 2\.a\.0\)/);
    expect(() => encodeJsonl([undefined as never])).toThrow(ArgumentError);
  });
});
