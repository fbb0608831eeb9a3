// Images: PNG without loss, JPEG nearly, and files that claim more than they hold.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { encode } from "fast-png";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, DtypeError, HostArray, ShapeError } from "../../engine/core/index.ts";
import { crc32 } from "./crc32.ts";
import { decodeImage, encodeImage, readImage, writeImage } from "./image.ts";

const refused = (code: string): Error => expect.objectContaining({ code }) as Error;
const images = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 }))
  .chain(([h, w, c]) => {
    const n = h * w * c;
    const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: n, maxLength: n });
    return bytes.map((values) => HostArray.of(Uint8Array.from(values), [h, w, c]));
  });

const chunk = (tag: string, body: Uint8Array): Buffer => {
  const out = Buffer.alloc(12 + body.length);
  out.writeUInt32BE(body.length, 0);
  out.write(tag, 4, "latin1");
  out.set(body, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + body.length)), 8 + body.length);
  return out;
};
const header = (w: number, h: number, rest: number[] = [8, 0, 0, 0, 0]): Buffer => {
  const body = Buffer.alloc(13);
  body.writeUInt32BE(w, 0);
  body.writeUInt32BE(h, 4);
  body.set(rest, 8);
  return chunk("IHDR", body);
};
const png = (...chunks: Buffer[]): Buffer => Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunks]);
const data = (bytes: number[] | Uint8Array): Buffer => chunk("IDAT", deflateSync(Uint8Array.from(bytes)));
const damaged = (bytes: Buffer): Buffer => bytes.fill(0, bytes.length - 2);
const end = chunk("IEND", new Uint8Array());

describe("PNG", () => {
  it("keeps every pixel of 1 to 4 channels", () => {
    fc.assert(
      fc.property(images, (image) => {
        expect(decodeImage(encodeImage(image)).equals(image)).toBe(true);
      }),
      { seed: 9, numRuns: 100 },
    );
  });
  it("reads interlaced images", () => {
    const pixels = Uint8Array.from({ length: 11 * 7 * 3 }, (_, i) => (i * 37) % 256);
    const bytes = encode({ width: 11, height: 7, channels: 3, data: pixels }, { interlace: "Adam7" });
    expect(decodeImage(bytes).data).toEqual(pixels);
  });
  it("puts text and colour profiles aside without unpacking them", () => {
    const profile = Buffer.concat([Buffer.from("p\0\0"), deflateSync(Buffer.alloc(2 ** 26))]);
    expect(decodeImage(png(header(1, 1), chunk("iCCP", profile), data([0, 7]), end)).toFlat()).toEqual([7]);
  });
  it.each([
    ["too-large", png(header(2 ** 31 - 1, 2 ** 31 - 1), data([0]), end)],
    ["bomb", png(header(8000, 8000), data([0]), end)],
    ["bomb", png(header(1, 1), data(new Uint8Array(1000)), end)],
    ["truncated", png(header(2, 2), data([0, 1, 2, 0]), end)],
    ["bad-header", png(header(0, 1), data([0]), end)],
    ["bad-header", png(header(1, 1, [3, 0, 0, 0, 0]), data([0, 0]), end)],
    ["bad-header", png(header(1, 1, [8, 5, 0, 0, 0]), data([0, 0]), end)],
    ["bad-header", png(chunk("IHDR", new Uint8Array(12)), end)],
    ["bad-chunk", png(data([0, 0]), header(1, 1), end)],
    ["bad-chunk", png(header(1, 1), header(1, 1), data([0, 0]), end)],
    ["bad-chunk", png(header(1, 1), chunk("ABCD", new Uint8Array()), data([0, 0]), end)],
    ["missing-chunk", png(header(1, 1), end)],
    ["bad-png", png(header(1, 1), data([9, 0]), end)],
    ["bad-png", png(header(1, 1), chunk("IDAT", new Uint8Array([1, 2, 3])), end)],
    ["bad-png", png(header(1, 1, [8, 3, 0, 0, 0]), data([0, 5]), end)],
    ["unsupported-png", png(header(1, 1, [1, 0, 0, 0, 1]), data([0, 0]), end)],
    ["bad-crc", png(header(1, 1), damaged(data([0, 0])), end)],
    ["truncated", png(header(1, 1), data([0, 0]))],
    ["unknown-image", Buffer.from("GIF89a")],
  ])("refuses: %s (%#)", (code, bytes) => {
    expect(() => decodeImage(bytes)).toThrow(refused(code));
  });
});

