// idx: round trips, plain and gzip, and what compressed data may claim.
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { DtypeError, HostArray, ShapeError } from "../../engine/core/index.ts";
import { hostArrays } from "../../../test/formats/arbitrary.ts";
import { isGzip } from "./gzip.ts";
import { decodeIdx, encodeIdx, readIdx, writeIdx } from "./idx.ts";

it("keeps dtype, shape and every bit, plain and gzip", () => {
  fc.assert(
    fc.property(hostArrays(["uint8", "int8", "int16", "int32", "float32", "float64"]), fc.boolean(), (array, gzip) => {
      expect(decodeIdx(encodeIdx(array, { gzip })).equals(array)).toBe(true);
    }),
    { seed: 3, numRuns: 200 },
  );
});

it("lays bytes out as MNIST does", () => {
  const labels = HostArray.from([5, 0, 4], "uint8");
  expect([...encodeIdx(labels)]).toEqual([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]);
  expect([...encodeIdx(HostArray.from([[1]], "int16"))]).toEqual([0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1]);
});

it("writes gzip where the name says so, reads either by content", async () => {
  const folder = await mkdtemp(join(tmpdir(), "idx-"));
  const x = new HostArray("uint8", [10, 28, 28]);
  await writeIdx(join(folder, "x.gz"), x);
  await writeIdx(join(folder, "x"), x);
  expect(isGzip(await readFile(join(folder, "x.gz")))).toBe(true);
  expect((await readIdx(join(folder, "x.gz"))).equals(x)).toBe(true);
  expect((await readIdx(join(folder, "x"))).equals(x)).toBe(true);
});

it("refuses dtypes and ranks the format lacks", () => {
  expect(() => encodeIdx(new HostArray("float16", [1]))).toThrow(DtypeError);
  expect(() => encodeIdx(new HostArray("uint8", new Array<number>(65).fill(1)))).toThrow(ShapeError);
});

it("refuses a bomb by its own header, before it is unpacked", () => {
  const bomb = gzipSync(Buffer.concat([Buffer.from([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]), Buffer.alloc(2 ** 25)]));
  const start = performance.now();
  expect(() => decodeIdx(bomb)).toThrow(expect.objectContaining({ code: "bomb" }) as Error);
  expect(performance.now() - start).toBeLessThan(100);
});
