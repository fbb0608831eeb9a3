// Windows: every pair of neighbours once an epoch, nothing left out, documents never mixed without being told apart.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, DataError } from "../../src/engine/core/index.ts";
import {
  sampler,
  tokenStore,
  tokenWindows,
  type TokenStore,
  type TokenWindows,
  type TokenWindowsOptions,
} from "../../src/data/datasets/index.ts";

/** A store in which each token says where it stands, so that pairs can be told from each other. */
function numbered(lengths: readonly number[]): TokenStore {
  let at = 0;
  return tokenStore(
    lengths.map((length) => Array.from({ length }, () => at++)),
    Math.max(1, at),
  );
}

interface Slot {
  readonly id: number;
  readonly label: number;
  readonly segment: number | undefined;
  readonly position: number | undefined;
  readonly weight: number | undefined;
}

/** The rows of all windows, in the order of an epoch. */
function rowsOf(windows: TokenWindows, time: number, epoch: number = 0): Slot[][] {
  const order = sampler(windows.length, { batchSize: 3, seed: 7 });
  const rows: Slot[][] = [];
  for (let position = 0; position < windows.length; position += 3) {
    const indices = order.indices(epoch, position);
    const { x, y, weights } = windows.batch(indices);
    for (let row = 0; row < indices.length; row++) {
      rows.push(
        Array.from({ length: time }, (_, t) => {
          const i = row * time + t;
          return {
            id: x.ids.get(i),
            label: y[0].get(i),
            segment: x.segments?.get(i),
            position: x.positions?.get(i),
            weight: weights?.[0].get(i),
          };
        }),
      );
    }
  }
  return rows;
}

const lengths = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 30 });
const time = fc.integer({ min: 1, max: 24 });

/** First tokens of all pairs that a kind of windows must cover. */
function pairsOf(sizes: readonly number[], apart: boolean): number[] {
  const starts: number[] = [];
  let at = 0;
  for (const size of sizes) {
    for (let i = 0; i < size - 1; i++) starts.push(at + i);
    at += size;
  }
  return apart ? starts : Array.from({ length: Math.max(0, at - 1) }, (_, i) => i);
}

const kinds: readonly (readonly [string, Omit<TokenWindowsOptions, "time">])[] = [
  ["joined", {}],
  ["apart", { documents: "apart" }],
  ["best-fit", { documents: "apart", packing: "best-fit" }],
];

