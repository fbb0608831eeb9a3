// PNG, by fast-png. Chunks are checked first, so that no size in a file leads to memory the file does not pay for.
import { inflateSync } from "node:zlib";
import { decode, encode } from "fast-png";
import { FormatError, HostArray } from "../../engine/core/index.ts";
import { ByteReader, concatBytes } from "./bytes.ts";
import { checkedMul } from "./checked.ts";
import { crc32 } from "./crc32.ts";
import { checkPixels, type ImageOptions, type PixelShape } from "./pixels.ts";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHANNELS: { readonly [colorType: number]: number } = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
// Sizes that the format allows for each kind of colour.
const DEPTHS: { readonly [colorType: number]: readonly number[] } = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
const MOST_CHUNKS = 100_000;

/** Whether bytes begin as PNG does. */
export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/**
 * Decodes a PNG to uint8 [height, width, channels]: 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels.
 *
 * Palettes become RGB(A); 1, 2 and 4 bits are scaled to 0…255; 16 bits are rounded to 8 (v / 257). A transparent colour
 * (tRNS of grey or RGB) becomes an alpha channel. Of an animation the still image is read.
 * Errors: `FormatError` with code `bad-magic`, `bad-chunk`, `bad-crc`, `bad-header`, `missing-chunk`, `too-large`,
 * `bomb`, `truncated`, `unsupported-png`, `bad-png`.
 */
export function decodePng(bytes: Uint8Array, options: ImageOptions = {}): HostArray<"uint8"> {
  const where = options.where ?? "png";
  if (!isPng(bytes)) throw new FormatError(where, "bad-magic", "the file does not begin as PNG does");
  const { header, kept, data } = readChunks(where, bytes, options);
  checkData(where, header, data);
  let image: ReturnType<typeof decode>;
  try {
    image = decode(concatBytes(kept));
  } catch (cause) {
    throw new FormatError(where, "bad-png", `the image is damaged: ${(cause as Error).message}`, { cause });
  }
  return toUint8(where, header, image);
}

/** Encodes uint8 [height, width] or [height, width, 1 to 4 channels] without loss. */
export function encodePng(image: PixelShape): Uint8Array {
  const { width, height, channels, data } = image;
  return encode({ width, height, channels, data, depth: 8 }, { zlib: { level: 6 } });
}

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colorType: number;
  readonly interlaced: boolean;
}

/** Walks all chunks (length, CRC, order) and keeps those that make the picture: no text, no colour profile. */
function readChunks(
  where: string,
  bytes: Uint8Array,
  options: ImageOptions,
): { header: Header; kept: Uint8Array[]; data: Uint8Array } {
  const reader = new ByteReader(bytes, where);
  const kept = [reader.take(8)];
  const parts: Uint8Array[] = [];
  let header: Header | undefined;
  for (let count = 0, tag = ""; tag !== "IEND"; count++) {
    if (count > MOST_CHUNKS) throw new FormatError(where, "bad-chunk", `more than ${MOST_CHUNKS} chunks`);
    const start = reader.offset;
    const length = reader.u32(false);
    const body = new ByteReader(reader.take(4 + length), where);
    const crc = reader.u32(false);
    tag = body.tag();
    if (crc32(body.bytes) !== crc) throw new FormatError(where, "bad-crc", `the chunk ${show(tag)} is damaged`);
    if ((tag === "IHDR") !== (count === 0)) throw new FormatError(where, "bad-chunk", "IHDR must come first, and once");
    if (tag === "IHDR") header = readHeader(where, body, options);
    if (tag === "IDAT") parts.push(body.take(length));
    if (["IHDR", "PLTE", "tRNS", "IDAT", "IEND"].includes(tag)) kept.push(bytes.subarray(start, reader.offset));
    else if (/^[A-Z]/.test(tag)) throw new FormatError(where, "bad-chunk", `the chunk ${show(tag)} is not known`);
  }
  if (parts.length === 0) throw new FormatError(where, "missing-chunk", "there is no image data (IDAT)");
  return { header: header!, kept, data: concatBytes(parts) };
}

