// Files written by NumPy, safetensors, SciPy, Pillow and Python's own library are read as those libraries see them.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { FormatError, type HostArray } from "../../src/engine/core/index.ts";
import {
  decodeImage,
  decodeNpy,
  decodeNpz,
  decodeSafetensors,
  decodeWav,
  encodeNpy,
  encodeSafetensors,
  openSafetensors,
} from "../../src/data/formats/index.ts";

const folder = fileURLToPath(new URL("../fixtures/formats/", import.meta.url));
const bytes = (name: string): Uint8Array => new Uint8Array(readFileSync(folder + name));

interface Expected {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: readonly (number | string | boolean)[];
}
const expected = JSON.parse(readFileSync(`${folder}expected.json`, "utf8")) as {
  readonly [file: string]: Expected;
} & { readonly "all.safetensors": { readonly [name: string]: Expected } };

const files = readdirSync(folder);
const ending = (text: string): string[] => files.filter((file) => file.endsWith(text));

/** What the array holds, in the form of expected.json. */
function seen(array: HostArray): Expected {
  const values = Array.from(array.data as ArrayLike<number | bigint>, (raw, i) => {
    if (typeof raw === "bigint") return String(raw);
    if (array.dtype === "bool") return raw === 1;
    return array.dtype === "bfloat16" ? raw : array.get(i);
  });
  return { dtype: array.dtype, shape: array.shape, values };
}

describe("npy as NumPy writes it", () => {
  const arrays = ending(".npy").filter((file) => file !== "object.npy");
  it("has all fixtures", () => expect(arrays.length).toBe(20));
  it.each(arrays)("%s", (file) => expect(seen(decodeNpy(bytes(file)))).toEqual(expected[file]));

  it.each(arrays.filter((file) => !/big|fortran|version/.test(file)))("%s is written byte for byte", (file) => {
    expect(Buffer.from(encodeNpy(decodeNpy(bytes(file))))).toEqual(Buffer.from(bytes(file)));
  });

  it("never reads pickled objects", () => {
    expect(() => decodeNpy(bytes("object.npy"))).toThrow(expect.objectContaining({ code: "object-dtype" }) as Error);
  });
});

describe("npz as NumPy writes it", () => {
  it.each(["stored.npz", "deflated.npz"])("%s", (file) => {
    const arrays = decodeNpz(bytes(file));
    expect(seen(arrays.get("x")!)).toEqual(expected["f4.npy"]);
    expect(seen(arrays.get("labels")!)).toEqual(expected["u1.npy"]);
    expect([...arrays.keys()]).toEqual(file === "stored.npz" ? ["x", "labels"] : ["x", "labels", "zeros"]);
  });
});

describe("safetensors as the reference library writes it", () => {
  const names = Object.keys(expected["all.safetensors"]);
  const file = decodeSafetensors(bytes("all.safetensors"));

  it("has every tensor and the metadata", () => {
    expect([...file.tensors.keys()].sort()).toEqual(names.sort());
    expect(new Set([...file.tensors.values()].map((array) => array.dtype)).size).toBe(13);
    expect([...file.metadata]).toEqual([["format", "np"]]);
  });
  it.each(names)("%s", (name) => {
    expect(seen(file.tensors.get(name)!)).toEqual(expected["all.safetensors"][name]);
  });
  it("is written byte for byte", () => {
    const written = encodeSafetensors(file.tensors, { metadata: file.metadata });
    expect(Buffer.from(written)).toEqual(Buffer.from(bytes("all.safetensors")));
  });
  it("gives one tensor without the others", async () => {
    const opened = await openSafetensors(`${folder}all.safetensors`);
    expect(seen(await opened.read("bf16"))).toEqual(expected["all.safetensors"]["bf16"]);
    await opened.close();
  });
});

describe("WAV as SciPy and Python write it", () => {
  it.each(ending(".wav"))("%s", (file) => {
    expect(seen(decodeWav(bytes(file)).samples)).toEqual(expected[file]);
  });
});

describe("images as Pillow writes them", () => {
  it.each(ending(".png"))("%s", (file) => expect(seen(decodeImage(bytes(file)))).toEqual(expected[file]));

  // Two decoders may round the inverse cosine transform differently.
  it.each(ending(".jpg"))("%s within 2 of 255", (file) => {
    const { shape, data } = decodeImage(bytes(file));
    expect(shape).toEqual(expected[file]!.shape);
    const off = expected[file]!.values.map((value, i) => Math.abs(Number(value) - data[i]!));
    expect(Math.max(...off)).toBeLessThanOrEqual(2);
  });
});

it("refuses every fixture read as another format, with a typed error", () => {
  const readers = { ".npy": decodeNpy, ".npz": decodeNpz, ".safetensors": decodeSafetensors, ".wav": decodeWav };
  for (const [own, read] of Object.entries(readers)) {
    for (const file of files.filter((name) => !name.endsWith(own))) {
      expect(() => read(bytes(file)), `${file} as ${own}`).toThrow(FormatError);
    }
  }
});
