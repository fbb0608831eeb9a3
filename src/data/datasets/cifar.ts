// CIFAR-10, binary version: from its original archive or from a folder of the unpacked batches.
import { createHash } from "node:crypto";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, HostArray } from "../../engine/core/index.ts";
import { ByteReader, gunzip, readBytes, sha256 } from "../formats/index.ts";
import { cifarBatches, knownDatasets } from "./known.ts";
import { checkHash, requireFolder, type FolderOptions, type ImageDataset } from "./mnist.ts";

const CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 1 + 3 * PLANE;
const ROWS_PER_BATCH = 10_000;
/** Unpacked size of the archive with room for its tar headers. */
const ARCHIVE_LIMIT = 200_000_000;

/**
 * CIFAR-10 as uint8 [n, 32, 32, 3] (50,000 and 10,000) from a folder that holds `cifar-10-binary.tar.gz` (checked by
 * SHA-256) or its unpacked `data_batch_1.bin` … `test_batch.bin`, here or in `cifar-10-batches-bin` (checked by MD5,
 * the only hash that is published for them).
 *
 * Errors: `FormatError` with code `unreadable`, `wrong-hash`, `bad-gzip`, `bad-tar`, `missing-file`, `bad-label`.
 *
 * @example no-run
 * const { trainImages, classNames } = await cifar10({ folder: "data/cifar-10" });
 */
export async function cifar10(options: FolderOptions = {}): Promise<ImageDataset> {
  const folder = requireFolder("cifar10", "cifar-10", options);
  const archive = knownDatasets["cifar-10"].files[0]!;
  const packed = join(folder, archive.name);
  const batches = (await isThere(packed))
    ? await fromArchive(packed, archive.sha256)
    : await Promise.all(cifarBatches.map(([name, md5]) => readBatch(folder, name, md5)));
  const train = decodeCifar(batches.slice(0, 5), ROWS_PER_BATCH);
  const test = decodeCifar(batches.slice(5), ROWS_PER_BATCH);
  return {
    trainImages: train.images,
    trainLabels: train.labels,
    testImages: test.images,
    testLabels: test.labels,
    classNames: CLASSES,
    source: `${knownDatasets["cifar-10"].title}, from ${folder}`,
  };
}

/**
 * Decodes CIFAR-10 batches: records of one label and three planes (red, green, blue) of 32 × 32 bytes.
 *
 * Planes become the last axis: images are uint8 [n, 32, 32, 3].
 */
export function decodeCifar(
  batches: readonly Uint8Array[],
  rowsPerBatch: number,
): { images: HostArray<"uint8">; labels: HostArray<"uint8"> } {
  const n = batches.length * rowsPerBatch;
  const images = new HostArray("uint8", [n, SIDE, SIDE, 3]);
  const labels = new HostArray("uint8", [n]);
  batches.forEach((batch, b) => {
    if (batch.length !== rowsPerBatch * RECORD) {
      const problem = `a batch has ${rowsPerBatch * RECORD} bytes: received ${batch.length}`;
      throw new FormatError("cifar10", "size-mismatch", problem);
    }
    for (let row = 0; row < rowsPerBatch; row++) {
      const start = row * RECORD;
      const label = batch[start]!;
      if (label >= CLASSES.length)
        throw new FormatError("cifar10", "bad-label", `record ${row} has the label ${label}`);
      const to = b * rowsPerBatch + row;
      labels.data[to] = label;
      for (let i = 0; i < 3 * PLANE; i++) {
        images.data[(to * PLANE + (i % PLANE)) * 3 + Math.floor(i / PLANE)] = batch[start + 1 + i]!;
      }
    }
  });
  return { images, labels };
}

/** Regular files of a tar archive by their last name; anything odd is the error `bad-tar`. */
export function listTar(bytes: Uint8Array, where: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const reader = new ByteReader(bytes, where);
  while (reader.left >= 512) {
    const head = reader.take(512);
    if (head.every((byte) => byte === 0)) break;
    const size = octal(where, head, 124, 12);
    const stated = octal(where, head, 148, 8);
    const sum = head.reduce((a, byte, i) => a + (i >= 148 && i < 156 ? 32 : byte), 0);
    if (sum !== stated) throw new FormatError(where, "bad-tar", "a header of the archive is damaged");
    const name = new TextDecoder().decode(head.subarray(0, 100)).replace(/\0.*$/s, "");
    const body = reader.take(size);
    if (size % 512 > 0) reader.take(512 - (size % 512));
    const type = head[156]!;
    if (type === 0 || type === 0x30) files.set(name.slice(name.lastIndexOf("/") + 1), body);
  }
  return files;
}

function octal(where: string, head: Uint8Array, offset: number, length: number): number {
  const text = String.fromCharCode(...head.subarray(offset, offset + length))
    .replace(/[\0 ]+$/, "")
    .trim();
  if (!/^[0-7]{1,11}$/.test(text)) throw new FormatError(where, "bad-tar", "a number in the archive is not octal");
  return Number.parseInt(text, 8);
}

async function fromArchive(path: string, hash: string): Promise<Uint8Array[]> {
  const packed = await readBytes(path);
  checkHash(path, sha256(packed), hash);
  const files = listTar(gunzip(path, packed, ARCHIVE_LIMIT), path);
  return cifarBatches.map(([name]) => {
    const file = files.get(name);
    if (file === undefined) throw new FormatError(path, "missing-file", `the archive has no ${name}`);
    return file;
  });
}

async function readBatch(folder: string, name: string, md5: string): Promise<Uint8Array> {
  const inner = join(folder, "cifar-10-batches-bin", name);
  const path = (await isThere(inner)) ? inner : join(folder, name);
  const bytes = await readBytes(path);
  checkHash(path, createHash("md5").update(bytes).digest("hex"), md5);
  return bytes;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
