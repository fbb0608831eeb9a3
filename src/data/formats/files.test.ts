// Files and checked sizes: atomic writes leave the old file or the new one, and sums never lose a digit.
import { mkdir, mkdtemp, readFile, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { alignUp, checkedAdd, checkedBytes, checkedElements, checkedMul, MAX_SIZE } from "./checked.ts";
import { crc32 } from "./crc32.ts";
import { openFile, readBytes, sha256, sha256File, writeFileAtomic } from "./files.ts";

const folder = await mkdtemp(join(tmpdir(), "files-"));

describe("writeFileAtomic", () => {
  it("writes text, bytes and pieces, and replaces", async () => {
    const path = join(folder, "a");
    await writeFileAtomic(path, "old");
    await writeFileAtomic(path, [new Uint8Array([1, 2]), new Uint8Array([3])]);
    expect([...(await readBytes(path))]).toEqual([1, 2, 3]);
    expect(await readdir(folder)).toEqual(["a"]);
  });
  it("keeps the old file and leaves nothing behind when writing fails half way", async () => {
    const path = join(folder, "b");
    await writeFile(path, "old");
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1000);
      await Promise.resolve();
      throw new Error("disk full");
    }
    await expect(writeFileAtomic(path, failing())).rejects.toThrow("disk full");
    expect(await readFile(path, "utf8")).toBe("old");
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
  it("cleans up when the target cannot be replaced", async () => {
    const path = join(folder, "c");
    await mkdir(join(path, "full"), { recursive: true });
    await expect(writeFileAtomic(path, "x")).rejects.toThrow();
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});

describe("reading", () => {
  it("by position never gives less than was asked for", async () => {
    const path = join(folder, "d");
    await writeFile(path, new Uint8Array([0, 1, 2, 3, 4]));
    const source = await openFile(path);
    const part = new Uint8Array(2);
    await source.readInto(part, 3);
    expect([...part]).toEqual([3, 4]);
    await expect(source.readInto(part, 4)).rejects.toMatchObject({ code: "truncated" });
    await source.close();
  });
  it("hashes files as bytes", async () => {
    const path = join(folder, "e");
    const bytes = new Uint8Array(5_000_000).map((_, i) => i % 251);
    await writeFile(path, bytes);
    expect(await sha256File(path)).toBe(sha256(bytes));
    // FIPS 180-2, appendix B.1.
    expect(sha256(new TextEncoder().encode("abc"))).toBe(
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
  });
  it("knows the check value of CRC-32", () => {
    const digits = new TextEncoder().encode("123456789");
    expect(crc32(digits)).toBe(0xcbf43926);
    expect(crc32(digits.subarray(4), crc32(digits.subarray(0, 4)))).toBe(0xcbf43926);
  });
});

describe("checked sizes", () => {
  const refused = expect.objectContaining({ code: "size-overflow" }) as Error;
  it("are exact up to 2^48", () => {
    expect(checkedAdd("x", 2 ** 47, 2 ** 47)).toBe(MAX_SIZE);
    expect(() => checkedAdd("x", MAX_SIZE, 1)).toThrow(refused);
    expect(checkedMul("x", 2 ** 24, 2 ** 24)).toBe(MAX_SIZE);
    expect(() => checkedMul("x", 2 ** 24 + 1, 2 ** 24)).toThrow(refused);
    expect(() => checkedAdd("x", -1, 0)).toThrow(refused);
    expect(() => checkedAdd("x", 0.5, 0)).toThrow(refused);
    expect(() => checkedMul("x", NaN, 1)).toThrow(refused);
  });
  it("round up where 32-bit arithmetic would wrap", () => {
    expect(alignUp("x", 2 ** 31, 32)).toBe(2 ** 31);
    expect(alignUp("x", 2 ** 32 + 5, 32)).toBe(2 ** 32 + 32);
  });
  it("count elements and bytes", () => {
    expect(checkedElements("x", [])).toBe(1);
    expect(checkedBytes("x", [2, 0, 5], "float64")).toBe(0);
    expect(checkedBytes("x", [2, 3], "float64")).toBe(48);
    expect(() => checkedBytes("x", [2 ** 46], "float64")).toThrow(refused);
    expect(() => checkedElements("x", [0, -1])).toThrow(refused);
  });
});
