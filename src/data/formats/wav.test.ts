// WAV: round trips, extensible format, odd chunks.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, HostArray, ShapeError } from "../../engine/core/index.ts";
import { decodeWav, encodeWav, readWav, writeWav } from "./wav.ts";

const sound = (channels: number): fc.Arbitrary<HostArray> =>
  fc.array(fc.integer({ min: -32768, max: 32767 }), { minLength: channels, maxLength: 40 }).map((values) => {
    const frames = Math.floor(values.length / channels);
    return HostArray.of(
      Float32Array.from(values.slice(0, frames * channels), (v) => v / 32768),
      [frames, channels],
    );
  });

describe("round trip", () => {
  it.each([1, 2, 3])("keeps every 16-bit sample and every float bit of %i channels", (channels) => {
    fc.assert(
      fc.property(sound(channels), fc.constantFrom("pcm16" as const, "float32" as const), (samples, encoding) => {
        const back = decodeWav(encodeWav(samples, { sampleRate: 22050, encoding }));
        expect(back.samples.equals(samples)).toBe(true);
        expect([back.sampleRate, back.encoding]).toEqual([22050, encoding]);
      }),
      { seed: 8, numRuns: 60 },
    );
  });
  it("writes +1 as the greatest sample and a vector as mono", () => {
    const { samples } = decodeWav(encodeWav(HostArray.from([1, -1, 0]), { sampleRate: 8000 }));
    expect(samples.shape).toEqual([3, 1]);
    expect(samples.toFlat()).toEqual([32767 / 32768, -1, 0]);
  });
  it("goes through a file", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "wav-")), "x.wav");
    await writeWav(path, HostArray.from([[0.5, -0.5]]), { sampleRate: 44100 });
    expect((await readWav(path)).samples.toNested()).toEqual([[0.5, -0.5]]);
  });
});

describe("writing refuses", () => {
  it.each([1.01, -1.5, NaN, Infinity])("the sample %f in PCM16", (value) => {
    expect(() => encodeWav(HostArray.from([0, value]), { sampleRate: 8000 })).toThrow(ArgumentError);
    expect(
      decodeWav(encodeWav(HostArray.from([value]), { sampleRate: 8000, encoding: "float32" })).samples.get(0),
    ).toBe(Math.fround(value));
  });
  it("odd shapes and rates", () => {
    expect(() => encodeWav(new HostArray("float32", [2, 2, 2]), { sampleRate: 8000 })).toThrow(ShapeError);
    expect(() => encodeWav(new HostArray("float32", []), { sampleRate: 8000 })).toThrow(ShapeError);
    expect(() => encodeWav(new HostArray("float32", [2]), { sampleRate: 0.5 })).toThrow(ArgumentError);
  });
});

const chunk = (tag: string, body: number[] | Uint8Array): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.from(tag, "latin1"), size, Buffer.from(body), Buffer.alloc(body.length % 2)]);
};
const riff = (...chunks: Buffer[]): Buffer => chunk("RIFF", Buffer.concat([Buffer.from("WAVE"), ...chunks]));
const fmt = (code: number, bits: number, channels: number = 1, extra: number[] = []): Buffer => {
  const body = Buffer.alloc(16);
  body.writeUInt16LE(code, 0);
  body.writeUInt16LE(channels, 2);
  body.writeUInt32LE(8000, 4);
  body.writeUInt32LE((8000 * channels * bits) / 8, 8);
  body.writeUInt16LE((channels * bits) / 8, 12);
  body.writeUInt16LE(bits, 14);
  return chunk("fmt ", Buffer.concat([body, Buffer.from(extra)]));
};

describe("reading", () => {
  const sub = (code: number): number[] => [
    22,
    0,
    16,
    0,
    4,
    0,
    0,
    0,
    code,
    0,
    0,
    0,
    0,
    0,
    16,
    0,
    128,
    0,
    0,
    170,
    0,
    56,
    155,
    113,
  ];
  it("takes the extensible format", () => {
    const wav = decodeWav(riff(fmt(0xfffe, 16, 1, sub(1)), chunk("data", [0, 128, 0, 64])));
    expect(wav.samples.toFlat()).toEqual([-1, 0.5]);
    expect(wav.encoding).toBe("pcm16");
    const bytes = riff(fmt(0xfffe, 16, 1, sub(1).with(15, 9)), chunk("data", []));
    expect(() => decodeWav(bytes)).toThrow(expect.objectContaining({ code: "unsupported-encoding" }) as Error);
  });
  it("takes other chunks before and after, padded to even lengths", () => {
    const wav = decodeWav(riff(chunk("LIST", [1, 2, 3]), fmt(1, 8), chunk("data", [128, 255, 0]), chunk("id3 ", [1])));
    expect(wav.samples.toFlat()).toEqual([0, 127 / 128, -1]);
  });
  const plain = chunk("data", [0, 0]);
  it.each([
    ["bad-magic", Buffer.concat([Buffer.from("RIFX"), riff(fmt(1, 16), plain).subarray(4)])],
    ["missing-chunk", riff(fmt(1, 16))],
    ["missing-chunk", riff(plain)],
    ["duplicate-chunk", riff(fmt(1, 16), plain, plain)],
    ["duplicate-chunk", riff(fmt(1, 16), fmt(1, 16), plain)],
    ["unsupported-encoding", riff(fmt(1, 12), plain)],
    ["unsupported-encoding", riff(fmt(6, 8), plain)],
    ["unsupported-encoding", riff(fmt(3, 16), plain)],
    ["bad-format", riff(fmt(1, 16, 0), plain)],
    ["bad-format", riff(fmt(1, 16, 65), plain)],
    ["bad-size", riff(fmt(1, 16), chunk("data", [1, 2, 3]))],
    ["truncated", riff(fmt(1, 16), plain).subarray(0, 40)],
    ["truncated", riff(chunk("fmt ", [1, 0]), plain)],
  ])("refuses: %s", (code, bytes) => {
    expect(() => decodeWav(bytes)).toThrow(expect.objectContaining({ code }) as Error);
  });
});
