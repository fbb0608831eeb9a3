// Inputs a metric must refuse, each with its error class and a text that says what is wrong.
import { describe, expect, it } from "vitest";
import { HostArray, type ChainruleError } from "../../engine/core/index.ts";
import * as m from "./index.ts";
import { measure } from "./index.ts";

const ints = (nested: Parameters<typeof HostArray.from>[0]): HostArray => HostArray.from(nested, "int32");
const floats = (nested: Parameters<typeof HostArray.from>[0]): HostArray => HostArray.from(nested, "float64");

describe("refusals", () => {
  const cases: [string, () => unknown, string, string][] = [
    ["different sizes", () => measure(m.accuracy(), { yTrue: ints([0, 1, 2]), yPred: floats([[1, 0], [0, 1]]) }), "ShapeError", "yTrue int32[3], yPred float64[2,2]"], // prettier-ignore
    ["stretched regression", () => measure(m.meanSquaredError(), { yTrue: floats([1, 2]), yPred: floats([[1, 2], [1, 2]]) }), "ShapeError", "numbers of the same shape"], // prettier-ignore
    [
      "one-hot wanted",
      () => measure(m.categoricalAccuracy(), { yTrue: ints([0]), yPred: floats([[1, 0]]) }),
      "ShapeError",
      "use the sparse variant",
    ],
    [
      "labels wanted",
      () => measure(m.sparseCategoricalAccuracy(), { yTrue: ints([[0, 1]]), yPred: floats([[1, 0]]) }),
      "ShapeError",
      "use the categorical variant",
    ],
    [
      "weights of another size",
      () => measure(m.accuracy(), { yTrue: ints([0, 1]), yPred: ints([0, 1]), sampleWeight: floats([1]) }),
      "ShapeError",
      "expected [2] or its first axes",
    ],
    [
      "no sample",
      () => measure(m.accuracy(), { yTrue: new HostArray("int32", [0]), yPred: new HostArray("float32", [0, 3]) }),
      "DataError",
      "no sample",
    ],
    [
      "only weights of 0",
      () => measure(m.f1Score(), { yTrue: ints([1]), yPred: ints([1]), sampleWeight: floats([0]) }),
      "DataError",
      "no sample",
    ],
    ["no sample, R²", () => m.r2Score().result(m.r2Score().initial()), "DataError", "no sample"],
    ["no sample, AUC", () => m.rocAuc().result(m.rocAuc().initial()), "DataError", "no sample"],
    [
      "no sample, calibration",
      () => m.reliabilityTable().result(m.reliabilityTable().initial()),
      "DataError",
      "no sample",
    ],
    [
      "label too large",
      () => measure(m.accuracy(), { yTrue: ints([3]), yPred: floats([[1, 0, 0]]) }),
      "IndexError",
      "in 0 … 2: received 3 at row 0",
    ],
    [
      "negative label",
      () => measure(m.accuracy(), { yTrue: ints([-1]), yPred: ints([0]) }),
      "IndexError",
      "received -1",
    ],
    [
      "label 2 for one score",
      () => measure(m.rocAuc(), { yTrue: ints([2]), yPred: floats([0.1]) }),
      "IndexError",
      "in 0 … 1",
    ],
    [
      "label above `classes`",
      () => measure(m.recall({ classes: 2, average: "macro" }), { yTrue: ints([2]), yPred: ints([0]) }),
      "IndexError",
      "`classes` is 2",
    ],
    [
      "label with a fraction",
      () => measure(m.accuracy(), { yTrue: floats([0.5]), yPred: floats([[1, 0]]) }),
      "DataError",
      "a label is a whole number: received 0.5",
    ],
    [
      "NaN score",
      () => measure(m.accuracy(), { yTrue: ints([0]), yPred: floats([[0, NaN]]) }),
      "DataError",
      "yPred holds NaN at flat position 1",
    ],
    [
      "NaN single score",
      () => measure(m.rocAuc(), { yTrue: ints([0]), yPred: floats([NaN]) }),
      "DataError",
      "yPred holds NaN",
    ],
    [
      "infinite number",
      () => measure(m.meanSquaredError(), { yTrue: floats([Infinity]), yPred: floats([0]) }),
      "DataError",
      "yTrue holds Infinity",
    ],
    [
      "NaN weight",
      () => measure(m.accuracy(), { yTrue: ints([0]), yPred: ints([0]), sampleWeight: floats([NaN]) }),
      "DataError",
      "weights are finite",
    ],
    [
      "negative weight",
      () => measure(m.accuracy(), { yTrue: ints([0]), yPred: ints([0]), sampleWeight: floats([-1]) }),
      "DataError",
      "received -1",
    ],
    [
      "one-hot row of zeros",
      () => measure(m.accuracy(), { yTrue: floats([[0, 0]]), yPred: floats([[1, 0]]) }),
      "DataError",
      "names no class",
    ],
    [
      "binary F1 of three classes",
      () => measure(m.f1Score(), { yTrue: ints([2]), yPred: ints([0]) }),
      "DataError",
      'choose average "macro"',
    ],
    [
      "logits as probabilities",
      () => measure(m.logLoss(), { yTrue: ints([0]), yPred: floats([[2, -1]]) }),
      "DataError",
      "a probability is in [0, 1]",
    ],
    [
      "row that adds up to 2",
      () => measure(m.brierScore(), { yTrue: ints([0]), yPred: floats([[1, 1]]) }),
      "DataError",
      "add up to 1: received 2",
    ],
    [
      "labels where scores are needed",
      () => measure(m.rocAuc(), { yTrue: ints([0]), yPred: ints([0]) }),
      "DataError",
      "needs scores",
    ],
    [
      "top-k of single scores",
      () => measure(m.topKAccuracy(), { yTrue: ints([0]), yPred: floats([0.5]) }),
      "ArgumentError",
      "scores for each class",
    ],
    [
      "curve of several scores",
      () => measure(m.rocCurve(), { yTrue: ints([0]), yPred: floats([[0.5, 0.5]]) }),
      "DataError",
      "one score per sample",
    ],
    ["threshold", () => m.accuracy({ threshold: NaN }), "ArgumentError", "`threshold`"],
    ["k", () => m.topKAccuracy({ k: 0 }), "ArgumentError", "`k`"],
    ["bins", () => m.expectedCalibrationError({ bins: 0.5 }), "ArgumentError", "`bins`"],
    [
      "target names",
      () => measure(m.classificationReport({ targetNames: ["a"] }), { yTrue: ints([0, 1]), yPred: ints([0, 1]) }),
      "ArgumentError",
      "1 targetNames for the 2 classes",
    ],
    ["Wilson with more hits than trials", () => m.wilsonInterval(3, 2), "ArgumentError", "`hits`"],
    ["confidence", () => m.wilsonInterval(1, 2, { confidence: 95 }), "ArgumentError", "`confidence`"],
  ];
  for (const [name, run, type, text] of cases) {
    it(name, () => {
      let caught: ChainruleError | undefined;
      try {
        run();
      } catch (error) {
        caught = error as ChainruleError;
      }
      expect(caught?.name).toBe(type);
      expect(caught!.message).toContain(text);
    });
  }
});
