// npy and npz: round trips, Fortran order, and the rules for archives.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, DtypeError, HostArray } from "../../engine/core/index.ts";
import { hostArrays, STORAGE_DTYPES } from "../../../test/formats/arbitrary.ts";
import { decodeNpy, encodeNpy, readNpy, writeNpy } from "./npy.ts";
import { decodeNpz, encodeNpz, readNpz, writeNpz } from "./npz.ts";
import { listZip, ZIP_LIMITS } from "./zip.ts";

const folder = await mkdtemp(join(tmpdir(), "npy-"));
const numpyArrays = hostArrays(STORAGE_DTYPES.filter((dtype) => dtype !== "bfloat16"));
const refused = (code: string): Error => expect.objectContaining({ code }) as Error;

describe("npy", () => {
  it("keeps dtype, shape and every bit; data starts at a multiple of 64", () => {
    fc.assert(
      fc.property(numpyArrays, (array) => {
        const bytes = encodeNpy(array);
        expect(decodeNpy(bytes).equals(array)).toBe(true);
        expect((bytes.length - array.byteLength) % 64).toBe(0);
      }),
      { seed: 2, numRuns: 200 },
    );
  });
  it("turns Fortran order into rows", () => {
    const bytes = encodeNpy(
      HostArray.from([
        [1, 2, 3],
        [4, 5, 6],
      ]),
    );
    const text = Buffer.from(bytes).toString("latin1").replace("False", "True ");
    expect(decodeNpy(Buffer.from(text, "latin1")).toNested()).toEqual([
      [1, 3, 5],
      [2, 4, 6],
    ]);
  });
  it("says that bfloat16 has no place in it", () => {
    expect(() => encodeNpy(new HostArray("bfloat16", [2]))).toThrow(DtypeError);
  });
  it("reads and writes files", async () => {
    const x = HostArray.from([1.5, 2]);
    await writeNpy(join(folder, "x.npy"), x);
    expect((await readNpy(join(folder, "x.npy"))).equals(x)).toBe(true);
  });
});

describe("npz", () => {
  const x = HostArray.from([
    [1, 2],
    [3, 4],
  ]);
  it("keeps names and arrays, stored and deflated, always the same bytes", async () => {
    for (const compress of [false, true]) {
      const bytes = encodeNpz({ x, "block/y": x.cast("uint8"), __proto__x: x }, { compress });
      expect(bytes).toEqual(encodeNpz({ x, "block/y": x.cast("uint8"), __proto__x: x }, { compress }));
      const back = decodeNpz(bytes);
      expect([...back.keys()]).toEqual(["x", "block/y", "__proto__x"]);
      expect(back.get("block/y")!.equals(x.cast("uint8"))).toBe(true);
    }
    await writeNpz(join(folder, "x.npz"), new Map([["__proto__", x]]));
    expect((await readNpz(join(folder, "x.npz"))).get("__proto__")!.equals(x)).toBe(true);
  });

  const archive = (files: { [name: string]: Uint8Array }): Uint8Array => zipSync(files, { level: 9 });
  it.each(["../x.npy", "/x.npy", "a/../../x.npy", "C:x.npy", "a\\x.npy", "a//x.npy", "./x.npy", "a\u0000.npy"])(
    "refuses the member name %j",
    (name) => {
      expect(() => decodeNpz(archive({ [name]: encodeNpy(x) }))).toThrow(refused("unsafe-name"));
      expect(() => encodeNpz({ [name.slice(0, -4)]: x })).toThrow(ArgumentError);
    },
  );
  it("refuses names that differ only in case, and members that are no arrays", () => {
    expect(() => decodeNpz(archive({ "x.npy": encodeNpy(x), "X.NPY": encodeNpy(x) }))).toThrow(
      refused("duplicate-name"),
    );
    expect(() => decodeNpz(archive({ "x.txt": encodeNpy(x) }))).toThrow(refused("not-an-array"));
  });

  // The directory entry of the only member, to lie in.
  const entryOf = (bytes: Uint8Array): DataView => {
    const at = Buffer.from(bytes).indexOf("PK\x01\x02", 0, "latin1");
    return new DataView(bytes.buffer, bytes.byteOffset + at);
  };
  const tampered = (change: (entry: DataView) => void): Uint8Array => {
    const bytes = archive({ "x.npy": encodeNpy(x) });
    change(entryOf(bytes));
    return bytes;
  };
  it.each([
    ["encrypted", (e: DataView): void => e.setUint16(8, 1, true)],
    ["bad-method", (e: DataView): void => e.setUint16(10, 99, true)],
    ["bad-crc", (e: DataView): void => e.setUint32(16, 1, true)],
    ["bad-directory", (e: DataView): void => e.setUint32(24, 2 ** 27, true)],
    ["bomb", (e: DataView): void => e.setUint32(24, 2 ** 28 + 1, true)],
    ["zip64", (e: DataView): void => e.setUint32(24, 2 ** 32 - 1, true)],
    ["bad-deflate", (e: DataView): void => e.setUint32(24, 200, true)],
    ["bad-member", (e: DataView): void => e.setUint32(42, 1, true)],
    ["bad-directory", (e: DataView): void => e.setUint32(20, 2 ** 20, true)],
  ])("refuses a lying directory: %s", (code, change) => {
    expect(() => decodeNpz(tampered(change))).toThrow(refused(code));
  });
  it("refuses links", () => {
    const link = tampered((entry) => {
      entry.setUint16(4, 3 * 256 + 20, true);
      entry.setUint32(38, 0o120777 * 65536, true);
    });
    expect(() => decodeNpz(link)).toThrow(refused("link"));
  });
  it("refuses more than 10,000 members", () => {
    const files = Object.fromEntries(
      Array.from({ length: ZIP_LIMITS.members + 1 }, (_, i) => [`${i}`, new Uint8Array()]),
    );
    expect(() => listZip(archive(files))).toThrow(refused("too-many-members"));
  });
  it("refuses a bomb of 4 GiB at once, without unpacking it", () => {
    const bomb = tampered((entry) => entry.setUint32(24, 2 ** 32 - 3, true));
    const start = performance.now();
    expect(() => decodeNpz(bomb)).toThrow(refused("bomb"));
    expect(performance.now() - start).toBeLessThan(100);
  });
});
