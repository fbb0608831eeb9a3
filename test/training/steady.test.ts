// A run in its steady state: little garbage a step, no growth of memory, and the number of threads is free at any time.
import type { HeapProfiler } from "node:inspector";
import { Session } from "node:inspector/promises";
import { describe, expect, it } from "vitest";
import { HostArray } from "../../src/engine/core/index.ts";
import { defaultDevice } from "../../src/engine/tensor/index.ts";
import { dense } from "../../src/learn/nn/index.ts";
import { hashState, Sequential } from "../../src/learn/train/index.ts";
import { flagged } from "./flags.ts";

const [N, WIDTH, BATCH] = [25_600, 16, 8];

function small(): { model: Sequential; x: HostArray; y: HostArray } {
  const model = new Sequential([dense(16, { activation: "relu", inputShape: [WIDTH] }), dense(1)]);
  model.compile({ optimizer: "adam", loss: "mse", seed: 0 });
  const x = new HostArray("float32", [N, WIDTH]);
  for (let i = 0; i < x.size; i++) x.data[i] = Math.sin(i);
  return { model, x, y: new HostArray("float32", [N]) };
}

function allocated({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number {
  return children.reduce((sum, child) => sum + allocated(child), selfSize);
}

const native = defaultDevice().name === "native";

describe.runIf(native)("training in its steady state", () => {
  it("makes less than 1 kB of garbage a step, and none of it stays", async () => {
    const gc = flagged("--expose-gc", "gc") as () => void;
    const { model, x, y } = small();
    const options = { batchSize: BATCH, verbose: 0 } as const;
    await model.fit(x, y, { ...options, epochs: 2 });
    const session = new Session();
    session.connect();
    gc();
    const before = process.memoryUsage();
    // Everything that is allocated is sampled, also what is collected on the way.
    const collected = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true };
    await session.post("HeapProfiler.startSampling", { samplingInterval: 4096, ...collected });
    const from = model.trainState!.step.item();
    await model.fit(x, y, { ...options, epochs: 4 });
    const { profile } = await session.post("HeapProfiler.stopSampling");
    session.disconnect();
    const steps = model.trainState!.step.item() - from;
    expect(steps).toBeGreaterThan(10_000);
    expect(allocated(profile.head) / steps).toBeLessThan(1000);
    gc();
    const after = process.memoryUsage();
    expect(after.heapUsed - before.heapUsed).toBeLessThan(500_000);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1_000_000);
  });

  it("gives the same bits when the number of threads changes", async () => {
    const device = defaultDevice();
    const threads = device.threads;
    const hashes: string[] = [];
    for (const count of [1, 2, 3]) {
      device.setThreads(count);
      expect(device.threads).toBe(count);
      const { model, x, y } = small();
      await model.fit(x, y, { batchSize: 12_800, verbose: 0 });
      device.setThreads(threads);
      await model.fit(x, y, { batchSize: 12_800, verbose: 0 });
      hashes.push(hashState(model.trainState!));
    }
    expect(new Set(hashes).size).toBe(1);
    expect(() => device.setThreads(0)).toThrow(/threads are a whole number from 1 to 256/);
  });
});