function readHeader(where: string, body: ByteReader, options: ImageOptions): Header {
  if (body.left !== 13) throw new FormatError(where, "bad-header", `IHDR has 13 bytes: received ${body.left}`);
  const [width, height] = [body.u32(false), body.u32(false)];
  const [depth, colorType, compression, filter, interlace] = [body.u8(), body.u8(), body.u8(), body.u8(), body.u8()];
  if (DEPTHS[colorType]?.includes(depth) !== true || compression !== 0 || filter !== 0 || interlace > 1) {
    const received = `colour type ${colorType}, ${depth} bits, methods ${compression}, ${filter}, ${interlace}`;
    throw new FormatError(where, "bad-header", `no such kind of PNG: ${received}`);
  }
  checkPixels(where, { width, height }, options);
  if (interlace === 1 && depth < 8) {
    throw new FormatError(where, "unsupported-png", `interlaced images of ${depth} bits are not read`);
  }
  return { width, height, depth, colorType, interlaced: interlace === 1 };
}

/** Unpacks the image data once under its exact limit: too little and too much are both errors. */
function checkData(where: string, header: Header, data: Uint8Array): void {
  const expected = rawBytes(where, header);
  if (expected > checkedMul(where, data.length, 1032)) {
    throw new FormatError(where, "bomb", `${data.length} compressed bytes cannot hold an image of ${expected}`);
  }
  let received: number;
  try {
    received = inflateSync(data, { maxOutputLength: expected }).length;
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") {
      throw new FormatError(where, "bomb", `the image data unpacks to more than its ${expected} bytes`, { cause });
    }
    throw new FormatError(where, "bad-png", "the compressed data is damaged", { cause });
  }
  if (received < expected)
    throw new FormatError(where, "truncated", `the image has ${expected} bytes: received ${received}`);
}

const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

function rawBytes(where: string, header: Header): number {
  const bits = CHANNELS[header.colorType]! * header.depth;
  const pass = (width: number, height: number): number =>
    width === 0 ? 0 : checkedMul(where, height, 1 + Math.ceil((width * bits) / 8));
  if (!header.interlaced) return pass(header.width, header.height);
  return PASSES.reduce((n, [x, y, dx, dy]) => n + pass(steps(header.width - x, dx), steps(header.height - y, dy)), 0);
}

function steps(size: number, step: number): number {
  return Math.max(0, Math.ceil(size / step));
}

function toUint8(where: string, header: Header, image: ReturnType<typeof decode>): HostArray<"uint8"> {
  const { width, height, depth } = header;
  const source = depth < 8 ? unpackBits(header, image.data) : image.data;
  if (header.colorType === 3) return fromPalette(where, header, source, image.palette ?? []);
  const channels = CHANNELS[header.colorType]!;
  // v · 255 / (2^depth − 1), rounded: 16 bits to 8, few bits to 8.
  const top = 2 ** depth - 1;
  const scaled = depth === 8 ? Uint8Array.from(source) : Uint8Array.from(source, (v) => Math.round((v * 255) / top));
  const key = image.transparency;
  if (key === undefined) return new HostArray("uint8", [height, width, channels], scaled);
  if (key.length !== channels)
    throw new FormatError(where, "bad-chunk", `tRNS has ${key.length} values: expected ${channels}`);
  const out = new HostArray("uint8", [height, width, channels + 1]);
  for (let i = 0; i < width * height; i++) {
    let transparent = true;
    for (let c = 0; c < channels; c++) {
      out.data[i * (channels + 1) + c] = scaled[i * channels + c]!;
      transparent &&= source[i * channels + c] === key[c];
    }
    out.data[i * (channels + 1) + channels] = transparent ? 0 : 255;
  }
  return out;
}

function fromPalette(
  where: string,
  header: Header,
  indices: ArrayLike<number>,
  palette: readonly (readonly number[])[],
): HostArray<"uint8"> {
  const channels = palette[0]?.length ?? 3;
  const out = new HostArray("uint8", [header.height, header.width, channels]);
  for (let i = 0; i < indices.length; i++) {
    const color = palette[indices[i]!];
    if (color === undefined) {
      throw new FormatError(where, "bad-png", `colour ${indices[i]} is outside the palette of ${palette.length}`);
    }
    out.data.set(color, i * channels);
  }
  return out;
}

/** One value per element out of packed rows (each row begins on a byte). */
function unpackBits(header: Header, packed: ArrayLike<number>): Uint8Array {
  const { width, height, depth } = header;
  const perByte = 8 / depth;
  const rowBytes = Math.ceil(width / perByte);
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const byte = packed[y * rowBytes + Math.floor(x / perByte)]!;
      out[y * width + x] = (byte >> (8 - depth * ((x % perByte) + 1))) & (2 ** depth - 1);
    }
  }
  return out;
}

function show(tag: string): string {
  return JSON.stringify(tag);
}
