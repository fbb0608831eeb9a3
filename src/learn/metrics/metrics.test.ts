// What metrics promise beyond single values: exact merging, Keras's shape rules, hard cases, intervals, names.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostArray, keyOf } from "../../engine/core/index.ts";
import * as m from "./index.ts";
import { measure, type Metric, type MetricBatch } from "./index.ts";

const ints = (nested: Parameters<typeof HostArray.from>[0]): HostArray => HostArray.from(nested, "int32");
const floats = (nested: Parameters<typeof HostArray.from>[0]): HostArray => HostArray.from(nested, "float64");

/** Rows of a batch whose weights are always given. */
function take({ yTrue, yPred, sampleWeight }: MetricBatch, rows: readonly number[]): MetricBatch {
  return { yTrue: yTrue.takeRows(rows), yPred: yPred.takeRows(rows), sampleWeight: sampleWeight?.takeRows(rows) };
}

const forClasses: Metric<unknown, unknown>[] = [
  m.accuracy(),
  m.topKAccuracy({ k: 2 }),
  m.precision({ average: "macro" }),
  m.recall({ average: "weighted" }),
  m.f1Score({ average: "micro" }),
  m.balancedAccuracy(),
  m.matthewsCorrcoef(),
  m.cohenKappa({ weights: "linear" }),
  m.confusionMatrix(),
  m.rocAuc(),
  m.rocAuc({ multiClass: "ovo", average: "weighted" }),
  m.averagePrecision({ average: "weighted" }),
  m.logLoss(),
  m.perplexity(),
  m.brierScore(),
  m.expectedCalibrationError(),
  m.reliabilityTable(),
];
const forNumbers: Metric<unknown, unknown>[] = [
  m.meanSquaredError(),
  m.rootMeanSquaredError(),
  m.meanAbsoluteError(),
  m.r2Score(),
  m.r2Scores(),
];

