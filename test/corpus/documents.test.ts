// documents(): text, JSON Lines and Parquet, plain and packed, cut anywhere, damaged anywhere.
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../src/engine/core/index.ts";
import {
  documentCounts,
  documents,
  expandPaths,
  firstInvalidByte,
  shakespeare,
  Utf8Decoder,
  type DocumentOptions,
} from "../../src/data/datasets/index.ts";
import { all, inFolder } from "./corpora.ts";

/** What is left of a document without its path; fields without a value are left out. */
const NO_SOURCE: { text: string; line?: number; meta?: object } = { text: "" };

async function read(folder: string, name: string, content: Uint8Array | string, options: DocumentOptions = {}) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return (await all(documents(path, options))).map(
    ({ text, line, meta }) => JSON.parse(JSON.stringify({ text, line, meta })) as typeof NO_SOURCE,
  );
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(FormatError);
  return `${(error as FormatError).where.split("/").at(-1)} ${(error as FormatError).code}`;
}

describe("UTF-8", () => {
  it("is decoded the same however it is cut, and replaced as a TextDecoder does", () => {
    const bytes = fc.oneof(
      fc.string({ unit: "binary" }).map((text) => new Uint8Array(Buffer.from(text))),
      fc.uint8Array({ maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), (chunks) => {
        const whole = Buffer.concat(chunks);
        const decoder = new Utf8Decoder("test", "replace");
        const text = chunks.map((chunk) => decoder.push(chunk)).join("") + decoder.end();
        expect(text).toBe(new TextDecoder().decode(whole));
        let valid = true;
        try {
          new TextDecoder("utf-8", { fatal: true }).decode(whole);
        } catch {
          valid = false;
        }
        expect(decoder.replaced > 0).toBe(!valid);
        expect(firstInvalidByte(whole) === whole.length).toBe(valid);
      }),
      { numRuns: 500 },
    );
  });

  it("names the first byte that is wrong", async () => {
    await inFolder(async (folder) => {
      const bytes = Buffer.concat([Buffer.from("水".repeat(200_000)), Buffer.from([0xff]), Buffer.from("end")]);
      await expect(read(folder, "a.txt", bytes)).rejects.toThrow(/a\.txt: byte 600000 is not UTF-8/);
      await expect(read(folder, "b.txt", Buffer.from([0x61, 0xe6, 0xb0]))).rejects.toThrow(/byte 1 is not UTF-8/);
      const counts = documentCounts();
      const [document] = await read(folder, "c.txt", bytes, { invalidUtf8: "replace", counts });
      expect(document!.text.endsWith("水\uFFFDend")).toBe(true);
      expect(counts.replaced).toBe(1);
    });
  });
});

describe("text files", () => {
  it("are one document, without a byte order mark", async () => {
    await inFolder(async (folder) => {
      expect(await read(folder, "a.txt", "\uFEFFone\n\ntwo\n")).toEqual([{ text: "one\n\ntwo\n" }]);
      expect(await read(folder, "a.txt.gz", gzipSync("packed"))).toEqual([{ text: "packed" }]);
    });
  });

  it("are split as String.split does it, with lines", async () => {
    const separator = fc.constantFrom("<|endoftext|>", "\n\n", "aa", "a");
    const parts = fc.array(fc.constantFrom("a", "\n", "<|endo", "ftext|>", "<|endoftext|>", "水"), { maxLength: 30 });
    await inFolder(async (folder) => {
      await fc.assert(
        fc.asyncProperty(parts, separator, async (list, at) => {
          const text = list.join("");
          const found = await read(folder, "a.txt", text, { separator: at });
          expect(found.map((one) => one.text)).toEqual(text.split(at).filter((piece) => piece !== ""));
          for (const { text: piece, line } of found) {
            expect(
              text
                .split("\n")
                .slice(line! - 1)
                .join("\n"),
            ).toContain(piece);
          }
        }),
      );
    });
  });

  it("are split across the pieces they are read in", async () => {
    await inFolder(async (folder) => {
      const texts = Array.from({ length: 300 }, (_, i) => `${i} `.repeat(700 + i));
      expect(await read(folder, "a.txt", texts.join("<|endoftext|>"), { separator: "<|endoftext|>" })).toEqual(
        texts.map((text) => ({ text, line: 1 })),
      );
    });
  });

  it("are split at blank lines", async () => {
    await inFolder(async (folder) => {
      const text = "\n \none\ntwo\n\nthree\n\n\n\t\nfour\n\nfive";
      const once = [
        { text: "one\ntwo", line: 3 },
        { text: "three", line: 6 },
        { text: "four", line: 10 },
        { text: "five", line: 12 },
      ];
      expect(await read(folder, "a.txt", text, { separator: { blankLines: 1 } })).toEqual(once);
      expect(await read(folder, "a.txt", text, { separator: { blankLines: 2 } })).toEqual([
        { text: "one\ntwo\n\nthree", line: 3 },
        { text: "four\n\nfive", line: 10 },
      ]);
    });
  });

  it("have a limit, which names the line", async () => {
    await inFolder(async (folder) => {
      const long = read(folder, "a.txt", "short;" + "x".repeat(100), { separator: ";", maxLength: 50 });
      expect(await codeOf(long)).toBe("a.txt:1 document-too-long");
    });
  });
});

