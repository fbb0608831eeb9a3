// Training leaves the event loop free: timers fire while a step of a large network runs.
import { describe, expect, it } from "vitest";
import { HostArray } from "../../src/engine/core/index.ts";
import { defaultDevice } from "../../src/engine/tensor/index.ts";
import { dense } from "../../src/learn/nn/index.ts";
import { Sequential } from "../../src/learn/train/index.ts";

const WIDTH = 1536;

describe("the event loop", () => {
  // Only the native runtime has threads of its own.
  it.runIf(defaultDevice().name === "native")("turns during a step", async () => {
    const model = new Sequential([dense(WIDTH, { inputShape: [WIDTH] }), dense(WIDTH), dense(1)]);
    model.compile({ optimizer: "sgd", loss: "mse" });
    const [x, y] = [new HostArray("float32", [1024, WIDTH]), new HostArray("float32", [1024])];
    const options = { batchSize: 1024, shuffle: false, verbose: 0 } as const;
    await model.fit(x, y, options); // compiles
    // Timers that fired between the beginning and the end of each step.
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const during: { ticks: number; ms: number }[] = [];
    let began = { ticks: 0, ms: 0 };
    const onBatchBegin = (): void => void (began = { ticks, ms: performance.now() });
    const onBatchEnd = (): void => void during.push({ ticks: ticks - began.ticks, ms: performance.now() - began.ms });
    await model.fit(x, y, { ...options, epochs: 3, callbacks: [{ onBatchBegin, onBatchEnd }] });
    clearInterval(timer);
    expect(during).toHaveLength(3);
    for (const step of during) {
      expect(step.ms).toBeGreaterThan(20);
      expect(step.ticks).toBeGreaterThan(5);
    }
  });
});
