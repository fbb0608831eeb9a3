// Every metric against scikit-learn's values on the same inputs (test/fixtures/metrics/sklearn.json).
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HostArray } from "../../engine/core/index.ts";
import {
  accuracy,
  averagePrecision,
  balancedAccuracy,
  brierScore,
  classificationReport,
  cohenKappa,
  confusionMatrix,
  expectedCalibrationError,
  f1Score,
  logLoss,
  matthewsCorrcoef,
  meanAbsoluteError,
  meanSquaredError,
  measure,
  normalQuantile,
  precision,
  precisionRecallCurve,
  r2Score,
  r2Scores,
  recall,
  reliabilityTable,
  rocAuc,
  rocCurve,
  rootMeanSquaredError,
  topKAccuracy,
  wilsonInterval,
  type MetricBatch,
  type ScoreOptions,
} from "./index.ts";

type Value = number | string | null | readonly Value[] | { readonly [key: string]: Value };
interface Case {
  kind: "binary" | "multiclass" | "regression";
  name: string;
  dtype: "float32" | "float64";
  yTrue: number[] | number[][];
  yPred: number[] | number[][];
  sampleWeight: number[] | null;
  values: { [name: string]: Value };
}
interface Fixture {
  cases: Case[];
  wilson: { hits: number; total: number; confidence: number; low: number; high: number }[];
  quantiles: { p: number; z: number }[];
}
const path = new URL("../../../test/fixtures/metrics/sklearn.json", import.meta.url);
const fixture = JSON.parse(readFileSync(path, "utf8")) as Fixture;

type Table = { readonly [value: string]: (batch: MetricBatch) => unknown };

const scores = (options: ScoreOptions, prefix = ""): Table => ({
  ...Object.fromEntries(
    (["micro", "macro", "weighted"] as const).flatMap((average) => [
      [`${prefix}precision.${average}`, (b: MetricBatch) => measure(precision({ ...options, average }), b)],
      [`${prefix}recall.${average}`, (b: MetricBatch) => measure(recall({ ...options, average }), b)],
      [`${prefix}f1.${average}`, (b: MetricBatch) => measure(f1Score({ ...options, average }), b)],
    ]),
  ),
  [`${prefix}precision.each`]: (b) => measure(classificationReport(options), b).classes.map((c) => c.precision),
  [`${prefix}recall.each`]: (b) => measure(classificationReport(options), b).classes.map((c) => c.recall),
  [`${prefix}f1.each`]: (b) => measure(classificationReport(options), b).classes.map((c) => c.f1),
  [`${prefix}f1.macro.one`]: (b) => measure(f1Score({ ...options, average: "macro", zeroDivision: 1 }), b),
  [`${prefix}precision.macro.one`]: (b) => measure(precision({ ...options, average: "macro", zeroDivision: 1 }), b),
  [`${prefix}fbeta2.macro`]: (b) => measure(f1Score({ ...options, average: "macro", beta: 2 }), b),
});

const ofLabels: Table = {
  accuracy: (b) => measure(accuracy(), b),
  balancedAccuracy: (b) => measure(balancedAccuracy(), b),
  "balancedAccuracy.adjusted": (b) => measure(balancedAccuracy({ adjusted: true }), b),
  matthews: (b) => measure(matthewsCorrcoef(), b),
  kappa: (b) => measure(cohenKappa(), b),
  "kappa.linear": (b) => measure(cohenKappa({ weights: "linear" }), b),
  "kappa.quadratic": (b) => measure(cohenKappa({ weights: "quadratic" }), b),
  labels: (b) => measure(confusionMatrix(), b).labels,
  confusion: (b) => measure(confusionMatrix(), b).matrix,
  report: (b) => String(measure(classificationReport(), b)),
  ...scores({}),
};

const binary: Table = {
  ...ofLabels,
  precision: (b) => measure(precision(), b),
  recall: (b) => measure(recall(), b),
  f1: (b) => measure(f1Score(), b),
  "precision.one": (b) => measure(precision({ zeroDivision: 1 }), b),
  "recall.one": (b) => measure(recall({ zeroDivision: 1 }), b),
  "f1.one": (b) => measure(f1Score({ zeroDivision: 1 }), b),
  rocAuc: (b) => measure(rocAuc(), b),
  averagePrecision: (b) => measure(averagePrecision(), b),
  logLoss: (b) => measure(logLoss(), b),
  brier: (b) => measure(brierScore(), b),
  rocCurve: (b) => measure(rocCurve(), b),
  precisionRecallCurve: (b) => measure(precisionRecallCurve(), b),
  "ece.10": (b) => measure(expectedCalibrationError({ bins: 10 }), b),
  calibration(b) {
    const used = measure(reliabilityTable({ bins: 10 }), b).filter((bin) => bin.weight > 0);
    return { accuracy: used.map((bin) => bin.accuracy), confidence: used.map((bin) => bin.confidence) };
  },
};

