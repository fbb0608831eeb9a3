// Several steps in one call: the same bits as one at a time, and the same meaning of callbacks, NaN and interruption.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostArray, NumericError } from "../../engine/core/index.ts";
import { arrayDataset, type Dataset } from "../../data/index.ts";
import { defaultDevice, setDefaultDevice, tensor, type DeviceName } from "../../engine/tensor/index.ts";
import { batchNormalization, dense, dropout } from "../nn/index.ts";
import type { Callback } from "./callback.ts";
import { Sequential } from "./keras/index.ts";
import { hashState } from "./state.ts";

const before = defaultDevice().name as DeviceName;
beforeAll(() => {
  setDefaultDevice("native");
});
afterAll(() => {
  setDefaultDevice(before);
});

const [N, WIDTH] = [1003, 20];

function data(): { x: HostArray; y: HostArray } {
  const x = new HostArray("float32", [N, WIDTH]);
  const y = new HostArray("int32", [N]);
  for (let i = 0; i < x.size; i++) x.data[i] = Math.sin(i * 12.9898) * 2;
  for (let i = 0; i < N; i++) y.data[i] = (i * 7) % 5;
  return { x, y };
}

// Momentum, running statistics and random layers: all kinds of state that steps hand on.
function model(): Sequential {
  const made = new Sequential([
    dense(16, { activation: "relu", inputShape: [WIDTH] }),
    batchNormalization(),
    dropout(0.2),
    dense(16, { activation: "relu" }),
    dense(5, { activation: "softmax" }),
  ]);
  made.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"], seed: 3 });
  return made;
}

// A dataset that is not in arrays: one step a call.
function opaque({ x, y }: { x: HostArray; y: HostArray }): Dataset {
  const arrays = arrayDataset({ x, y });
  return { length: arrays.length, batch: (indices) => arrays.batch(indices) };
}

describe.runIf(before === "native")("steps in one call", () => {
  it("give the bits of steps one at a time", async () => {
    const options = { epochs: 3, batchSize: 16, verbose: 0 } as const;
    const { x, y } = data();
    const [many, single] = [model(), model()];
    const a = await many.fit(x, y, options);
    const b = await single.fit(opaque({ x, y }), undefined, options);
    expect(a).toEqual(b);
    expect(hashState(many.trainState!)).toBe(hashState(single.trainState!));
    expect(many.trainState!.step.item()).toBe(3 * Math.ceil(N / 16));
  });

  it("stop at the callbacks that are due", async () => {
    const { x, y } = data();
    const seen: number[] = [];
    const calls: number[] = [];
    const every: Callback = {
      batchesUntilDue: (run) => 5 - (run.step % 5),
      onBatchEnd: (_, __, run) => void (run.step % 5 === 0 ? seen.push(run.step) : calls.push(run.step)),
    };
    await model().fit(x, y, { batchSize: 16, verbose: 0, callbacks: [every] });
    expect(seen).toEqual([5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]);
    const each: number[] = [];
    await model().fit(x, y, {
      batchSize: 16,
      verbose: 0,
      callbacks: [{ onBatchEnd: (batch) => void each.push(batch) }],
    });
    expect(each).toEqual(Array.from({ length: Math.ceil(N / 16) }, (_, i) => i));
  });

  it("end before a batch that is not finite, with the state before it", async () => {
    const x = new HostArray("float32", [64, 1], new Float32Array(64).fill(1));
    // 3e38 squared overflows in the loss of step 40.
    const y = new HostArray("float32", [64], new Float32Array(64));
    y.data[40] = 3e38;
    const made = new Sequential([dense(1, { inputShape: [1] })]);
    made.compile({ optimizer: "sgd", loss: "mse", seed: 1 });
    const options = { batchSize: 1, shuffle: false, verbose: 0 } as const;
    // Twice over the sound ones first, so that many steps go in one call.
    await made.fit(x, new HostArray("float32", [64]), { ...options, epochs: 2 });
    const copy = new Sequential([dense(1, { inputShape: [1] })]);
    copy.compile({ optimizer: "sgd", loss: "mse", seed: 1 });
    await copy.fit(x, new HostArray("float32", [64]), { ...options, epochs: 2 });
    await expect(made.fit(x, y, options)).rejects.toThrow(NumericError);
    expect(made.trainState!.step.item()).toBe(128 + 40);
    expect(made.trainState!.position.sample).toBe(40);
    await copy.fit(
      new HostArray("float32", [40, 1], new Float32Array(40).fill(1)),
      new HostArray("float32", [40]),
      options,
    );
    expect(made.getWeights()).toEqual(copy.getWeights());
  });

  it("end soon after they are asked to", async () => {
    const { x, y } = data();
    const made = model();
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 30);
    await made.fit(x, y, { epochs: 100_000, batchSize: 16, verbose: 0, signal: abort.signal });
    expect(made.trainState!.step.item()).toBeGreaterThan(0);
    expect(made.trainState!.step.item()).toBeLessThan(100_000 * 63);
  });

  it("leave a Tensor that was handed in as it was", async () => {
    const { x, y } = data();
    const [tx, ty] = [tensor(x), tensor(y)];
    await model().fit(tx, ty, { batchSize: 16, verbose: 0 });
    expect(tx.host().equals(x)).toBe(true);
    expect(ty.host().equals(y)).toBe(true);
  });
});