describe("JPEG", () => {
  const smooth = HostArray.of(
    Uint8Array.from({ length: 32 * 24 * 3 }, (_, i) => (Math.floor(i / 3) % 24) * 8 + (i % 3) * 20),
    [32, 24, 3],
  );
  const jpeg = encodeImage(smooth, { format: "jpeg", quality: 95 });
  const changed = (change: (bytes: Buffer, frame: number) => void): Buffer => {
    const bytes = Buffer.from(jpeg);
    change(bytes, bytes.indexOf(Buffer.from([0xff, 0xc0])));
    return bytes;
  };
  it("is close to what was written", () => {
    const back = decodeImage(jpeg);
    expect(back.shape).toEqual([32, 24, 3]);
    const off = [...back.data].map((v, i) => Math.abs(v - smooth.get(i)));
    expect(off.reduce((a, b) => a + b) / off.length).toBeLessThan(2);
  });
  it("of one channel is grey in colour", () => {
    const grey = decodeImage(
      encodeImage(new HostArray("uint8", [8, 8], new Uint8Array(64).fill(77)), { format: "jpeg" }),
    );
    expect(grey.get(0)).toBe(77);
  });
  it.each([
    ["bomb", changed((b, f) => b.writeUInt32BE(60_000 * 65_536 + 1000, f + 5))],
    ["too-large", changed((b, f) => b.fill(0xff, f + 5, f + 9))],
    ["bad-header", changed((b, f) => b.fill(0, f + 5, f + 7))],
    ["unsupported-jpeg", changed((b, f) => b.writeUInt8(0xc3, f + 1))],
    ["unsupported-jpeg", changed((b, f) => b.writeUInt8(12, f + 4))],
    ["bad-jpeg", changed((b, f) => b.writeUInt8(2, f + 9))],
    ["bad-jpeg", changed((b, f) => b.writeUInt8(0, f + 11))],
    ["bad-jpeg", changed((b, f) => b.writeUInt16BE(1, f + 2))],
    ["bad-jpeg", Buffer.from([0xff, 0xd8, 0xff, 0xd9])],
    ["truncated", Buffer.from(jpeg.subarray(0, jpeg.length - 2))],
    ["truncated", Buffer.from(jpeg.subarray(0, 100))],
  ])("refuses: %s (%#)", (code, bytes) => {
    expect(() => decodeImage(bytes)).toThrow(refused(code));
  });
  it("refuses more scans than any encoder writes", () => {
    const scan = jpeg.subarray(Buffer.from(jpeg).indexOf(Buffer.from([0xff, 0xda])), jpeg.length - 2);
    const many = Buffer.concat([
      jpeg.subarray(0, jpeg.length - 2),
      ...new Array<Uint8Array>(64).fill(scan),
      Buffer.from([0xff, 0xd9]),
    ]);
    expect(() => decodeImage(many)).toThrow(refused("bomb"));
  });
});

describe("writing", () => {
  it("goes through files by their ending", async () => {
    const folder = await mkdtemp(join(tmpdir(), "image-"));
    const image = new HostArray("uint8", [8, 16, 3], new Uint8Array(384).fill(200));
    await writeImage(join(folder, "x.png"), image);
    await writeImage(join(folder, "x.JPG"), image);
    expect((await readImage(join(folder, "x.png"))).equals(image)).toBe(true);
    expect((await readImage(join(folder, "x.JPG"))).shape).toEqual([8, 16, 3]);
    await expect(writeImage(join(folder, "x.gif"), image)).rejects.toThrow(ArgumentError);
  });
  it("refuses other dtypes, shapes and qualities", () => {
    expect(() => encodeImage(new HostArray("float32", [2, 2]))).toThrow(DtypeError);
    expect(() => encodeImage(new HostArray("uint8", [2]))).toThrow(ShapeError);
    expect(() => encodeImage(new HostArray("uint8", [2, 2, 5]))).toThrow(ShapeError);
    expect(() => encodeImage(new HostArray("uint8", [2, 2, 4]), { format: "jpeg" })).toThrow(ArgumentError);
    expect(() => encodeImage(new HostArray("uint8", [2, 2]), { format: "jpeg", quality: 0 })).toThrow(ArgumentError);
  });
});
