// The process of the memory benchmark: many steps of the classic network, and what they leave behind.
// Started with a young generation so large that whole stretches run without a collection: what the heap grows by is what was allocated.
import { PerformanceObserver } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";
import { defaultDevice } from "chainrule";
import { classicModel, filled, trainingStep } from "./steps.ts";

/** What some steps cost in memory. */
export interface Growth {
  readonly steps: number;
  /** Bytes of JavaScript objects a step; null where no stretch of steps was without a collection. */
  readonly heapPerStep: number | null;
  /** Bytes of array memory a step newly asked of the system; null likewise. */
  readonly arraysPerStep: number | null;
  /** Times a step asked the engine for memory, from the pool or new. */
  readonly requestsPerStep: number;
  /** Resident size after the first tenth, and at the end, in bytes. */
  readonly residentBefore: number;
  readonly residentAfter: number;
  readonly threads: number;
  readonly device: string;
}

const [how, total] = process.argv.slice(2) as ["step" | "run" | "fit", string];
const STRETCH = 200;

// Asks for memory are counted where the engine takes them.
let requests = 0;
const { backend, name: device, threads } = defaultDevice();
const allocate = backend.allocate.bind(backend);
backend.allocate = (type) => (requests++, allocate(type));

// A stretch with a collection in it says nothing about what was allocated.
let collections = 0;
new PerformanceObserver((list) => void (collections += list.getEntries().length)).observe({ entryTypes: ["gc"] });

/** Runs a stretch of steps. */
function stretches(): () => Promise<void> {
  if (how === "fit") {
    const model = classicModel();
    model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy" });
    const x = filled("float32", [32 * STRETCH, 784], Math.random);
    const y = filled("int32", [32 * STRETCH], () => Math.floor(Math.random() * 10));
    return async () => void (await model.fit(x, y, { epochs: 1, batchSize: 32, verbose: 0, shuffle: false }));
  }
  const { step, batch, ...rest } = trainingStep("mlp");
  let { state } = rest;
  return async () => {
    for (let i = 0; i < STRETCH; i++) [state] = how === "run" ? await step.run(state, batch) : step(state, batch);
  };
}

const run = stretches();
const steps = Number(total);
const heaps: number[] = [];
const arrays: number[] = [];
let residentBefore = 0;
let counted = 0;
for (let done = 0; done < steps; done += STRETCH) {
  if (done * 10 >= steps && residentBefore === 0) {
    residentBefore = process.memoryUsage.rss();
    [requests, counted] = [0, done];
  }
  await setImmediate(); // what was observed is told
  const before = collections;
  const [heap, external] = [getHeapStatistics().used_heap_size, process.memoryUsage().arrayBuffers];
  await run();
  const grown = getHeapStatistics().used_heap_size - heap;
  const grownArrays = process.memoryUsage().arrayBuffers - external;
  await setImmediate();
  if (residentBefore === 0 || collections > before) continue;
  heaps.push(grown / STRETCH);
  arrays.push(grownArrays / STRETCH);
}
const middle = (list: number[]): number | null => list.sort((a, b) => a - b)[list.length >> 1] ?? null;
const growth: Growth = {
  steps,
  heapPerStep: middle(heaps),
  arraysPerStep: middle(arrays),
  requestsPerStep: requests / (steps - counted),
  residentBefore,
  residentAfter: process.memoryUsage.rss(),
  threads,
  device,
};
console.log(JSON.stringify(growth));
