// The article's program against Keras 3: the same weights, the same order, the loss of each of its 15 epochs.
import { beforeAll, describe, expect, it } from "vitest";
import { withDevice } from "../../src/engine/tensor/index.ts";
import { dense } from "../../src/learn/nn/index.ts";
import { Sequential } from "../../src/learn/train/index.ts";
import { pixels, readOracle, type Oracle } from "./oracle.ts";

let oracle: Oracle;
beforeAll(async () => {
  oracle = await readOracle("keras-article");
});

const PATHS = [0, 1, 2].flatMap((i) => [`dense${i}.kernel`, `dense${i}.bias`]);

async function article(epochs: readonly number[]): Promise<{ loss: number[]; accuracy: number[]; model: Sequential }> {
  const model = new Sequential([
    dense(128, { activation: "relu", inputShape: [784], name: "dense0" }),
    dense(64, { activation: "relu", name: "dense1" }),
    dense(10, { activation: "softmax", name: "dense2" }),
  ]);
  model.setWeights(Object.fromEntries(PATHS.map((path) => [path, oracle.array(path)])));
  model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"] });
  const [x, y] = [pixels(oracle.array("x")), oracle.array("y")];
  const [loss, accuracy]: [number[], number[]] = [[], []];
  for (const n of epochs) {
    const { history } = await model.fit(x, y, { epochs: n, shuffle: false, verbose: 0 });
    loss.push(...history["loss"]!);
    accuracy.push(...history["accuracy"]!);
  }
  return { loss, accuracy, model };
}

const differences = (received: readonly number[], name: string): number[] =>
  received.map((value, i) => Math.abs(value - oracle.array(name).get(i)));

describe("the article's program", () => {
  it("has the losses and accuracies of Keras on the default device", async () => {
    const { loss, accuracy, model } = await article([5, 10]);
    expect(loss).toHaveLength(15);
    expect(Math.max(...differences(loss, "loss"))).toBeLessThan(1e-4);
    expect(Math.max(...differences(accuracy, "accuracy"))).toBeLessThan(1.5e-3);
    const [x, y] = [pixels(oracle.array("x")), oracle.array("y")];
    const evaluated = await model.evaluate(x, y, { batchSize: 32 });
    expect(Math.max(...differences(evaluated, "evaluate"))).toBeLessThan(1.5e-3);
    const predicted = (await model.predict(x.rows(0, 8))) as ReturnType<Oracle["array"]>;
    expect(Math.max(...differences(predicted.toFlat(), "predict"))).toBeLessThan(1e-3);
  });

  it("has Keras's float64 losses in float64", async () => {
    const { loss } = await withDevice("reference", () => article([3]));
    expect(Math.max(...differences(loss, "loss.float64"))).toBeLessThan(1e-7);
  });
});