describe("tokenWindows", () => {
  it.each(kinds)("%s: every pair once an epoch, in any epoch; the report counts what is there", (_, options) => {
    fc.assert(
      fc.property(lengths, time, fc.integer({ min: 0, max: 5 }), (sizes, T, epoch) => {
        const expected = pairsOf(sizes, options.documents === "apart");
        fc.pre(expected.length > 0);
        const store = numbered(sizes);
        const windows = tokenWindows(store, { time: T, ...options });
        const slots = rowsOf(windows, T, epoch).flat();
        const trained = slots.filter(({ label }) => label >= 0);
        expect(trained.map(({ id }) => id).sort((a, b) => a - b)).toEqual(expected);
        expect(trained.every(({ id, label }) => label === id + 1)).toBe(true);
        const { report } = windows;
        expect([report.pairs, report.padding, report.cut]).toEqual([
          expected.length,
          slots.length - expected.length,
          0,
        ]);
        expect(report.windows).toBe(windows.length);
        expect(report.paddingPercent).toBeCloseTo((100 * report.padding) / slots.length);
      }),
    );
  });

  it.each(kinds.slice(1))("%s: a segment is one document, its positions are 0, 1, 2, …", (_, options) => {
    fc.assert(
      fc.property(lengths, time, (sizes, T) => {
        fc.pre(pairsOf(sizes, true).length > 0);
        const documentOf = sizes.flatMap((size, d) => Array.from({ length: size }, () => d));
        for (const row of rowsOf(tokenWindows(numbered(sizes), { time: T, ...options }), T)) {
          row.forEach(({ id, label, segment, position }, t) => {
            expect(position).toBeLessThan(T);
            if (label < 0) {
              expect(segment).toBe(-1);
              return;
            }
            expect(documentOf[label]).toBe(documentOf[id]);
            const before = row[t - 1];
            if (before?.segment === segment) {
              expect([before!.id + 1, before!.position! + 1]).toEqual([id, position]);
            } else {
              expect([segment, position]).toEqual([(before?.segment ?? -1) + 1, 0]);
            }
          });
        }
      }),
    );
  });

  it("best-fit cuts no document that fits, and leaves no two windows that would fit into one", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 2, max: 25 }), { minLength: 1, maxLength: 60 }), (sizes) => {
        const T = 24;
        const windows = tokenWindows(numbered(sizes), { time: T, documents: "apart", packing: "best-fit" });
        expect(windows.report.continued).toBe(0);
        expect(windows.length).toBeLessThanOrEqual(Math.max(sizes.length, 1));
        // No two windows that would fit into one: each best fit looks for room first.
        const rows = rowsOf(windows, T).map((row) => row.filter(({ label }) => label >= 0).length);
        const [least, second] = rows.sort((a, b) => a - b);
        if (second !== undefined) expect(least! + second).toBeGreaterThan(T);
      }),
    );
  });

  it("cuts only where asked, and counts it", () => {
    const store = numbered([30, 5]);
    const options = { time: 10, documents: "apart", packing: "best-fit" } as const;
    const whole = tokenWindows(store, options).report;
    expect([whole.cut, whole.cutPercent, whole.continued, whole.pairs]).toEqual([0, 0, 1, 33]);
    const cut = tokenWindows(store, { ...options, long: "cut" });
    expect([cut.report.cut, cut.report.continued, cut.report.pairs]).toEqual([19, 0, 14]);
    expect(cut.report.cutPercent).toBeCloseTo((100 * 19) / 33);
    expect(() => tokenWindows(store, { ...options, long: "refuse" })).toThrow(DataError);
    expect(tokenWindows(store, { ...options, time: 29, long: "refuse" }).report.continued).toBe(0);
  });

  it("draws windows that are a function of (seed, number) alone", () => {
    const store = numbered([500, 300]);
    for (const documents of ["joined", "apart"] as const) {
      const draw = (windows: number, seed: number): number[][] =>
        rowsOf(tokenWindows(store, { time: 16, documents, draw: { windows, seed } }), 16)
          .map((row) => row.map(({ id }) => id))
          .sort((a, b) => a[0]! - b[0]!);
      expect(draw(50, 1)).toEqual(draw(50, 1));
      expect(draw(50, 1)).not.toEqual(draw(50, 2));
      const keys = new Set(draw(60, 1).map(String));
      expect(draw(50, 1).every((row) => keys.has(String(row)))).toBe(true);
      const starts = new Set(draw(4000, 3).map(([first]) => first));
      // All places are drawn: 784 in a stream of 800; each is missed with a chance of e^-5.
      expect(starts.size).toBeGreaterThan(740);
      expect(tokenWindows(store, { time: 16, documents, draw: { windows: 9, seed: 0 } }).report.padding).toBe(0);
    }
  });

  it("marks what is not trained by weights where asked", () => {
    const store = numbered([4, 3]);
    const { x, y, weights } = tokenWindows(store, { time: 4, documents: "apart", untrained: "weight" }).batch(
      Uint32Array.of(0, 1),
    );
    expect(x.ids.toNested()).toEqual([
      [0, 1, 2, 4],
      [5, 0, 0, 0],
    ]);
    expect(y[0].toNested()).toEqual([
      [1, 2, 3, 5],
      [6, 0, 0, 0],
    ]);
    expect(weights![0].toNested()).toEqual([
      [1, 1, 1, 1],
      [1, 0, 0, 0],
    ]);
  });

  it("refuses what contradicts itself", () => {
    const store = numbered([4, 3]);
    expect(() => tokenWindows(store, { time: 0 })).toThrow(ArgumentError);
    expect(() => tokenWindows(store, { time: 4, packing: "best-fit" })).toThrow(/keeps documents apart/);
    expect(() => tokenWindows(store, { time: 4, long: "cut" })).toThrow(ArgumentError);
    expect(() => tokenWindows(store, { time: 8, draw: { windows: 2, seed: 0 } })).toThrow(DataError);
    expect(() => tokenWindows(numbered([1, 1]), { time: 8, documents: "apart" })).toThrow(/no pair of tokens/);
    expect(() => tokenWindows(store, { time: 4 }).batch(Uint32Array.of(2))).toThrow(/window 2 does not exist/);
  });
});
