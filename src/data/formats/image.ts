// Images: PNG and JPEG to and from uint8 arrays [height, width, channels], the format seen from the content.
import { ArgumentError, FormatError, type HostArray } from "../../engine/core/index.ts";
import { readBytes, writeFileAtomic } from "./files.ts";
import { decodeJpeg, encodeJpeg, isJpeg } from "./jpeg.ts";
import { asPixels, type ImageOptions } from "./pixels.ts";
import { decodePng, encodePng, isPng } from "./png.ts";

/** How to encode an image. */
export interface EncodeImageOptions {
  /** Default `png`. */
  readonly format?: "png" | "jpeg";
  /** Of a JPEG, 1 to 100; default 90. */
  readonly quality?: number;
}

/** Reads a PNG or JPEG file; errors as of `decodeImage`. */
export async function readImage(path: string, options: ImageOptions = {}): Promise<HostArray<"uint8">> {
  return decodeImage(await readBytes(path), { where: path, ...options });
}

/**
 * Decodes a PNG or JPEG to uint8 [height, width, channels]; channels are 1, 2, 3 or 4, as in the file.
 *
 * Errors: `FormatError` with code `unknown-image` where it is neither, else those of `decodePng` and `decodeJpeg`.
 *
 * @example
 * decodeImage(encodeImage(new HostArray("uint8", [2, 3, 3]))).shape; // [2, 3, 3]
 */
export function decodeImage(bytes: Uint8Array, options: ImageOptions = {}): HostArray<"uint8"> {
  if (isPng(bytes)) return decodePng(bytes, options);
  if (isJpeg(bytes)) return decodeJpeg(bytes, options);
  throw new FormatError(options.where ?? "image", "unknown-image", "the file is neither PNG nor JPEG");
}

/** Encodes uint8 [height, width] or [height, width, channels] as PNG (default, lossless) or JPEG. */
export function encodeImage(image: HostArray, options: EncodeImageOptions = {}): Uint8Array {
  const pixels = asPixels("encodeImage", image);
  return options.format === "jpeg" ? encodeJpeg(pixels, options.quality ?? 90) : encodePng(pixels);
}

/** Writes an image, atomically and durably; the name's ending (.png, .jpg, .jpeg) chooses the format. */
export async function writeImage(
  path: string,
  image: HostArray,
  options: { readonly quality?: number } = {},
): Promise<void> {
  const ending = /\.(png|jpe?g)$/i.exec(path)?.[1]?.toLowerCase();
  if (ending === undefined) throw new ArgumentError("writeImage", `the name must end in .png, .jpg or .jpeg: ${path}`);
  await writeFileAtomic(path, encodeImage(image, { ...options, format: ending === "png" ? "png" : "jpeg" }));
}
