// What fit takes as data, and how it refuses what cannot be trained on: before the first step, with what to do about it.
import { beforeAll, describe, expect, it } from "vitest";
import { DataError, HostArray } from "../../../engine/core/index.ts";
import { arrayDataset, type Dataset } from "../../../data/index.ts";
import { setDefaultDevice, tensor } from "../../../engine/tensor/index.ts";
import { conv2d, dense, embedding, flatten, globalAveragePooling1d } from "../../nn/index.ts";
import { Sequential } from "./sequential.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

const ROWS = [
  [0, 1, 2],
  [3, 4, 5],
  [6, 7, 8],
  [1, 1, 1],
];
const LABELS = [0, 1, 2, 1];

function model(loss: string = "sparse_categorical_crossentropy"): Sequential {
  const made = new Sequential([dense(3, { activation: "softmax", inputShape: [3], kernelInitializer: "zeros" })]);
  made.compile({ optimizer: "sgd", loss });
  return made;
}

async function lossOf(x: unknown, y: unknown): Promise<number> {
  const { history } = await model().fit(x as never, y as never, { verbose: 0 });
  return history["loss"]![0]!;
}

describe("data", () => {
  it("is taken in every form", async () => {
    const expected = await lossOf(ROWS, LABELS);
    expect(expected).toBeCloseTo(Math.log(3), 6);
    const flat = ROWS.flat();
    const forms: [string, unknown, unknown][] = [
      ["typed arrays, cut into samples", Float32Array.from(flat), Uint8Array.from(LABELS)],
      ["host arrays", HostArray.from(ROWS), HostArray.from(LABELS, "int32")],
      [
        "bytes, not scaled",
        new HostArray("uint8", [4, 3], Uint8Array.from(flat)),
        new HostArray("uint8", [4], Uint8Array.from(LABELS)),
      ],
      ["64-bit labels", HostArray.from(ROWS), new HostArray("int64", [4], BigInt64Array.from(LABELS.map(BigInt)))],
      ["tensors", tensor(ROWS), tensor(LABELS, { dtype: "int32" })],
      ["labels as a column", ROWS, LABELS.map((label) => [label])],
    ];
    for (const [form, x, y] of forms) expect(await lossOf(x, y), form).toBe(expected);
  });

  it("can be a dataset, sync or async, with weights", async () => {
    const arrays = { x: HostArray.from(ROWS), y: HostArray.from(LABELS, "int32") };
    const memory = arrayDataset(arrays);
    const slow: Dataset = { length: 4, batch: async (indices) => memory.batch(indices) };
    const expected = await lossOf(ROWS, LABELS);
    for (const dataset of [memory, slow]) {
      const { history } = await model().fit(dataset, undefined, { verbose: 0 });
      expect(history["loss"]![0]).toBe(expected);
    }
    const weights = HostArray.from([2, 2, 2, 2]);
    const weighted = arrayDataset({ ...arrays, weights });
    expect((await model().fit(weighted, undefined, { verbose: 0 })).history["loss"]![0]).toBeCloseTo(2 * expected, 10);
  });

  it("says the shape of the input where no layer does", async () => {
    const made = new Sequential([flatten(), dense(2, { activation: "softmax" })]);
    made.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy" });
    await made.fit(
      HostArray.from([
        [
          [1, 2],
          [3, 4],
        ],
        [
          [5, 6],
          [7, 8],
        ],
      ]),
      [0, 1],
      { verbose: 0 },
    );
    expect(made.getWeights()["dense.kernel"]!.shape).toEqual([4, 2]);
  });

  it("may be ids for an embedding, bytes for a convolution", async () => {
    const ids = new Sequential([
      embedding(10, 4, { inputShape: [3] }),
      globalAveragePooling1d(),
      dense(2, { activation: "softmax" }),
    ]);
    ids.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy" });
    await ids.fit(
      [
        [1, 2, 3],
        [9, 0, 1],
      ],
      [0, 1],
      { verbose: 0 },
    );
    const pictures = new Sequential([
      conv2d(2, 3, { inputShape: [4, 4, 1] }),
      flatten(),
      dense(2, { activation: "softmax" }),
    ]);
    pictures.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy" });
    await pictures.fit(new HostArray("uint8", [2, 4, 4, 1]), [0, 1], { verbose: 0 });
  });
});

