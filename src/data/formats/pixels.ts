// What PNG and JPEG share: the limit on sizes, and how an array is seen as pixels.
import { DtypeError, FormatError, ShapeError, type HostArray } from "../../engine/core/index.ts";
import type { DecodeOptions } from "./bytes.ts";

/** How to decode an image. */
export interface ImageOptions extends DecodeOptions {
  /** Most pixels taken; default 2^26 (67 megapixels). */
  readonly maxPixels?: number;
}

/** An array seen as an image. */
export interface PixelShape {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** Refuses empty images and those above the limit (code `bad-header` or `too-large`). */
export function checkPixels(where: string, size: { width: number; height: number }, options: ImageOptions): void {
  const { width, height } = size;
  const most = options.maxPixels ?? 2 ** 26;
  if (width === 0 || height === 0) throw new FormatError(where, "bad-header", `an image of ${width} × ${height}`);
  if (width * height > most) {
    const hint = "raise `maxPixels` if you trust the file";
    throw new FormatError(where, "too-large", `${width} × ${height} are more than ${most} pixels`, { hint });
  }
}

/** Checks that an array is uint8 [height, width] or [height, width, 1 to 4]. */
export function asPixels(where: string, image: HostArray): PixelShape {
  if (image.dtype !== "uint8") {
    throw new DtypeError(where, `an image is uint8: received ${image.toString()}`, { hint: "scale to 0…255 and cast" });
  }
  const [height = 0, width = 0, channels = 1] = image.shape;
  const rank = image.shape.length;
  if (rank < 2 || rank > 3 || height === 0 || width === 0 || channels < 1 || channels > 4) {
    throw new ShapeError(where, `an image is [height, width] or [height, width, 1 to 4]: received ${image.toString()}`);
  }
  return { width, height, channels, data: image.data as Uint8Array };
}
