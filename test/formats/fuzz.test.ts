// Fuzz: 10,000 mutated files over all readers. Each is read or refused with a FormatError, within a second.
// Deterministic: the same files in every run. FUZZ_RUNS multiplies the number for longer campaigns.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { foldIn, FormatError, HostArray, keyOf, randomBits } from "../../src/engine/core/index.ts";
import {
  crc32,
  decodeCsv,
  decodeIdx,
  decodeImage,
  decodeJsonl,
  decodeNpy,
  decodeNpz,
  decodeSafetensors,
  decodeWav,
  encodeIdx,
} from "../../src/data/formats/index.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 1);
const SLOWEST_MS = 1000;

const folder = fileURLToPath(new URL("../fixtures/formats/", import.meta.url));
const fixtures = (ending: string): Uint8Array[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => new Uint8Array(readFileSync(folder + name)));
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

const pixels = HostArray.of(
  Uint8Array.from({ length: 4 * 7 * 7 }, (_, i) => (i * 31) % 256),
  [4, 7, 7],
);
const csv = 'a,b,c\n1,x,true\n-2.5e3,"y ""z""",false\n.5,"multi\nline",1\n';
const json = '{"a":[1,-0.5e2,null,true],"b":{"c":"x\\u00e9\\n","d":[[],{}]}}\n"text"\n[1,2,3]\n';

interface Target {
  readonly files: number;
  readonly seeds: readonly Uint8Array[];
  readonly read: (bytes: Uint8Array) => unknown;
  /** Makes checksums right again, so that the damage reaches the decoder behind them. */
  readonly repair?: (bytes: Uint8Array) => Uint8Array;
}
const columns = { a: "float64", b: "category", c: "bool" } as const;
const targets: { readonly [format: string]: Target } = {
  safetensors: { files: 2500, seeds: fixtures(".safetensors"), read: (bytes) => decodeSafetensors(bytes) },
  npy: { files: 1500, seeds: fixtures(".npy"), read: (bytes) => decodeNpy(bytes) },
  npz: { files: 1000, seeds: fixtures(".npz"), read: (bytes) => decodeNpz(bytes) },
  idx: { files: 500, seeds: [encodeIdx(pixels)], read: (bytes) => decodeIdx(bytes) },
  "idx.gz": { files: 500, seeds: [encodeIdx(pixels, { gzip: true })], read: (bytes) => decodeIdx(bytes) },
  csv: { files: 500, seeds: [text(csv)], read: (bytes) => decodeCsv(bytes, { columns, onMissing: "drop" }) },
  "csv, inferred": { files: 500, seeds: [text(csv)], read: (bytes) => decodeCsv(bytes) },
  jsonl: { files: 1000, seeds: [text(json)], read: (bytes) => decodeJsonl(bytes) },
  wav: { files: 700, seeds: fixtures(".wav"), read: (bytes) => decodeWav(bytes) },
  png: { files: 300, seeds: fixtures(".png"), read: (bytes) => decodeImage(bytes) },
  "png, repaired": { files: 1000, seeds: fixtures(".png"), read: (bytes) => decodeImage(bytes), repair: repairPng },
  jpeg: { files: 600, seeds: fixtures(".jpg"), read: (bytes) => decodeImage(bytes) },
};

function repairPng(bytes: Uint8Array): Uint8Array {
  const out = Buffer.from(bytes);
  for (let offset = 8; offset + 12 <= out.length;) {
    const end = offset + 8 + out.readUInt32BE(offset);
    if (end + 4 > out.length) break;
    out.writeUInt32BE(crc32(out.subarray(offset + 4, end)), end);
    offset = end + 4;
  }
  return out;
}

/** A stream of whole numbers below a limit, from the seed alone. */
function numbersOf(seed: number, file: number): (limit: number) => number {
  const bits = randomBits(foldIn(keyOf(seed), file), 64);
  let next = 0;
  return (limit) => bits[next++ % bits.length]! % limit;
}

// Values at which sizes, signs and states change; characters at which parsers change their minds.
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0x10];
const CHARACTERS = "\"{}[]():,\\-+.e0919\n\r\t \u0000'/_".split("").map((c) => c.charCodeAt(0));

type Mutation = (bytes: Uint8Array, random: (limit: number) => number) => Uint8Array;
const at = (bytes: Uint8Array, random: (limit: number) => number): number => random(Math.max(1, bytes.length));
const write = (bytes: Uint8Array, offset: number, values: readonly number[]): Uint8Array => {
  const out = bytes.slice();
  values.forEach((value, i) => (out[offset + i] = value)); // past the end: ignored by typed arrays
  return out;
};
const mutations: readonly Mutation[] = [
  (b, r) => ((offset) => write(b, offset, [b[offset]! ^ (1 << r(8))]))(at(b, r)),
  (b, r) => write(b, at(b, r), [r(256)]),
  (b, r) => write(b, at(b, r), [EDGES[r(EDGES.length)]!]),
  (b, r) => write(b, at(b, r), [CHARACTERS[r(CHARACTERS.length)]!]),
  (b, r) => write(b, at(b, r), new Array<number>(r(8) + 1).fill(EDGES[r(EDGES.length)]!)),
  (b, r) => b.slice(0, at(b, r)),
  (b, r) => ((offset) => Buffer.concat([b.subarray(0, offset), b.subarray(offset + 1 + r(8))]))(at(b, r)),
  (b, r) => ((offset) => Buffer.concat([b.subarray(0, offset), Buffer.from([r(256)]), b.subarray(offset)]))(at(b, r)),
  (b, r) => ((offset) => Buffer.concat([b, b.subarray(offset, offset + r(64))]))(at(b, r)),
  (b, r) => ((i, j) => Buffer.concat([b.subarray(0, i), b.subarray(j)]))(at(b, r), at(b, r)),
];

function mutate(seed: Uint8Array, random: (limit: number) => number): Uint8Array {
  let bytes = seed;
  for (let times = 1 + random(4); times > 0; times--) bytes = mutations[random(mutations.length)]!(bytes, random);
  return bytes;
}

describe("mutated files are read or refused, never anything else", () => {
  let total = 0;
  it.each(Object.entries(targets))("%s", (format, { files, seeds, read, repair = (bytes) => bytes }) => {
    const codes = new Map<string, number>();
    for (let file = 0; file < files * RUNS; file++) {
      const random = numbersOf(format.length * 1000 + files, file);
      const bytes = repair(mutate(seeds[random(seeds.length)]!, random));
      const start = performance.now();
      let code = "read";
      try {
        read(bytes);
      } catch (error) {
        if (!(error instanceof FormatError))
          throw new Error(`${format}, file ${file}: an untyped error`, { cause: error });
        code = error.code;
      }
      expect(performance.now() - start, `${format}, file ${file}: time`).toBeLessThan(SLOWEST_MS);
      codes.set(code, (codes.get(code) ?? 0) + 1);
      total++;
    }
    // A mutator that only ever breaks the first bytes would test nothing: many kinds of refusal must appear.
    expect(codes.size, JSON.stringify([...codes])).toBeGreaterThanOrEqual(3);
  });
  it("are at least 10,000", () => expect(total).toBeGreaterThanOrEqual(10_000));
});
