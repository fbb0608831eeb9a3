// safetensors: what goes in comes out, the same bytes every time, one tensor at a time, and at each limit.
import { mkdtemp, readFile, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, HostArray, type FormatError } from "../../engine/core/index.ts";
import { hostArrays } from "../../../test/formats/arbitrary.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
  readSafetensors,
  SAFETENSORS_LIMITS,
  writeSafetensors,
} from "./safetensors.ts";

const folder = await mkdtemp(join(tmpdir(), "safetensors-"));
const wellFormed = fc.string({ unit: "grapheme", maxLength: 12 }).filter((name) => name !== "__metadata__");

describe("round trip", () => {
  it("keeps names, metadata, dtypes, shapes and every bit", () => {
    const tensors = fc.array(fc.tuple(wellFormed, hostArrays()), { maxLength: 6 });
    const metadata = fc.array(fc.tuple(wellFormed, wellFormed), { maxLength: 4 });
    fc.assert(
      fc.property(tensors, metadata, (pairs, texts) => {
        const given = new Map(pairs);
        const bytes = encodeSafetensors(given, { metadata: new Map(texts) });
        const back = decodeSafetensors(bytes);
        expect(new Set(back.tensors.keys())).toEqual(new Set(given.keys()));
        for (const [name, array] of given) expect(back.tensors.get(name)!.equals(array)).toBe(true);
        expect(new Map(back.metadata)).toEqual(new Map(texts));
        expect(Buffer.from(encodeSafetensors(back.tensors, back))).toEqual(Buffer.from(bytes));
        expect(8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))).toSatisfy((n: number) => n % 8 === 0);
      }),
      { seed: 1, numRuns: 150 },
    );
  });

  it("does not depend on the order of insertion", () => {
    const a = HostArray.from([1, 2]);
    const b = HostArray.from([3], "int32");
    expect(encodeSafetensors({ a, b })).toEqual(encodeSafetensors({ b, a }));
  });

  it("takes names that are special in JavaScript", () => {
    const names = ["__proto__", "constructor", "toString", ""];
    const tensors = new Map(names.map((name, i) => [name, HostArray.from([i])]));
    const back = decodeSafetensors(encodeSafetensors(tensors, { metadata: new Map([["__proto__", "x"]]) }));
    expect([...back.tensors.keys()].sort()).toEqual([...names].sort());
    expect(back.tensors.get("__proto__")!.get(0)).toBe(0);
    expect(back.metadata.get("__proto__")).toBe("x");
  });

  it("refuses to write what no reader takes", () => {
    const x = HostArray.from([1]);
    expect(() => encodeSafetensors({ __metadata__: x })).toThrow(ArgumentError);
    expect(() => encodeSafetensors({ "\ud800": x })).toThrow(ArgumentError);
    expect(() => encodeSafetensors({ ["n".repeat(1025)]: x })).toThrow(ArgumentError);
  });
});

describe("files", () => {
  it("are written whole and read one tensor at a time", async () => {
    const path = join(folder, "model.safetensors");
    const tensors = {
      weight: HostArray.from([
        [1, 2],
        [3, 4],
      ]),
      step: HostArray.from([7], "int64"),
      none: HostArray.from([]),
    };
    await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
    expect(new Uint8Array(await readFile(path))).toEqual(encodeSafetensors(tensors, { metadata: { format: "pt" } }));
    const file = await openSafetensors(path);
    expect((await file.read("weight")).equals(tensors.weight)).toBe(true);
    expect((await file.read("none")).shape).toEqual([0]);
    await expect(file.read("bias")).rejects.toThrow(/no tensor `bias`/);
    await file.close();
    const all = await readSafetensors(path);
    expect(all.tensors.get("step")!.equals(tensors.step)).toBe(true);
  });

  it("that shrink under the reader give the error `truncated`", async () => {
    const path = join(folder, "shrinking.safetensors");
    await writeSafetensors(path, { x: new HostArray("float32", [1000]) });
    const file = await openSafetensors(path);
    await truncate(path, 500);
    await expect(file.read("x")).rejects.toMatchObject({ code: "truncated" });
    await file.close();
  });

  it("that are missing or no files give the error `unreadable`", async () => {
    await expect(readSafetensors(join(folder, "none"))).rejects.toMatchObject({ code: "unreadable" });
    await expect(readSafetensors(folder)).rejects.toMatchObject({ code: "unreadable" });
  });

  it("shorter than their header are refused before memory is taken", async () => {
    const path = join(folder, "short.safetensors");
    await writeFile(path, new Uint8Array([0, 0, 0, 5, 0, 0, 0, 0, 0x7b]));
    await expect(readSafetensors(path)).rejects.toMatchObject({ code: "header-truncated" });
  });
});

describe("limits at −1, 0 and +1", () => {
  const file = (json: string, dataBytes: number = 0): Uint8Array => {
    const head = new TextEncoder().encode(json);
    const out = new Uint8Array(8 + head.length + dataBytes);
    new DataView(out.buffer).setBigUint64(0, BigInt(head.length), true);
    out.set(head, 8);
    return out;
  };
  const code = (bytes: Uint8Array): string => {
    try {
      decodeSafetensors(bytes);
      return "ok";
    } catch (error) {
      return (error as FormatError).code;
    }
  };

  it("rank 64", () => {
    const of = (rank: number): string =>
      code(file(`{"x":{"dtype":"U8","shape":[${Array(rank).fill(1)}],"data_offsets":[0,1]}}`, 1));
    expect([of(63), of(64), of(65)]).toEqual(["ok", "ok", "rank-too-high"]);
  });
  it("names of 1,024 bytes", () => {
    const of = (n: number): string =>
      code(file(`{"${"n".repeat(n)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`));
    expect([of(1023), of(1024), of(1025)]).toEqual(["ok", "ok", "name-too-long"]);
    expect(code(file(`{"${"é".repeat(513)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`))).toBe("name-too-long");
  });
  it("sizes of 2^48", () => {
    const of = (n: bigint): string => code(file(`{"x":{"dtype":"U8","shape":[0,${n}],"data_offsets":[0,0]}}`));
    expect([of(2n ** 48n - 1n), of(2n ** 48n), of(2n ** 48n + 1n)]).toEqual(["ok", "ok", "size-overflow"]);
  });
  it("headers of 100,000,000 bytes", () => {
    const of = (n: number): string => {
      const bytes = file("{}");
      new DataView(bytes.buffer).setBigUint64(0, BigInt(n), true);
      return code(bytes);
    };
    const most = SAFETENSORS_LIMITS.headerBytes;
    expect([of(most - 1), of(most), of(most + 1)]).toEqual([
      "header-truncated",
      "header-truncated",
      "header-too-large",
    ]);
  });
  it("header padding: trailing spaces are taken, leading ones are not", () => {
    expect([code(file("{}    ")), code(file(" {}"))]).toEqual(["ok", "header-start"]);
  });
});
