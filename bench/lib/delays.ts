// The process of the event-loop benchmark: trains at full speed and reads how late the event loop was.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { datasets, defaultDevice, Measures, tensor, train, type HostArray, type Tensor } from "chainrule";
import { classicModel, filled, pictureModel, trainingStep, type StepName } from "./steps.ts";

/** Delays in milliseconds. A timer of 1 ms measures them, so an idle loop shows a little more than 1. */
export interface Delays {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Steps a second meanwhile; 0 when idle. */
  readonly steps: number;
  readonly threads: number;
  readonly device: string;
}

const EPOCHS = 5;

const [name, seconds] = process.argv.slice(2) as [StepName | "idle", string];

// Trains for some epochs; gives their steps.
async function epochs(): Promise<() => Promise<number>> {
  if (name === "idle") return () => new Promise((resolve) => setTimeout(() => resolve(0), 500));
  if (name === "mlp" || name === "cnn") {
    const [model, batch, count, shape] =
      name === "mlp"
        ? ([classicModel(), 32, 32 * 1000, [784]] as const)
        : ([pictureModel(), 64, 64 * 10, [28, 28, 1]] as const);
    const optimizer = name === "mlp" ? "sgd" : "adam";
    model.compile({ optimizer, loss: "sparse_categorical_crossentropy", metrics: ["accuracy"] });
    const x = filled("float32", [count, ...shape], Math.random);
    const y = filled("int32", [count], () => Math.floor(Math.random() * 10));
    return async () => {
      // Several epochs a call, as people train: what a call begins with is no step.
      await model.fit(x, y, { epochs: EPOCHS, batchSize: batch, verbose: 0 });
      return (EPOCHS * count) / batch;
    };
  }
  // The language model runs the loop that fit runs.
  const { step, state: first, batch } = trainingStep(name);
  const [rows, time] = (batch.x as Tensor).shape as [number, number];
  const many = filled("int32", [rows * 10, time], () => Math.floor(Math.random() * 65));
  let state = first;
  const upload = ({ x }: { x: unknown }): { x: Tensor; y: readonly Tensor[] } => {
    const one = tensor(x as HostArray, { dtype: "int32" });
    return { x: one, y: [one] };
  };
  return async () => {
    const result = await train({
      step,
      state,
      dataset: datasets.arrayDataset({ x: many, y: [many] }),
      upload,
      measures: new Measures([{ name: undefined, metrics: [] }]),
      batchSize: rows,
    });
    state = result.state;
    return 10;
  };
}

const run = await epochs();
await run(); // compiles
const monitor = monitorEventLoopDelay({ resolution: 1 });
monitor.enable();
const began = performance.now();
let steps = 0;
while (performance.now() - began < Number(seconds) * 1000) steps += await run();
const elapsed = (performance.now() - began) / 1000;
monitor.disable();
const milliseconds = (nanoseconds: number): number => nanoseconds / 1e6;
const { name: device, threads } = defaultDevice();
const delays: Delays = {
  p50: milliseconds(monitor.percentile(50)),
  p99: milliseconds(monitor.percentile(99)),
  max: milliseconds(monitor.max),
  steps: steps / elapsed,
  threads,
  device,
};
console.log(JSON.stringify(delays));