describe("JSON Lines", () => {
  const rows = '{"text":"one","id":1}\n{"text":2}\nno json\n{"words":"three"}\n{"text":"four","id":4}\n';
  it("give the field, other fields where asked, and the line", async () => {
    await inFolder(async (folder) => {
      const good = rows.split("\n").slice(0, 1).join("\n");
      expect(await read(folder, "a.jsonl", good)).toEqual([{ text: "one", line: 1 }]);
      expect(await read(folder, "a.ndjson.gz", gzipSync(good), { meta: ["id", "no"] })).toEqual([
        { text: "one", line: 1, meta: { id: 1 } },
      ]);
    });
  });

  it("refuse bad rows with file and line, or count them", async () => {
    await inFolder(async (folder) => {
      expect(await codeOf(read(folder, "a.jsonl", rows))).toBe("a.jsonl:2 bad-row");
      expect(await codeOf(read(folder, "a.jsonl", rows, { field: "words" }))).toBe("a.jsonl:1 bad-row");
      expect(await codeOf(read(folder, "b.jsonl", '{"text":"a"}\n\n'))).toBe("b.jsonl:2 syntax");
      expect(await codeOf(read(folder, "c.jsonl", '{"text":"a","text":"b"}'))).toBe("c.jsonl:1 duplicate-key");
      expect(await codeOf(read(folder, "d.jsonl", Buffer.from('{"text":"\xff"}', "latin1")))).toBe(
        "d.jsonl:1 bad-utf8",
      );
      const counts = documentCounts();
      const found = await read(folder, "a.jsonl", rows, { skipBad: true, counts });
      expect(found.map(({ line }) => line)).toEqual([1, 5]);
      expect(counts).toMatchObject({ badRows: 3, documents: 2, files: 1, readBytes: rows.length });
      expect(counts.badSamples[0]).toMatch(/a\.jsonl:2: the field `text` is a text: received a number$/);
    });
  });

  it("are refused where the gzip stream is damaged or cut short", async () => {
    await inFolder(async (folder) => {
      const packed = gzipSync(rows.repeat(1000));
      expect(await codeOf(read(folder, "a.jsonl.gz", packed.subarray(0, packed.length / 2), { skipBad: true }))).toBe(
        "a.jsonl.gz bad-gzip",
      );
      expect(await codeOf(read(folder, "b.jsonl.gz", "plain text"))).toBe("b.jsonl.gz bad-gzip");
    });
  });
});

