// WAV: uncompressed sound. Reads PCM of 8, 16, 24 and 32 bits and float of 32 and 64 bits; writes PCM16 and float32.
import { ArgumentError, FormatError, HostArray, ShapeError } from "../../engine/core/index.ts";
import { ByteReader, concatBytes, type DecodeOptions } from "./bytes.ts";
import { checkedAdd, checkedMul } from "./checked.ts";
import { readBytes, writeFileAtomic } from "./files.ts";

/** How samples lie in a file. */
export type WavEncoding = "pcm8" | "pcm16" | "pcm24" | "pcm32" | "float32" | "float64";

/** Sound: float32 samples [frames, channels]; PCM is scaled to [−1, 1). */
export interface Wav {
  readonly samples: HostArray<"float32">;
  readonly sampleRate: number;
  readonly encoding: WavEncoding;
}

/** How to write sound. */
export interface WavOptions {
  /** Samples per second. */
  readonly sampleRate: number;
  /** Default `pcm16`. */
  readonly encoding?: "pcm16" | "float32";
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const MAX_CHANNELS = 64;
// The last 14 bytes of the sub-format of WAVE_FORMAT_EXTENSIBLE; its first two are the format code.
const SUBFORMAT = "00000000 1000 8000 00aa00389b71".replaceAll(" ", "");

/** Reads a .wav file; errors as of `decodeWav`. */
export async function readWav(path: string): Promise<Wav> {
  return decodeWav(await readBytes(path), { where: path });
}

/**
 * Decodes WAV sound. PCM samples become s / 2^(bits − 1) (8-bit: (s − 128) / 128); float64 is rounded to float32.
 *
 * Errors: `FormatError` with code `bad-magic`, `missing-chunk`, `duplicate-chunk`, `bad-format`, `unsupported-encoding`,
 * `truncated`, `bad-size`.
 *
 * @example
 * const bytes = encodeWav(HostArray.from([[0], [0.5]]), { sampleRate: 8000 }); // samples are [frames, channels]
 * decodeWav(bytes).samples.shape; // [2, 1]
 */
export function decodeWav(bytes: Uint8Array, options: DecodeOptions = {}): Wav {
  const where = options.where ?? "wav";
  const reader = new ByteReader(bytes, where);
  const isRiff = reader.tag() === "RIFF";
  const riffSize = reader.u32();
  if (!isRiff || reader.tag() !== "WAVE")
    throw new FormatError(where, "bad-magic", "a WAV file begins with RIFF … WAVE");
  if (checkedAdd(where, riffSize, 8) > checkedAdd(where, bytes.length, 1)) {
    throw new FormatError(where, "truncated", `the file states ${riffSize + 8} bytes: received ${bytes.length}`);
  }
  let format: Format | undefined;
  let data: Uint8Array | undefined;
  while (reader.left >= 8) {
    const tag = reader.tag();
    const size = reader.u32();
    const body = reader.take(size);
    if (size % 2 === 1 && reader.left > 0) reader.take(1); // chunks are padded to even lengths
    if ((tag === "fmt " && format !== undefined) || (tag === "data" && data !== undefined)) {
      throw new FormatError(where, "duplicate-chunk", `the chunk "${tag}" appears twice`);
    }
    if (tag === "fmt ") format = readFormat(where, body);
    if (tag === "data") data = body;
  }
  if (format === undefined || data === undefined) {
    throw new FormatError(where, "missing-chunk", `the chunk "${format === undefined ? "fmt " : "data"}" is missing`);
  }
  const frameBytes = checkedMul(where, format.channels, format.bytes);
  if (data.length % frameBytes !== 0) {
    throw new FormatError(
      where,
      "bad-size",
      `${data.length} bytes of data are no whole number of ${frameBytes}-byte frames`,
    );
  }
  const samples = new HostArray("float32", [data.length / frameBytes, format.channels]);
  readSamples(data, format.encoding, samples.data);
  return { samples, sampleRate: format.sampleRate, encoding: format.encoding };
}

/**
 * Encodes sound [frames] or [frames, channels]. PCM16 samples are round(32768 s), +1 becoming 32767; a sample outside
 * [−1, 1] or NaN is an ArgumentError (scale or clip before: clipping in silence would damage the sound).
 */
export function encodeWav(samples: HostArray, options: WavOptions): Uint8Array {
  const { sampleRate, encoding = "pcm16" } = options;
  const [frames, channels = 1] = samples.shape;
  if (frames === undefined || samples.shape.length > 2 || channels < 1 || channels > MAX_CHANNELS) {
    const problem = `samples are [frames] or [frames, channels] with 1 to ${MAX_CHANNELS} channels`;
    throw new ShapeError("encodeWav", `${problem}: received ${samples.toString()}`);
  }
  if (!Number.isInteger(sampleRate) || sampleRate < 1 || sampleRate >= 2 ** 32) {
    throw new ArgumentError(
      "encodeWav",
      `\`sampleRate\` is a whole number of samples a second: received ${sampleRate}`,
    );
  }
  const width = encoding === "pcm16" ? 2 : 4;
  const data = new Uint8Array(checkedMul("encodeWav", samples.size, width));
  const view = new DataView(data.buffer);
  for (let i = 0; i < samples.size; i++) {
    const value = samples.get(i);
    if (encoding === "float32") view.setFloat32(4 * i, value, true);
    else view.setInt16(2 * i, toPcm16(value, i), true);
  }
  const frameBytes = channels * width;
  const head = new DataView(new ArrayBuffer(44));
  const padding = data.length % 2;
  writeTag(head, 0, "RIFF");
  head.setUint32(4, checkU32(36 + data.length + padding), true);
  writeTag(head, 8, "WAVE");
  writeTag(head, 12, "fmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, encoding === "pcm16" ? PCM : FLOAT, true);
  head.setUint16(22, channels, true);
  head.setUint32(24, sampleRate, true);
  head.setUint32(28, checkU32(sampleRate * frameBytes), true);
  head.setUint16(32, frameBytes, true);
  head.setUint16(34, 8 * width, true);
  writeTag(head, 36, "data");
  head.setUint32(40, data.length, true);
  return concatBytes([new Uint8Array(head.buffer), data, new Uint8Array(padding)]);
}

/** Writes a .wav file, atomically and durably. */
export async function writeWav(path: string, samples: HostArray, options: WavOptions): Promise<void> {
  await writeFileAtomic(path, encodeWav(samples, options));
}

interface Format {
  readonly encoding: WavEncoding;
  readonly channels: number;
  readonly sampleRate: number;
  readonly bytes: number;
}

function readFormat(where: string, body: Uint8Array): Format {
  const reader = new ByteReader(body, where);
  let code = reader.u16();
  const channels = reader.u16();
  const sampleRate = reader.u32();
  const byteRate = reader.u32();
  const frameBytes = reader.u16();
  const bits = reader.u16();
  if (code === EXTENSIBLE) {
    reader.take(8); // size of the extension, valid bits, speaker positions
    code = reader.u16();
    const rest = Array.from(reader.take(14), (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (rest !== SUBFORMAT) throw new FormatError(where, "unsupported-encoding", "an unknown sub-format");
  }
  const encoding = `${code === FLOAT ? "float" : "pcm"}${bits}` as WavEncoding;
  const known = code === PCM ? [8, 16, 24, 32].includes(bits) : code === FLOAT && (bits === 32 || bits === 64);
  if (!known) {
    throw new FormatError(where, "unsupported-encoding", `format ${code} with ${bits} bits is not read`, {
      hint: "convert the file to 16-bit PCM",
    });
  }
  const bytes = bits / 8;
  const consistent = frameBytes === channels * bytes && byteRate === sampleRate * frameBytes;
  if (channels < 1 || channels > MAX_CHANNELS || sampleRate === 0 || !consistent) {
    const received = `${channels} channels, ${sampleRate} Hz, ${frameBytes} bytes a frame, ${byteRate} bytes a second`;
    throw new FormatError(where, "bad-format", `the format chunk contradicts itself: ${received}`);
  }
  return { encoding, channels, sampleRate, bytes };
}

function readSamples(data: Uint8Array, encoding: WavEncoding, out: Float32Array): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const read: { readonly [E in WavEncoding]: (i: number) => number } = {
    pcm8: (i) => (view.getUint8(i) - 128) / 128,
    pcm16: (i) => view.getInt16(2 * i, true) / 2 ** 15,
    pcm24: (i) => (view.getInt8(3 * i + 2) * 2 ** 16 + view.getUint16(3 * i, true)) / 2 ** 23,
    pcm32: (i) => view.getInt32(4 * i, true) / 2 ** 31,
    float32: (i) => view.getFloat32(4 * i, true),
    float64: (i) => view.getFloat64(8 * i, true),
  };
  const sample = read[encoding];
  for (let i = 0; i < out.length; i++) out[i] = sample(i);
}

function toPcm16(value: number, index: number): number {
  if (!(value >= -1 && value <= 1)) {
    const problem = `sample ${index} is outside [-1, 1]: received ${value}`;
    throw new ArgumentError("encodeWav", problem, { hint: "scale the sound, or clip it on purpose" });
  }
  return Math.min(32767, Math.round(value * 32768));
}

function checkU32(n: number): number {
  if (n >= 2 ** 32) throw new ArgumentError("encodeWav", `a WAV file ends at 4 GiB: received ${n} bytes`);
  return n;
}

function writeTag(view: DataView, offset: number, tag: string): void {
  for (let i = 0; i < 4; i++) view.setUint8(offset + i, tag.charCodeAt(i));
}
