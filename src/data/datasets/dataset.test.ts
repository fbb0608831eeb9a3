// Datasets, samplers, loaders, splits and preparation.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ArgumentError,
  DataError,
  foldIn,
  HostArray,
  IndexError,
  keyOf,
  permutation,
  ShapeError,
} from "../../engine/core/index.ts";
import { arrayDataset, subset, type Dataset } from "./dataset.ts";
import { loader, sampler, syncLoader, type LoaderOptions } from "./loader.ts";
import { fitNormalizer, oneHot, rescale } from "./prepare.ts";
import { split, splitIndices } from "./split.ts";

const counting = (n: number): HostArray => HostArray.of(Int32Array.from({ length: n }, (_, i) => i));
const numbers = (n: number): Dataset<{ x: HostArray }> => arrayDataset({ x: counting(n) });

describe("arrayDataset", () => {
  const data = arrayDataset({
    x: {
      image: HostArray.from([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      text: HostArray.from([7, 8, 9], "bfloat16"),
    },
    y: HostArray.from([0, 1, 2], "uint8"),
  });
  it("takes rows of a tree, in order and again", () => {
    const batch = data.batch(Uint32Array.of(2, 0, 2));
    expect(batch.x.image.toNested()).toEqual([
      [5, 6],
      [1, 2],
      [5, 6],
    ]);
    expect(batch.x.text.toNested()).toEqual([9, 7, 9]);
    expect([batch.x.text.dtype, batch.y.dtype]).toEqual(["bfloat16", "uint8"]);
  });
  it("never reads beyond the end", () => {
    expect(() => data.batch(Uint32Array.of(3))).toThrow(IndexError);
    expect(() => subset(data, Uint32Array.of(1)).batch(Uint32Array.of(1))).toThrow(IndexError);
  });
  it("refuses arrays that do not belong together, and none", () => {
    expect(() => arrayDataset({ x: counting(3), y: counting(4) })).toThrow(/x 3, y 4/);
    expect(() => arrayDataset({ x: HostArray.from(1) })).toThrow(ShapeError);
    expect(() => arrayDataset({})).toThrow(DataError);
    expect(() => arrayDataset({ x: new HostArray("float32", [0, 3]) })).toThrow(DataError);
  });
});

describe("order", () => {
  it("is the keyed permutation of the epoch", () => {
    const order = sampler(100, { batchSize: 10, seed: 5 });
    expect(order.order(3)).toEqual(permutation(foldIn(keyOf(5), 3), 100));
    expect(order.order(0)).not.toEqual(order.order(1));
    expect(order.order(0)).toEqual(sampler(100, { batchSize: 7, seed: 5 }).order(0));
    expect(order.order(0)).not.toEqual(sampler(100, { batchSize: 10, seed: 6 }).order(0));
    expect([...sampler(4, { batchSize: 2, shuffle: false }).order(9)]).toEqual([0, 1, 2, 3]);
  });
  it("cannot be changed from outside", () => {
    const order = sampler(10, { batchSize: 2 });
    const first = order.order(0).slice();
    order.order(0).fill(0);
    order.indices(0, 0).fill(0);
    expect(order.order(0)).toEqual(first);
  });
  it("refuses counts that make no sense", () => {
    expect(() => sampler(0, { batchSize: 1 })).toThrow(ArgumentError);
    expect(() => sampler(10, { batchSize: 0 })).toThrow(ArgumentError);
    expect(() => sampler(10, { batchSize: 2.5 })).toThrow(ArgumentError);
    expect(() => sampler(3, { batchSize: 4, dropLast: true })).toThrow(/leaves nothing/);
    expect(() => sampler(3, { batchSize: 1, seed: -1 })).toThrow(ArgumentError);
  });
});

describe("loader", () => {
  const run = async (n: number, options: LoaderOptions): Promise<number[][]> => {
    const batches: number[][] = [];
    for await (const { batch, indices } of loader(numbers(n), options)) {
      expect(batch.x.toFlat()).toEqual([...indices]);
      batches.push([...indices]);
    }
    return batches;
  };
  it("sees every sample once and keeps a smaller last batch, unless told otherwise", async () => {
    const all = await run(10, { batchSize: 4, seed: 1 });
    expect(all.map((batch) => batch.length)).toEqual([4, 4, 2]);
    expect(all.flat().sort((a, b) => a - b)).toEqual([...counting(10).data].map(Number));
    expect(await run(10, { batchSize: 4, seed: 1, dropLast: true })).toEqual(all.slice(0, 2));
  });
  it("goes on in the middle of an epoch exactly where it stopped", async () => {
    const cases = fc.record({
      n: fc.integer({ min: 1, max: 40 }),
      batchSize: fc.integer({ min: 1, max: 12 }),
      seed: fc.nat(1000),
      epoch: fc.nat(5),
      shuffle: fc.boolean(),
      stop: fc.nat(10),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ n, stop, ...options }) => {
        const all = await run(n, options);
        const steps = [...syncLoader(arrayDataset({ x: counting(n) }), options)].slice(0, stop);
        const rest = await run(n, { ...options, position: steps.at(-1)?.position ?? 0 });
        expect([...steps.map(({ indices }) => [...indices]), ...rest]).toEqual(all);
      }),
      { seed: 10, numRuns: 100 },
    );
  });
  it("has nothing left at the end of an epoch and refuses to start behind it", async () => {
    expect(await run(5, { batchSize: 2, position: 5 })).toEqual([]);
    await expect(run(5, { batchSize: 2, position: 6 })).rejects.toThrow(ArgumentError);
  });
  it("waits for datasets that load later", async () => {
    const slow: Dataset = {
      length: 3,
      batch: async (indices) => ({ x: await Promise.resolve(counting(indices.length)) }),
    };
    const seen = [];
    for await (const step of loader(slow, { batchSize: 2 })) seen.push(step.position);
    expect(seen).toEqual([2, 3]);
  });
});