describe("any cut into batches and any order of merging gives the same bits", () => {
  const sample = fc.record({
    logits: fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 4, maxLength: 4 }),
    label: fc.nat(3),
    numbers: fc.tuple(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.double({ min: -1e6, max: 1e6, noNaN: true })),
    weight: fc.oneof(fc.constant(1), fc.constant(0), fc.double({ min: 0.001, max: 100, noNaN: true })),
  });
  const someSamples = fc.array(sample, { minLength: 4, maxLength: 25 }).filter((s) => s.some((x) => x.weight > 0));

  it("for every metric", () => {
    fc.assert(
      fc.property(someSamples, fc.infiniteStream(fc.nat()), (samples, random) => {
        const sampleWeight = floats(samples.map((s) => s.weight));
        const softmax = samples.map(({ logits }) => {
          const e = logits.map(Math.exp);
          return e.map((x) => x / e.reduce((a, b) => a + b, 0));
        });
        const classes = { yTrue: ints(samples.map((s) => s.label)), yPred: floats(softmax), sampleWeight };
        const numbers = {
          yTrue: floats(samples.map((s) => s.numbers)),
          yPred: floats(samples.map((s) => [...s.numbers].reverse())),
          sampleWeight,
        };
        // Deal the rows in a random order to three workers, two of which pass their state on as JSON.
        const workers: number[][] = [[], [], []];
        const order = samples.map((_, i) => ({ i, at: random.next().value! })).sort((a, b) => a.at - b.at);
        for (const { i } of order) workers[random.next().value! % 3]!.push(i);
        for (const [metrics, batch] of [
          [forClasses, classes],
          [forNumbers, numbers],
        ] as const) {
          for (const metric of metrics) {
            const states = workers.map((rows) => {
              const state = metric.initial();
              const half = rows.length >> 1;
              metric.update(state, take(batch, rows.slice(half)));
              metric.update(state, take(batch, rows.slice(0, half)));
              return JSON.parse(JSON.stringify(state)) as unknown;
            });
            const all = metric.initial();
            for (const state of states.reverse()) metric.merge(all, state);
            expect(metric.result(all), metric.name).toStrictEqual(measure(metric, batch));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it("a whole weight means a sample as many times", () => {
    const batch = { yTrue: ints([0, 1, 2, 1, 0]), yPred: floats([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.7, 0.1, 0.2], [0.2, 0.5, 0.3]]) }; // prettier-ignore
    const repeated = take(batch, [0, 0, 0, 1, 2, 2, 3, 4]);
    const weighted = { ...batch, sampleWeight: floats([3, 1, 2, 1, 1]) };
    for (const metric of forClasses) {
      const [a, b] = [measure(metric, weighted), measure(metric, repeated)];
      if (typeof a === "number") expect(a, metric.name).toBeCloseTo(b as number, 13);
      else expect(JSON.stringify(a), metric.name).toBe(JSON.stringify(b));
    }
  });
});

describe("accuracy decides by the shapes, as Keras", () => {
  it("threshold, one-hot, labels, predicted labels, tokens", () => {
    expect(measure(m.accuracy(), { yTrue: ints([[1], [0]]), yPred: floats([[0.6], [0.5]]) })).toBe(1);
    expect(measure(m.accuracy(), { yTrue: floats([1, 0]), yPred: floats([[0.6], [0.6]]) })).toBe(0.5);
    expect(measure(m.accuracy(), { yTrue: floats([[0, 1], [1, 0]]), yPred: floats([[0.6, 0.7], [0.1, 0.7]]) })).toBe(0.5); // prettier-ignore
    expect(measure(m.accuracy(), { yTrue: ints([[1], [0]]), yPred: floats([[0.6, 0.7], [0.1, 0.7]]) })).toBe(0.5); // prettier-ignore
    expect(measure(m.accuracy(), { yTrue: ints([[1, 2, 0]]), yPred: ints([[1, 0, 0]]) })).toBe(2 / 3);
    const tokens = { yTrue: ints([[1, -100]]), yPred: floats([[[0, 1, 0], [0, 0, 1]]]), sampleWeight: floats([[1, 0]]) }; // prettier-ignore
    expect(measure(m.accuracy(), tokens)).toBe(1);
  });

  it("binary accuracy of several labels per sample counts entries; sample weights spread over them", () => {
    const batch = { yTrue: ints([[1, 0], [1, 1]]), yPred: floats([[0.9, 0.8], [0.9, 0.9]]) }; // prettier-ignore
    expect(measure(m.binaryAccuracy(), batch)).toBe(0.75);
    expect(measure(m.binaryAccuracy(), { ...batch, sampleWeight: floats([3, 1]) })).toBe(5 / 8);
    expect(measure(m.f1Score({ elementwise: true }), batch)).toBe(6 / 7);
    expect(measure(m.binaryAccuracy({ threshold: 0.85 }), batch)).toBe(1);
  });

  it("float32, bfloat16 and int64 are read as what they mean", () => {
    const labels = ints([0, 1, 1]);
    const scores = floats([0.25, 0.75, 0.375]);
    for (const dtype of ["float32", "float16", "bfloat16"] as const) {
      expect(measure(m.brierScore(), { yTrue: labels.cast("int64"), yPred: scores.cast(dtype) })).toBe(
        (0.0625 + 0.0625 + 0.390625) / 3,
      );
    }
  });
});

describe("numbers that are easy to get wrong", () => {
  it("log loss from logits stays finite and exact far out", () => {
    const far = { yTrue: ints([0, 1]), yPred: floats([[-1e4, 1e4], [-1e4, 1e4]]) }; // prettier-ignore
    expect(measure(m.logLoss({ fromLogits: true }), far)).toBe(1e4);
    expect(measure(m.logLoss({ fromLogits: true }), { yTrue: ints([0, 1]), yPred: floats([1e4, 1e4]) })).toBe(5e3);
    expect(measure(m.perplexity(), { yTrue: ints([[2, 0]]), yPred: floats([[[0, 0, 0, 0, 0], [7, 7, 7, 7, 7]]]) })).toBeCloseTo(5, 13); // prettier-ignore
  });

  it("log loss with soft answers is the cross-entropy", () => {
    const batch = { yTrue: floats([[0.25, 0.75]]), yPred: floats([[0.5, 0.5]]) };
    expect(measure(m.logLoss(), batch)).toBeCloseTo(Math.LN2, 15);
    expect(measure(m.resolveMetric("categorical_crossentropy"), batch)).toBeCloseTo(Math.LN2, 15);
  });

  it("R² holds a million standard deviations from 0", () => {
    const yTrue = [1e9, 1e9 + 1, 1e9 + 2];
    expect(measure(m.r2Score(), { yTrue: floats(yTrue), yPred: floats([1e9, 1e9 + 1, 1e9 + 3]) })).toBe(0.5);
  });

  it("a confidence on the edge of a bin belongs to the bin below", () => {
    for (const bins of [3, 7, 10, 15, 49]) {
      const edges = Array.from({ length: bins }, (_, b) => (b + 1) / bins);
      const table = measure(m.reliabilityTable({ bins }), { yTrue: ints(edges.map(() => 1)), yPred: floats(edges) });
      expect(table.map((bin) => bin.weight)).toStrictEqual(edges.map(() => 1));
    }
  });

  it("the report rounds halves to even, as Python", () => {
    const yTrue = ints([0, 0, 0, 0, 0, 0, 0, 0, 1]);
    const report = measure(m.classificationReport(), { yTrue, yPred: ints([0, 1, 1, 1, 1, 1, 1, 1, 1]) });
    expect(report.classes[0]!.recall).toBe(0.125);
    expect(String(report)).toContain("           0       1.00      0.12      0.22         8\n");
  });
});

describe("a refused batch", () => {
  it("leaves the state as it was", () => {
    const good = { yTrue: ints([0, 1, 1]), yPred: floats([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]) }; // prettier-ignore
    const bad = { yTrue: ints([0, 1, 5]), yPred: good.yPred };
    for (const metric of forClasses) {
      const state = metric.initial();
      metric.update(state, good);
      const before = JSON.stringify(state);
      expect(() => metric.update(state, bad), metric.name).toThrow();
      expect(JSON.stringify(state)).toBe(before);
    }
  });
});

describe("intervals", () => {
  const n = 200;
  const yTrue = ints(Array.from({ length: n }, (_, i) => i % 2));
  const yPred = floats(Array.from({ length: n }, (_, i) => (i % 10 === 0 ? 1 - (i % 2) : i % 2) * 0.8 + 0.1));

  it("the bootstrap is a function of the key and near Wilson's interval for an accuracy", () => {
    const batch = { yTrue, yPred };
    const interval = m.bootstrapInterval(m.accuracy(), batch, { key: keyOf(1), resamples: 500 });
    expect(m.bootstrapInterval(m.accuracy(), batch, { key: keyOf(1), resamples: 500 })).toStrictEqual(interval);
    expect(m.bootstrapInterval(m.accuracy(), batch, { key: keyOf(2), resamples: 500 })).not.toStrictEqual(interval);
    const wilson = m.wilsonInterval(0.9 * n, n);
    expect(interval.estimate).toBe(0.9);
    expect(Math.abs(interval.low - wilson.low)).toBeLessThan(0.015);
    expect(Math.abs(interval.high - wilson.high)).toBeLessThan(0.015);
  });

  it("counts the resamples for which a metric is not defined", () => {
    const batch = { yTrue: ints([0, 1]), yPred: floats([0.2, 0.7]) };
    const interval = m.bootstrapInterval(m.rocAuc(), batch, { key: keyOf(3), resamples: 400 });
    expect(interval).toMatchObject({ estimate: 1, low: 1, high: 1 });
    expect(Math.abs(interval.undefinedResamples - 200)).toBeLessThan(60);
    expect(() => m.bootstrapInterval(m.rocAuc(), take(batch, [0]), { key: keyOf(3) })).toThrow("not defined for any");
  });
});

describe("resolveMetric", () => {
  it("knows Keras's names, short ones and camelCase, and keeps them as written", () => {
    for (const name of m.metricNames) expect(m.resolveMetric(name).name).toBe(name);
    for (const name of ["acc", "MSE", "meanAbsoluteError", "sparseCategoricalAccuracy", "topKAccuracy", "r2Score"]) {
      expect(m.resolveMetric(name).name).toBe(name);
    }
    const own = m.f1Score({ average: "macro" });
    expect(m.resolveMetric(own)).toBe(own);
  });

  it("means by a name what the function of that name measures", () => {
    const batch = { yTrue: ints([1, 0, 2]), yPred: floats([[0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]]) }; // prettier-ignore
    expect(measure(m.resolveMetric("acc"), batch)).toBe(2 / 3);
    expect(measure(m.resolveMetric("sparse_categorical_crossentropy"), batch)).toBe(measure(m.logLoss(), batch));
    expect(measure(m.resolveMetric("rmse"), { yTrue: floats([0]), yPred: floats([3]) })).toBe(3);
  });

  it("names the nearest one", () => {
    expect(() => m.resolveMetric("acuracy")).toThrow('there is no metric "acuracy"\nhint: did you mean "accuracy"?');
    expect(() => m.resolveMetric("__proto__")).toThrow('there is no metric "__proto__"');
    expect(() => m.resolveMetric("mean_square_error")).toThrow('did you mean "mean_squared_error"?');
  });
});

it("a metric of one's own is a mean of values", () => {
  const bias = m.meanMetric("bias", ({ yTrue, yPred }) => ({
    value: yPred.toFlat().map((p, i) => p - yTrue.get(i)),
    weight: new Array<number>(yPred.size).fill(1),
  }));
  expect(measure(bias, { yTrue: floats([1, 2]), yPred: floats([2, 4]) })).toBe(1.5);
});
