// Training leaves the event loop free: timers fire while a step of a large network runs.
import { describe, expect, it } from "vitest";
import { HostArray } from "../../src/engine/core/index.ts";
import { defaultDevice } from "../../src/engine/tensor/index.ts";
import { dense } from "../../src/learn/nn/index.ts";
import { Sequential } from "../../src/learn/train/index.ts";

describe("the event loop", () => {
  // Only the native runtime has threads of its own.
  it.runIf(defaultDevice().name === "native")("turns during a step", async () => {
    const width = 1536;
    const model = new Sequential([
      dense(width, { inputShape: [width], activation: "relu" }),
      dense(width, { activation: "relu" }),
      dense(1),
    ]);
    model.compile({ optimizer: "sgd", loss: "mse" });
    const x = new HostArray("float32", [1024, width]).cast("float32");
    const y = new HostArray("float32", [1024]);
    await model.fit(x, y, { batchSize: 1024, verbose: 0 }); // compiles
    let [ticks, longest, last] = [0, 0, performance.now()];
    const timer = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      [last, ticks] = [now, ticks + 1];
    }, 1);
    let steps = 0;
    const began = performance.now();
    const durations: number[] = [];
    await model.fit(x, y, {
      batchSize: 1024,
      epochs: 3,
      shuffle: false,
      verbose: 0,
      callbacks: [
        {
          onBatchBegin: () => void durations.push(performance.now()),
          onBatchEnd: () => void (durations[steps] = performance.now() - durations[steps++]!),
        },
      ],
    });
    clearInterval(timer);
    const step = Math.max(...durations);
    // A blocked loop would tick once a step; what blocks it is the gathering and copying of the batch.
    expect(step).toBeGreaterThan(20);
    expect(ticks).toBeGreaterThan(3 * steps);
    expect(performance.now() - began).toBeGreaterThan(step);
    expect(longest).toBeGreaterThan(0);
  });
});