function multiclass(classes: number, names: string[]): Table {
  return {
    ...ofLabels,
    ...scores({ classes }, "all."),
    "all.confusion": (b) => measure(confusionMatrix({ classes }), b).matrix,
    "confusion.true": (b) => measure(confusionMatrix({ normalize: "truth" }), b).matrix,
    "confusion.pred": (b) => measure(confusionMatrix({ normalize: "predicted" }), b).matrix,
    "confusion.all": (b) => measure(confusionMatrix({ normalize: "all" }), b).matrix,
    "report.named": (b) => String(measure(classificationReport({ targetNames: names, digits: 4 }), b)),
    "report.all": (b) => String(measure(classificationReport({ classes }), b)),
    top1: (b) => measure(topKAccuracy({ k: 1 }), b),
    top2: (b) => measure(topKAccuracy({ k: 2 }), b),
    top3: (b) => measure(topKAccuracy({ k: 3 }), b),
    "rocAuc.ovr.macro": (b) => measure(rocAuc(), b),
    "rocAuc.ovr.weighted": (b) => measure(rocAuc({ average: "weighted" }), b),
    "rocAuc.ovr.micro": (b) => measure(rocAuc({ average: "micro" }), b),
    "rocAuc.ovo.macro": (b) => measure(rocAuc({ multiClass: "ovo" }), b),
    "rocAuc.ovo.weighted": (b) => measure(rocAuc({ multiClass: "ovo", average: "weighted" }), b),
    "averagePrecision.macro": (b) => measure(averagePrecision(), b),
    "averagePrecision.weighted": (b) => measure(averagePrecision({ average: "weighted" }), b),
    "averagePrecision.micro": (b) => measure(averagePrecision({ average: "micro" }), b),
    logLoss: (b) => measure(logLoss(), b),
    brier: (b) => measure(brierScore(), b),
    "ece.15": (b) => measure(expectedCalibrationError(), b),
  };
}

const regression: Table = {
  mse: (b) => measure(meanSquaredError(), b),
  "rmse.overall": (b) => measure(rootMeanSquaredError(), b),
  mae: (b) => measure(meanAbsoluteError(), b),
  r2: (b) => measure(r2Score(), b),
  "r2.each": (b) => measure(r2Scores(), b),
  "r2.variance": (b) => measure(r2Score({ average: "variance" }), b),
};

// scikit-learn's own choice, not ours: another mean over several outputs; -Infinity where nothing is defined.
const elsewhere = new Set(["rmse.outputs"]);

function close(actual: unknown, expected: Value, relative: number, at: string): void {
  if (Array.isArray(expected)) {
    expect(actual, at).toHaveLength(expected.length);
    expected.forEach((e: Value, i) => close((actual as unknown[])[i], e, relative, `${at}[${i}]`));
  } else if (typeof expected === "object" && expected !== null) {
    for (const [key, e] of Object.entries(expected))
      close((actual as { [k: string]: unknown })[key], e, relative, `${at}.${key}`);
  } else if (expected === "-Infinity") {
    expect(actual, at).toBeNaN();
  } else if (typeof expected === "string" && (expected === "NaN" || expected === "Infinity")) {
    expect(actual, at).toBe(Number(expected));
  } else if (typeof expected === "string") {
    // A text: words equal, numbers as numbers (weighted supports are printed with all their digits).
    // scikit-learn prints whole supports as 9.0 where nothing at all is right.
    expected = expected.replace(/ (\d+)\.0\n/g, "   $1\n");
    const [words, wanted] = [String(actual), expected].map((text) => text.split(/(\s+)/));
    expect(words!.length, at).toBe(wanted!.length);
    if (!/\d\.\d{5}/.test(expected)) expect(actual, at).toBe(expected);
    wanted!.forEach((word, i) => {
      if (/^\d+\.\d+$/.test(word)) close(Number(words![i]), Number(word), 1e-9, at);
      else if (word.trim() !== "") expect(words![i], at).toBe(word);
    });
  } else {
    expect(typeof actual, at).toBe("number");
    const error = Math.abs((actual as number) - (expected as number));
    expect(error, `${at}: ${String(actual)} for ${expected}`).toBeLessThanOrEqual(
      relative * Math.max(Math.abs(expected as number), relative),
    );
  }
}

describe("equal to scikit-learn", () => {
  for (const c of fixture.cases) {
    it(`${c.kind}: ${c.name}`, () => {
      const batch = {
        yTrue: HostArray.from(c.yTrue, c.kind === "regression" ? c.dtype : "int32"),
        yPred: HostArray.from(c.yPred, c.dtype),
        sampleWeight: c.sampleWeight === null ? undefined : HostArray.from(c.sampleWeight, "float64"),
      };
      const labels = c.kind === "multiclass" ? (c.values["labels"] as number[]) : [];
      const names = labels.map((label) => `class ${"abcdefghij"[label]}`);
      const table =
        c.kind === "binary" ? binary : c.kind === "regression" ? regression : multiclass(batch.yPred.shape[1]!, names);
      let compared = 0;
      for (const [name, expected] of Object.entries(c.values)) {
        if (expected === null || elsewhere.has(name)) continue;
        expect(table, "a metric for every value").toHaveProperty([name]);
        close(table[name]!(batch), expected, c.dtype === "float32" ? 1e-6 : 1e-12, name);
        compared++;
      }
      expect(compared).toBeGreaterThanOrEqual(c.kind === "regression" ? 4 : 30);
    });
  }

  it("Wilson's interval and normal quantiles equal SciPy's", () => {
    for (const { hits, total, confidence, low, high } of fixture.wilson) {
      const interval = wilsonInterval(hits, total, { confidence });
      close(interval.low, low, 1e-12, `low of ${hits}/${total}`);
      close(interval.high, high, 1e-12, `high of ${hits}/${total}`);
    }
    for (const { p, z } of fixture.quantiles) close(normalQuantile(p), z, 1e-12, `quantile ${p}`);
  });
});