describe("refused before the first step", () => {
  const nan = [[0, 1, NaN], ...ROWS.slice(1)];
  const table: [string, unknown, unknown, RegExp, string?][] = [
    [
      "a wrong shape",
      ROWS.map((row) => row.slice(1)),
      LABELS,
      /samples of x have the shape \[2\]: this model takes \[3\]/,
    ],
    ["pictures for a flat model", HostArray.from(ROWS).reshape([4, 1, 3]), LABELS, /x\.reshape\(\[4, 3\]\)/],
    ["a label too large", ROWS, [0, 1, 2, 3], /label 3 at 3 of y is out of range: the model has 3 outputs/],
    ["a negative label", ROWS, [0, -1, 2, 1], /label -1 at 1 of y is out of range/],
    [
      "a label that is no whole number",
      ROWS,
      [0, 0.5, 2, 1],
      /whole numbers, one class number a sample: received 0.5 at 1/,
    ],
    [
      "one-hot rows for a sparse loss",
      ROWS,
      LABELS.map((l) => [0, 1, 2].map((c) => Number(c === l))),
      /use the loss categorical_crossentropy/,
    ],
    [
      "class numbers for a dense loss",
      ROWS,
      LABELS,
      /use the loss sparse_categorical_crossentropy/,
      "categorical_crossentropy",
    ],
    ["NaN in the data", nan, LABELS, /x holds NaN in sample 0 \(element 2\)/],
    ["infinity in the data", [[0, 1, 2], [0, -Infinity, 0], ...ROWS.slice(2)], LABELS, /x holds -Infinity in sample 1/],
    [
      "NaN in the answers",
      ROWS,
      [
        [1, 2, 3],
        [1, 2, NaN],
        [1, 2, 3],
        [1, 2, 3],
      ],
      /y holds NaN in sample 1/,
      "mse",
    ],
    ["an empty set", [], [], /x is empty: there is no sample/],
    ["an empty array", new HostArray("float32", [0, 3]), new HostArray("int32", [0]), /x is empty/],
    ["different lengths", ROWS, LABELS.slice(1), /x and y differ in their number of samples: received 4 and 3/],
    ["an empty dataset", { length: 0, batch: () => ({}) }, undefined, /the dataset is empty|must be \{ x, y \}/],
  ];
  it.each(table)("%s", async (_, x, y, message, loss) => {
    const made = model(loss);
    const attempt = made.fit(x as never, y as never, { verbose: 0 });
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toBeInstanceOf(DataError);
    expect(made.trainState).toBeUndefined();
    await expect(made.evaluate(x as never, y as never)).rejects.toThrow(message);
  });

  it("weights that are none", async () => {
    const fit = (options: object): Promise<unknown> => model().fit(ROWS, LABELS, { verbose: 0, ...options });
    await expect(fit({ sampleWeight: [1, 2, 3] })).rejects.toThrow(/one number a sample \[4\]/);
    await expect(fit({ sampleWeight: [1, 2, 3, -1] })).rejects.toThrow(/holds -1 at 3/);
    await expect(fit({ classWeight: { a: 1 } })).rejects.toThrow(/maps class numbers/);
    await expect(fit({ validationSplit: 0.9 })).rejects.toThrow(/must leave samples on both sides/);
    await expect(fit({ validationData: [ROWS, [9, 9, 9, 9]] })).rejects.toThrow(/validationData: label 9/);
  });

  it("predict checks its input too", async () => {
    await expect(model().predict([[1, 2]])).rejects.toThrow(/samples of x have the shape \[2\]/);
    await expect(model().predict([])).rejects.toThrow(/empty/);
  });
});
