// The loop when numbers go wrong: found in the same step, the layer is named, the last good state stays.
import { beforeAll, describe, expect, it } from "vitest";
import { NumericError } from "../../engine/core/index.ts";
import { log, setDefaultDevice, type Tensor } from "../../engine/tensor/index.ts";
import { dense, Layer, type JsonObject, type Loss } from "../nn/index.ts";
import { sgd } from "../optim/index.ts";
import { Sequential } from "./keras/index.ts";
import { terminateOnNaN } from "./callbacks/index.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

// ln x: −∞ at 0, NaN below.
class Log extends Layer {
  readonly kind: string = "Log";
  readonly config: JsonObject = {};
  protected forward(x: Tensor): Tensor {
    return log(x);
  }
}

// √(x²): fine in value, 0/0 in its gradient at 0.
class Root extends Layer {
  readonly kind: string = "Root";
  readonly config: JsonObject = {};
  protected forward(x: Tensor): Tensor {
    return x.square().sqrt();
  }
}

const ones = { kernelInitializer: "ones", inputShape: [1] } as const;

async function failing(model: Sequential, x: number[][], loss: string | Loss = "mse"): Promise<NumericError> {
  model.compile({ optimizer: sgd({ learningRate: 0.1 }), loss });
  let before = {};
  const callbacks = [{ onBatchBegin: (batch: number) => void (batch === 1 && (before = model.getWeights())) }];
  // The first batch is sound, the second is not.
  const error: unknown = await model
    .fit([[2], [2], ...x], [0, 0, ...x.map(() => 0)], { batchSize: 2, shuffle: false, verbose: 0, callbacks })
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(NumericError);
  expect(model.getWeights()).toEqual(before);
  expect(model.trainState!.step.item()).toBe(1);
  expect(model.trainState!.position.sample).toBe(2);
  return error as NumericError;
}

describe("a number that is not finite", () => {
  it("is found in the layer that made it first", async () => {
    const model = new Sequential([
      dense(1, { ...ones, name: "in" }),
      new Log({ name: "log" }),
      dense(1, { name: "out" }),
    ]);
    expect((await failing(model, [[-3], [2]])).message).toBe(
      "log: the output holds NaN in epoch 1, batch 1\nhint: the model has the weights from before this batch; try a smaller learning rate or clip gradients, and look at the data of this batch",
    );
  });
  it("is found in the loss", async () => {
    const inverse: Loss = { name: "inverse", perSample: (_, p) => p.reshape([p.shape[0]!]).pow(-1) };
    const model = new Sequential([dense(1, ones)]);
    model.compile({ optimizer: "sgd", loss: inverse });
    const error = await failing(
      new Sequential([
        dense(1, { ...ones, trainable: false, useBias: false }),
        dense(1, { ...ones, useBias: false, name: "w" }),
      ]),
      [[0], [1]],
      inverse,
    );
    expect(error.message).toMatch(/^loss: the loss is Infinity/);
  });
  it("is found in a gradient, while the loss is sound", async () => {
    const model = new Sequential([dense(1, { ...ones, useBias: false, name: "w" }), new Root({ name: "root" })]);
    expect((await failing(model, [[0], [0]])).message).toMatch(/^w\.kernel: the gradient holds NaN/);
  });
  it("ends the run quietly where asked", async () => {
    const notes: string[] = [];
    const model = new Sequential([dense(1, { ...ones, name: "in" }), new Log({ name: "log" })]);
    model.compile({ optimizer: sgd({ learningRate: 0.1 }), loss: "mse" });
    const callbacks = [terminateOnNaN(), { onNote: (line: string) => void notes.push(line) }];
    const { epoch } = await model.fit([[2], [-3]], [0, 0], {
      batchSize: 1,
      shuffle: false,
      epochs: 3,
      verbose: 0,
      callbacks,
    });
    expect(epoch).toEqual([]);
    expect(notes).toEqual([
      "epoch 1, batch 1: log the output holds NaN; training ends with the state before this batch",
    ]);
    expect(model.trainState!.step.item()).toBe(1);
  });
  it("raises no false alarm", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const model = new Sequential([
        dense(4, { activation: "relu", inputShape: [2] }),
        dense(2, { activation: "softmax" }),
      ]);
      model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", seed });
      await model.fit(
        [
          [1e3, -1e3],
          [0, 0],
          [1e-30, 5],
        ],
        [0, 1, 1],
        { epochs: 5, batchSize: 2, verbose: 0 },
      );
    }
  });
});

describe("the event loop", () => {
  it("turns while training", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const model = new Sequential([dense(64, { inputShape: [64] }), dense(1)]);
    model.compile({ optimizer: "sgd", loss: "mse" });
    const x = Array.from({ length: 640 }, () => new Array<number>(64).fill(0.01));
    await model.fit(
      x,
      x.map(() => 1),
      { epochs: 2, verbose: 0 },
    );
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
  });
});