describe("split", () => {
  it("puts every sample into exactly one set, classes in proportion", () => {
    const cases = fc.tuple(
      fc.array(fc.nat(3), { minLength: 4, maxLength: 60 }),
      fc.double({ min: 0.1, max: 0.9 }),
      fc.nat(99),
    );
    fc.assert(
      fc.property(cases, ([labels, fraction, seed]) => {
        const n = labels.length;
        const count = Math.round(n * fraction);
        fc.pre(count > 0 && count < n);
        for (const stratify of [undefined, HostArray.from(labels, "uint8")]) {
          const { train, test } = splitIndices(n, { fraction, seed, ...(stratify === undefined ? {} : { stratify }) });
          expect(test.length).toBe(count);
          expect([...train, ...test].sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
          if (stratify === undefined) continue;
          for (const label of new Set(labels)) {
            const ofClass = labels.filter((l) => l === label).length;
            const inTest = [...test].filter((i) => labels[i] === label).length;
            expect(Math.abs(inTest - (ofClass * count) / n)).toBeLessThan(1);
          }
        }
      }),
      { seed: 11, numRuns: 200 },
    );
  });
  it("depends on the seed alone, and takes the end without shuffling", () => {
    const of = (seed: number): Uint32Array => splitIndices(50, { fraction: 0.3, seed }).test;
    expect(of(1)).toEqual(of(1));
    expect(of(1)).not.toEqual(of(2));
    expect([...splitIndices(10, { fraction: 0.2, shuffle: false }).test]).toEqual([8, 9]);
  });
  it("gives datasets", () => {
    const [train, test] = split(arrayDataset({ x: counting(10) }), { fraction: 0.2, shuffle: false });
    expect(test.batch(Uint32Array.of(1, 0)).x.toFlat()).toEqual([9, 8]);
    expect(train.length).toBe(8);
  });
  it("refuses empty sets and labels of another length", () => {
    expect(() => splitIndices(10, { fraction: 0.01 })).toThrow(ArgumentError);
    expect(() => splitIndices(10, { fraction: 1 })).toThrow(ArgumentError);
    expect(() => splitIndices(10, { fraction: NaN })).toThrow(ArgumentError);
    expect(() => splitIndices(10, { fraction: 0.5, stratify: counting(9) })).toThrow(ShapeError);
    expect(() => splitIndices(10, { fraction: 0.5, stratify: counting(10), shuffle: false })).toThrow(ArgumentError);
  });
});

describe("preparation", () => {
  it("makes one-hot rows", () => {
    expect(oneHot(HostArray.from([[0, 2]], "uint8"), 3).toNested()).toEqual([
      [
        [1, 0, 0],
        [0, 0, 1],
      ],
    ]);
    expect(() => oneHot(HostArray.from([3], "uint8"), 3)).toThrow(IndexError);
    expect(() => oneHot(HostArray.from([-1], "int32"), 3)).toThrow(IndexError);
    expect(() => oneHot(HostArray.from([0.5]), 3)).toThrow(IndexError);
    expect(() => oneHot(counting(3), 0)).toThrow(ArgumentError);
  });
  it("scales pixels", () => {
    expect(rescale(HostArray.from([0, 51, 255], "uint8"), 2 / 255, -1).toFlat()).toEqual([-1, Math.fround(-0.6), 1]);
  });
  it("normalises with the statistics of the training data", () => {
    const train = HostArray.from([
      [1, 10, 5],
      [3, 30, 5],
    ]);
    const normal = fitNormalizer(train);
    expect([...normal.mean]).toEqual([2, 20, 5]);
    expect([...normal.std]).toEqual([1, 10, 1]);
    expect(normal.constant).toEqual([2]);
    expect(normal.apply(train).toNested()).toEqual([
      [-1, -1, 0],
      [1, 1, 0],
    ]);
    expect(normal.apply(HostArray.from([[2, 50, 6]])).toNested()).toEqual([[0, 3, 1]]);
    expect(() => normal.apply(HostArray.from([[1, 2]]))).toThrow(ShapeError);
  });
  it("keeps the axis it is told, or none", () => {
    const x = HostArray.from([
      [
        [1, 2],
        [3, 4],
      ],
      [
        [5, 6],
        [7, 8],
      ],
    ]);
    expect([...fitNormalizer(x, { axis: 1 }).mean]).toEqual([3.5, 5.5]);
    expect([...fitNormalizer(x, { axis: null }).mean]).toEqual([4.5]);
    expect(() => fitNormalizer(x, { axis: 3 })).toThrow(ShapeError);
  });
  it("is exact where sums of squares would cancel", () => {
    const x = HostArray.of(Float64Array.from([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]), [4, 1]);
    expect(fitNormalizer(x).std[0]).toBeCloseTo(Math.sqrt(22.5), 12);
  });
  it("refuses NaN and nothing", () => {
    expect(() => fitNormalizer(HostArray.from([[NaN]]))).toThrow(DataError);
    expect(() => fitNormalizer(new HostArray("float32", [0, 3]))).toThrow(DataError);
  });
});
