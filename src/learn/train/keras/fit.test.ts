// fit, evaluate, predict: what Keras does with weights, validation data, frozen layers, several outputs, a second call.
import { beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../../../engine/core/index.ts";
import { setDefaultDevice, tensor } from "../../../engine/tensor/index.ts";
import { batchNormalization, concatenate, dense, dropout, input } from "../../nn/index.ts";
import { sgd } from "../../optim/index.ts";
import { Model } from "./model.ts";
import { Sequential } from "./sequential.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

// Points of the plane; their class is the quadrant's sign.
const X = Array.from({ length: 40 }, (_, i) => [Math.sin(3 * i + 1), Math.cos(5 * i)]);
const LABELS = X.map(([a, b]) => (a! * b! > 0 ? 1 : 0));
const SUMS = X.map(([a, b]) => a! + 2 * b!);

function classifier(): Sequential {
  return new Sequential([dense(8, { activation: "tanh", inputShape: [2] }), dense(2, { activation: "softmax" })]);
}

const compiled = (model: Sequential, seed = 0): Sequential => {
  model.compile({
    optimizer: sgd({ learningRate: 0.5 }),
    loss: "sparse_categorical_crossentropy",
    metrics: ["accuracy"],
    seed,
  });
  return model;
};

const weightsOf = (model: { getWeights(): { [path: string]: HostArray } }): number[][] =>
  Object.values(model.getWeights()).map((array) => array.toFlat());

describe("fit", () => {
  it("learns, and reports loss and metrics of each epoch", async () => {
    const model = compiled(classifier());
    const { epoch, history } = await model.fit(X, LABELS, { epochs: 60, batchSize: 8, verbose: 0 });
    expect(epoch).toHaveLength(60);
    expect(Object.keys(history)).toEqual(["loss", "accuracy"]);
    expect(history["loss"]!.at(-1)!).toBeLessThan(history["loss"]![0]! / 2);
    expect(history["accuracy"]!.at(-1)!).toBeGreaterThan(0.9);
    const [loss, accuracy] = await model.evaluate(X, LABELS);
    expect(loss).toBeLessThan(0.5);
    expect(accuracy).toBeGreaterThan(0.9);
    expect(await model.evaluate(X, LABELS, { returnDict: true })).toEqual({ loss, accuracy });
    const predicted = (await model.predict(X, { batchSize: 7 })) as HostArray;
    expect(predicted.shape).toEqual([40, 2]);
    const right = LABELS.filter((label, i) => predicted.get(2 * i + label) > 0.5).length / 40;
    expect(right).toBeCloseTo(accuracy!, 12);
  });

  it("goes on where the last call stood: weights, optimizer, order", async () => {
    const options = { optimizer: "adam", loss: "sparse_categorical_crossentropy" } as const;
    const [once, twice] = [classifier(), classifier()];
    once.compile(options);
    twice.compile(options);
    const { history } = await once.fit(X, LABELS, { epochs: 4, batchSize: 16, verbose: 0 });
    const first = await twice.fit(X, LABELS, { epochs: 2, batchSize: 16, verbose: 0 });
    const second = await twice.fit(X, LABELS, { epochs: 4, initialEpoch: 2, batchSize: 16, verbose: 0 });
    expect([...first.history["loss"]!, ...second.history["loss"]!]).toEqual(history["loss"]);
    expect(second.epoch).toEqual([2, 3]);
    expect(weightsOf(twice)).toEqual(weightsOf(once));
  });

  it("takes the same order and the same numbers from the same seed", async () => {
    const train = async (seed: number): Promise<number[][]> => {
      const model = compiled(
        new Sequential([dense(4, { inputShape: [2] }), dropout(0.5), dense(2, { activation: "softmax" })]),
        seed,
      );
      await model.fit(X, LABELS, { epochs: 2, batchSize: 8, verbose: 0 });
      return weightsOf(model);
    };
    expect(await train(3)).toEqual(await train(3));
    expect(await train(4)).not.toEqual(await train(3));
  });

  it("weighs samples and classes as Keras: the divisor stays the number of samples", async () => {
    const lossWith = async (options: object): Promise<number> => {
      const model = compiled(classifier());
      const { history } = await model.fit(X, LABELS, { batchSize: 40, shuffle: false, verbose: 0, ...options });
      return history["loss"]![0]!;
    };
    const plain = await lossWith({});
    expect(await lossWith({ sampleWeight: new Array<number>(40).fill(2) })).toBeCloseTo(2 * plain, 10);
    const half = LABELS.map((label) => (label === 1 ? 1 : 0));
    const byClass = await lossWith({ classWeight: { 0: 0 } });
    expect(await lossWith({ sampleWeight: half })).toBeCloseTo(byClass, 12);
    expect(byClass).toBeLessThan(plain);
    expect(await lossWith({ classWeight: { 0: 3, 1: 3 }, sampleWeight: new Array<number>(40).fill(0.5) })).toBeCloseTo(
      1.5 * plain,
      10,
    );
  });

  it("measures validation data after each epoch, and takes the last part of the arrays for it", async () => {
    const [a, b] = [compiled(classifier()), compiled(classifier())];
    const split = await a.fit(X, LABELS, { epochs: 2, validationSplit: 0.25, verbose: 0 });
    const given = await b.fit(X.slice(0, 30), LABELS.slice(0, 30), {
      epochs: 2,
      validationData: [X.slice(30), LABELS.slice(30)],
      verbose: 0,
    });
    expect(split.history).toEqual(given.history);
    expect(Object.keys(split.history)).toEqual(["loss", "accuracy", "val_loss", "val_accuracy"]);
    expect(await a.evaluate(X.slice(30), LABELS.slice(30))).toEqual([
      split.history["val_loss"]![1],
      split.history["val_accuracy"]![1],
    ]);
  });

  it("adds the penalties of regularizers to the loss", async () => {
    const lossOf = async (kernelRegularizer?: { name: string; l2: number }): Promise<number> => {
      const model = new Sequential([
        dense(1, {
          inputShape: [2],
          kernelInitializer: "ones",
          ...(kernelRegularizer === undefined ? {} : { kernelRegularizer }),
        }),
      ]);
      model.compile({ optimizer: "sgd", loss: "mse" });
      return (await model.evaluate(X, SUMS))[0]!;
    };
    expect((await lossOf({ name: "l2", l2: 0.25 })) - (await lossOf())).toBeCloseTo(0.25 * 2, 6);
  });

  it("moves running statistics in training and leaves them alone in use", async () => {
    const model = new Sequential([batchNormalization({ inputShape: [2] }), dense(1)]);
    model.compile({ optimizer: "sgd", loss: "mse" });
    await model.fit(X, SUMS, { epochs: 3, verbose: 0 });
    const after = model.getWeights()["batch_normalization.movingMean"]!.toFlat();
    expect(after.every((value) => value !== 0)).toBe(true);
    await model.evaluate(X, SUMS);
    expect(model.getWeights()["batch_normalization.movingMean"]!.toFlat()).toEqual(after);
  });
});

describe("frozen layers", () => {
  it("keep their weights, and can be thawed between calls", async () => {
    const model = compiled(classifier());
    const [hidden] = model.layers;
    hidden!.trainable = false;
    await model.fit(X, LABELS, { epochs: 2, verbose: 0 });
    const frozen = weightsOf(model);
    await model.fit(X, LABELS, { epochs: 2, verbose: 0 });
    expect(weightsOf(model).slice(0, 2)).toEqual(frozen.slice(0, 2));
    expect(weightsOf(model)[2]).not.toEqual(frozen[2]);
    hidden!.trainable = true;
    await model.fit(X, LABELS, { epochs: 1, verbose: 0 });
    expect(weightsOf(model)[0]).not.toEqual(frozen[0]);
  });

  it("keep the optimizer's memory of the others", async () => {
    const model = classifier();
    model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy" });
    await model.fit(X, LABELS, { epochs: 1, verbose: 0 });
    model.layers[0]!.trainable = false;
    await model.fit(X, LABELS, { epochs: 1, verbose: 0 });
    expect(model.trainState!.optState.count.item()).toBe(4);
    expect(Object.keys(model.trainState!.params)).toEqual(["dense_1.kernel", "dense_1.bias"]);
  });
});

describe("weights", () => {
  it("set between calls are the ones that are trained on", async () => {
    const model = compiled(classifier());
    await model.fit(X, LABELS, { epochs: 2, verbose: 0 });
    const saved = model.getWeights();
    const [loss] = await model.evaluate(X, LABELS);
    await model.fit(X, LABELS, { epochs: 5, verbose: 0 });
    model.setWeights(saved);
    expect((await model.evaluate(X, LABELS))[0]).toBe(loss);
    await model.fit(X, LABELS, { epochs: 0, verbose: 0 });
    expect(weightsOf(model)).toEqual(Object.values(saved).map((array) => array.toFlat()));
  });

  it("outlive a step: Tensors read before are copies", async () => {
    const model = compiled(classifier());
    await model.predict(X);
    const before = model.parameters()[0]!.parameter.value;
    await model.fit(X, LABELS, { verbose: 0 });
    expect(before.host().toFlat()).not.toEqual(model.parameters()[0]!.parameter.value.host().toFlat());
  });

  it("refuses names that do not exist", () => {
    expect(() => classifier().setWeights({ "dense_7.kernel": HostArray.from([1]) })).toThrow(
      /there is no weight dense_7.kernel/,
    );
  });
});

describe("several inputs and outputs", () => {
  function build(): Model {
    const [a, b] = [input({ shape: [1], name: "a" }), input({ shape: [1], name: "b" })];
    const h = dense(6, { activation: "tanh", name: "shared" }).apply(concatenate().apply([a, b]));
    return new Model({
      inputs: [a, b],
      outputs: [dense(1, { name: "sum" }).apply(h), dense(2, { activation: "softmax", name: "kind" }).apply(h)],
    });
  }
  const [A, B] = [X.map(([a]) => [a!]), X.map(([, b]) => [b!])];
  const loss = { sum: "mse", kind: "sparse_categorical_crossentropy" } as const;

  it("are given in order or by name, and reported by name", async () => {
    const [byName, inOrder] = [build(), build()];
    byName.compile({ optimizer: "sgd", loss, metrics: { kind: ["accuracy"] }, lossWeights: { sum: 0.5, kind: 2 } });
    inOrder.compile({
      optimizer: "sgd",
      loss: ["mse", "sparse_categorical_crossentropy"],
      metrics: [[], ["accuracy"]],
      lossWeights: [0.5, 2],
    });
    const first = await byName.fit({ b: B, a: A }, { kind: LABELS, sum: SUMS }, { epochs: 3, verbose: 0 });
    const second = await inOrder.fit([A, B], [SUMS, LABELS], { epochs: 3, verbose: 0 });
    expect(first.history).toEqual(second.history);
    expect(Object.keys(first.history)).toEqual(["loss", "sum_loss", "kind_loss", "kind_accuracy"]);
    const { loss: total, sum_loss: sum, kind_loss: kind } = first.history;
    expect(total![0]).toBeCloseTo(0.5 * sum![0]! + 2 * kind![0]!, 10);
    const outputs = (await byName.predict([A, B])) as HostArray[];
    expect(outputs.map(({ shape }) => shape)).toEqual([
      [40, 1],
      [40, 2],
    ]);
  });

  it("refuses names and numbers that do not fit", async () => {
    const model = build();
    expect(() => model.compile({ loss: { sum: "mse" } })).toThrow(/no entry for the outputs kind/);
    expect(() => model.compile({ loss, metrics: { colour: ["accuracy"] } })).toThrow(
      /outputs that do not exist: colour/,
    );
    model.compile({ loss });
    await expect(model.fit([A], [SUMS, LABELS])).rejects.toThrow(/has 2 \(a, b\): received an array of 1/);
    await expect(model.fit({ a: A, c: B }, [SUMS, LABELS])).rejects.toThrow(/missing \[b\], unexpected \[c\]/);
  });
});

describe("softmax with cross-entropy", () => {
  it("trains through logits of ±1e4", async () => {
    const model = new Sequential([dense(2, { activation: "softmax", inputShape: [1], kernelInitializer: "zeros" })]);
    model.compile({ optimizer: sgd({ learningRate: 1 }), loss: "sparse_categorical_crossentropy" });
    await model.predict([[1]]);
    model.setWeights({ "dense.kernel": HostArray.from([[1e4, -1e4]]) });
    const [right] = await model.evaluate([[1]], [0]);
    const [wrong] = await model.evaluate([[1]], [1]);
    expect([right, wrong]).toEqual([0, 2e4]);
    await model.fit([[1]], [1], { verbose: 0 });
    expect(model.getWeights()["dense.kernel"]!.toFlat()).toEqual([1e4 - 1, -1e4 + 1]);
  });
});

describe("misuse", () => {
  it("says what to do first", async () => {
    const model = classifier();
    await expect(model.fit(X, LABELS)).rejects.toThrow(/fit: the model is not compiled/);
    compiled(model);
    const running = model.fit(X, LABELS, { verbose: 0 });
    await expect(model.predict(X)).rejects.toThrow(/is at work/);
    await running;
    await expect(model.fit(X, LABELS, { epochs: -1, verbose: 0 })).rejects.toThrow(/`epochs`/);
    await expect(model.fit(tensor(X), LABELS, { epochs: 1, verbose: 0 })).resolves.toBeDefined();
  });
});