describe("Parquet", () => {
  const texts = Array.from({ length: 250 }, (_, i) => `row ${i} 水 𝄞`);
  const table = (data: unknown[] = texts): Uint8Array =>
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: "text", data: data as string[], type: "STRING" },
          { name: "id", data: data.map((_, i) => i), type: "INT32" },
        ],
        rowGroupSize: 100,
      }),
    );

  it("gives the column of all row groups, plain and packed", async () => {
    await inFolder(async (folder) => {
      const expected = texts.map((text, i) => ({ text, line: i + 1, meta: { id: i } }));
      expect(await read(folder, "a.parquet", table(), { meta: ["id"] })).toEqual(expected);
      expect(await read(folder, "a.parquet.gz", gzipSync(table()), { meta: ["id"] })).toEqual(expected);
    });
  });

  it("refuses rows without a text, columns that are not there, and damage", async () => {
    await inFolder(async (folder) => {
      const holes = texts.map((text, i) => (i === 120 ? null : text));
      expect(await codeOf(read(folder, "a.parquet", table(holes)))).toBe("a.parquet:121 bad-row");
      const counts = documentCounts();
      expect(await read(folder, "a.parquet", table(holes), { skipBad: true, counts })).toHaveLength(249);
      expect(counts.badRows).toBe(1);
      expect(await codeOf(read(folder, "a.parquet", table(), { field: "body" }))).toBe("a.parquet no-such-column");
      expect(await codeOf(read(folder, "b.parquet", "PAR1"))).toBe("b.parquet bad-parquet");
      expect(await codeOf(read(folder, "c.parquet", "no parquet at all"))).toBe("c.parquet bad-parquet");
      writeFileSync(join(folder, "d.parquet"), table());
      truncateSync(join(folder, "d.parquet"), 500);
      expect(await codeOf(all(documents(join(folder, "d.parquet"))))).toBe("d.parquet bad-parquet");
    });
  });
});

describe("paths", () => {
  it("are files, folders and patterns in a fixed order; nothing is passed over silently", async () => {
    await inFolder(async (folder) => {
      mkdirSync(join(folder, "sub"));
      for (const name of ["b.txt", "a.txt", "sub/c.md", "sub/d.bin", ".hidden.txt", "B.jsonl.gz"])
        writeFileSync(join(folder, name), "x");
      symlinkSync(folder, join(folder, "loop"));
      const names = async (...paths: string[]): Promise<[string[], string[]]> => {
        const { files, ignored } = await expandPaths(paths.map((path) => join(folder, path)));
        const short = (list: readonly string[]): string[] => list.map((path) => path.slice(folder.length + 1));
        return [short(files), short(ignored)];
      };
      expect(await names(".")).toEqual([
        ["B.jsonl.gz", "a.txt", "b.txt", "sub/c.md"],
        [".hidden.txt", "loop", "sub/d.bin"],
      ]);
      expect((await names("b.txt", "."))[0]).toEqual(["b.txt", "B.jsonl.gz", "a.txt", "sub/c.md"]);
      expect((await names("*.txt"))[0]).toEqual(["a.txt", "b.txt"]);
      expect((await names("**/*.{txt,md}"))[0]).toEqual(["a.txt", "b.txt", "sub/c.md"]);
      expect((await names("[!b].txt"))[0]).toEqual(["a.txt"]);
      expect((await names("?.txt"))[0]).toEqual(["a.txt", "b.txt"]);
      await expect(names("no.txt")).rejects.toMatchObject({ code: "unreadable" });
      await expect(names("*.none")).rejects.toThrow(/no file of a known kind/);
    });
  });

  it("of files that would be read as what they are not are refused", async () => {
    await inFolder(async (folder) => {
      expect(await codeOf(read(folder, "a.json", "{}"))).toBe("a.json unknown-format");
      expect(await read(folder, "a.json", "{}", { format: "text" })).toEqual([{ text: "{}" }]);
      expect(await read(folder, "notes", "plain")).toEqual([{ text: "plain" }]);
    });
  });
});

describe("Shakespeare", () => {
  it("ships with the package, in two parts that make the whole", async () => {
    const { train, validation } = await shakespeare();
    expect(train.startsWith("First Citizen:\nBefore we proceed")).toBe(true);
    expect([train.length, validation.length]).toEqual([1_003_854, 111_540]);
    expect(new Set(train + validation).size).toBe(65);
    expect(readFileSync(new URL("../../data/tinyshakespeare.txt.gz", import.meta.url)).length).toBeLessThan(450_000);
  });
});
