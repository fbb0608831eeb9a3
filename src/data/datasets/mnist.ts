// MNIST and Fashion-MNIST: 28 × 28 pictures in ten classes. Ten thousand digits ship with the package.
import { access } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError, FormatError, type HostArray } from "../../engine/core/index.ts";
import { decodeIdx, isGzip, readBytes, sha256, unpackIdx } from "../formats/index.ts";
import { digitFiles, knownDatasets, type KnownFile, type KnownName } from "./known.ts";

/** Pictures with labels, in two parts. */
export interface ImageDataset {
  /** uint8 [n, 28, 28], or [n, 32, 32, 3] for CIFAR-10; 0 is the background of digits. */
  readonly trainImages: HostArray<"uint8">;
  /** uint8 [n], numbers of `classNames`. */
  readonly trainLabels: HostArray<"uint8">;
  readonly testImages: HostArray<"uint8">;
  readonly testLabels: HostArray<"uint8">;
  readonly classNames: readonly string[];
  /** What was loaded, and from where. */
  readonly source: string;
}

/** Where original files lie. */
export interface FolderOptions {
  /** A folder with the original files, plain or gzip. */
  readonly folder?: string;
}

const DIGITS = fileURLToPath(new URL("../../../data/digits/", import.meta.url));
const TRAIN_DIGITS = 9000;
const FASHION = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];
const DIGIT_NAMES = Array.from({ length: 10 }, (_, digit) => String(digit));

/**
 * Handwritten digits. Without a folder: the 10,000 digits that ship with this package (9,000 to train, 1,000 to test,
 * classes mixed). With a folder: the four original files of the full set (60,000 and 10,000), checked by SHA-256.
 *
 * Errors: `FormatError` with code `unreadable` or `wrong-hash`, or those of the idx reader.
 *
 * @example
 * const { trainImages, trainLabels, testImages, testLabels } = await mnist();
 */
export async function mnist(options: FolderOptions = {}): Promise<ImageDataset> {
  if (options.folder !== undefined) return fromFolder("mnist", options.folder, DIGIT_NAMES);
  const [images, labels] = await Promise.all([
    readKnown(DIGITS, digitFiles.images),
    readKnown(DIGITS, digitFiles.labels),
  ]);
  const n = images.shape[0]!;
  return {
    trainImages: images.rows(0, TRAIN_DIGITS),
    trainLabels: labels.rows(0, TRAIN_DIGITS),
    testImages: images.rows(TRAIN_DIGITS, n),
    testLabels: labels.rows(TRAIN_DIGITS, n),
    classNames: DIGIT_NAMES,
    source: `10,000 digits of MNIST shipped with the package (${TRAIN_DIGITS} + ${n - TRAIN_DIGITS})`,
  };
}

/**
 * Fashion-MNIST from a folder of its four original files (60,000 and 10,000), checked by SHA-256 of their content.
 *
 * Files repacked by a distribution (Debian's `dataset-fashion-mnist`) have the same content and are taken.
 *
 * @example no-run
 * const { trainImages } = await fashionMnist({ folder: "data/fashion-mnist" });
 */
export async function fashionMnist(options: FolderOptions = {}): Promise<ImageDataset> {
  return fromFolder("fashion-mnist", requireFolder("fashionMnist", "fashion-mnist", options), FASHION);
}

/** The folder, or an error that says how to get one. */
export function requireFolder(where: string, name: KnownName, options: FolderOptions): string {
  if (options.folder !== undefined) return options.folder;
  throw new DataError(where, "the folder of the original files is needed", {
    hint: `fetch them: chainrule data fetch ${name} FOLDER (or fetchDataset("${name}", folder))`,
  });
}

/** Refuses content whose hash is not the published one. */
export function checkHash(path: string, received: string, expected: string): void {
  if (received === expected) return;
  throw new FormatError(path, "wrong-hash", `the content has the hash ${received}: expected ${expected}`, {
    hint: "the file is damaged or not the original: fetch it again",
  });
}

async function fromFolder(name: KnownName, folder: string, classNames: readonly string[]): Promise<ImageDataset> {
  const [trainImages, trainLabels, testImages, testLabels] = await Promise.all(
    knownDatasets[name].files.map((file) => readKnown(folder, file)),
  );
  return {
    trainImages: trainImages!,
    trainLabels: trainLabels!,
    testImages: testImages!,
    testLabels: testLabels!,
    classNames,
    source: `${knownDatasets[name].title}, from ${folder}`,
  };
}

async function readKnown(folder: string, file: Pick<KnownFile, "name" | "contentSha256">): Promise<HostArray<"uint8">> {
  const plain = join(folder, file.name.replace(/\.gz$/, ""));
  const packed = join(folder, file.name);
  const path = (await exists(packed)) || !(await exists(plain)) ? packed : plain;
  const bytes = await readBytes(path);
  const content = isGzip(bytes) ? unpackIdx(path, bytes) : bytes;
  checkHash(path, sha256(content), file.contentSha256!);
  return asBytes(decodeIdx(content, { where: path }));
}

function asBytes(array: HostArray): HostArray<"uint8"> {
  if (array.dtype !== "uint8")
    throw new FormatError("mnist", "unknown-dtype", `expected uint8: received ${array.toString()}`);
  return array as HostArray<"uint8">;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
