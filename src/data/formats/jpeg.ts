// JPEG, by jpeg-js. Markers are walked first: sizes, number of scans and frames are checked before any memory is taken.
import { decode, encode } from "jpeg-js";
import { ArgumentError, FormatError, HostArray } from "../../engine/core/index.ts";
import { ByteReader } from "./bytes.ts";
import { checkPixels, type ImageOptions, type PixelShape } from "./pixels.ts";

// Every 8 × 8 block costs at least a bit, so a file of n bytes holds at most 2^9 n pixels; four times that for odd sampling.
const PIXELS_PER_BYTE = 2048;
const MOST_SCANS = 64;

/** Whether bytes begin as JPEG does. */
export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/**
 * Decodes a JPEG (baseline or progressive) to uint8 [height, width, channels]: 1 channel if the file is grey, else RGB
 * (CMYK is converted). The EXIF orientation is not applied.
 *
 * Errors: `FormatError` with code `bad-magic`, `bad-jpeg`, `unsupported-jpeg`, `too-large`, `bomb`, `truncated`.
 */
export function decodeJpeg(bytes: Uint8Array, options: ImageOptions = {}): HostArray<"uint8"> {
  const where = options.where ?? "jpeg";
  if (!isJpeg(bytes)) throw new FormatError(where, "bad-magic", "the file does not begin as JPEG does");
  const { width, height, components } = checkMarkers(where, bytes, options);
  let data: Uint8Array;
  try {
    const limits = { maxResolutionInMP: Infinity, maxMemoryUsageInMB: 16_384 }; // checked above, in bytes of the file
    data = decode(bytes, { useTArray: true, formatAsRGBA: false, tolerantDecoding: false, ...limits }).data;
  } catch (cause) {
    throw new FormatError(where, "bad-jpeg", `the image is damaged: ${(cause as Error).message}`, { cause });
  }
  if (components > 1) return new HostArray("uint8", [height, width, 3], data);
  return new HostArray(
    "uint8",
    [height, width, 1],
    Uint8Array.from({ length: width * height }, (_, i) => data[3 * i]!),
  );
}

/** Encodes uint8 [height, width], [height, width, 1] or [height, width, 3] with loss; quality from 1 to 100. */
export function encodeJpeg(image: PixelShape, quality: number): Uint8Array {
  const { width, height, channels, data } = image;
  if (channels !== 1 && channels !== 3) {
    throw new ArgumentError("encodeJpeg", `a JPEG has 1 or 3 channels: received ${channels}`, {
      hint: "remove the alpha channel first",
    });
  }
  if (width > 65_535 || height > 65_535)
    throw new ArgumentError("encodeJpeg", `sides end at 65535: ${width} × ${height}`);
  if (!(quality >= 1 && quality <= 100))
    throw new ArgumentError("encodeJpeg", `\`quality\` is 1 to 100: received ${quality}`);
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = data[i * channels + (channels === 1 ? 0 : c)]!;
  }
  return new Uint8Array(encode({ width, height, data: rgba }, quality).data);
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
}

function checkMarkers(where: string, bytes: Uint8Array, options: ImageOptions): Frame {
  const reader = new ByteReader(bytes, where);
  reader.take(2);
  let frame: Frame | undefined;
  for (let scans = 0; ;) {
    const marker = nextMarker(reader);
    if (marker === 0xd9) break;
    const length = reader.u16(false);
    if (length < 2) throw new FormatError(where, "bad-jpeg", `a segment has the length ${length}`);
    const body = new ByteReader(reader.take(length - 2), where);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (frame !== undefined) throw new FormatError(where, "bad-jpeg", "two frames in one file");
      frame = readFrame(where, marker, body, options);
      if (frame.width * frame.height > PIXELS_PER_BYTE * bytes.length) {
        throw new FormatError(
          where,
          "bomb",
          `${bytes.length} bytes cannot hold ${frame.width} × ${frame.height} pixels`,
        );
      }
    }
    if (marker === 0xda) {
      if (frame === undefined) throw new FormatError(where, "bad-jpeg", "image data before its frame");
      if (++scans > MOST_SCANS) throw new FormatError(where, "bomb", `more than ${MOST_SCANS} scans`);
      skipScan(reader);
    }
  }
  if (frame === undefined) throw new FormatError(where, "bad-jpeg", "there is no image in the file");
  return frame;
}

function readFrame(where: string, marker: number, body: ByteReader, options: ImageOptions): Frame {
  const precision = body.u8();
  const [height, width] = [body.u16(false), body.u16(false)];
  const components = body.u8();
  if (marker > 0xc2 || precision !== 8) {
    const kind = marker > 0xc2 ? `kind SOF${marker - 0xc0}` : `${precision} bits`;
    throw new FormatError(
      where,
      "unsupported-jpeg",
      `only baseline and progressive JPEG of 8 bits is read: received ${kind}`,
    );
  }
  if (![1, 3, 4].includes(components) || body.left !== 3 * components) {
    throw new FormatError(where, "bad-jpeg", `1, 3 or 4 components make an image: received ${components}`);
  }
  for (let i = 0; i < components; i++) {
    body.take(1);
    const sampling = body.u8();
    body.take(1);
    const [h, v] = [Math.floor(sampling / 16), sampling % 16];
    if (h < 1 || h > 4 || v < 1 || v > 4)
      throw new FormatError(where, "bad-jpeg", `sampling is 1 to 4: received ${h} × ${v}`);
  }
  checkPixels(where, { width, height }, options);
  return { width, height, components };
}

function nextMarker(reader: ByteReader): number {
  if (reader.u8() !== 0xff) {
    throw new FormatError(reader.where, "bad-jpeg", `a marker is missing at offset ${reader.offset - 1}`);
  }
  let marker = reader.u8();
  while (marker === 0xff) marker = reader.u8(); // fill bytes
  return marker;
}

/** Goes to the next marker after entropy-coded data: FF 00 is a byte of it, FF D0 to FF D7 are restarts. */
function skipScan(reader: ByteReader): void {
  const { bytes } = reader;
  let at = reader.offset;
  for (;;) {
    at = bytes.indexOf(0xff, at);
    const next = at < 0 ? undefined : bytes[at + 1];
    if (next === undefined) throw new FormatError(reader.where, "truncated", "the image data does not end");
    if (next !== 0x00 && !(next >= 0xd0 && next <= 0xd7)) break;
    at += 2;
  }
  reader.offset = at;
}
