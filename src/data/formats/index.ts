// formats: one file per file format, reader and writer together; from bytes to HostArray and back.
export { ByteReader, decodeUtf8, type DecodeOptions } from "./bytes.ts";
export * from "./checked.ts";
export * from "./crc32.ts";
export * from "./csv.ts";
export * from "./files.ts";
export * from "./gzip.ts";
export * from "./idx.ts";
export * from "./image.ts";
export * from "./json.ts";
export * from "./jsonl.ts";
export * from "./npy.ts";
export * from "./npz.ts";
export * from "./parquet.ts";
export type { ImageOptions } from "./pixels.ts";
export * from "./safetensors.ts";
export * from "./wav.ts";
export * from "./zip.ts";
