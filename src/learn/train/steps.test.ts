// Runs counted in steps: where they end, when they evaluate and save, what they leave out, and that they go on exactly.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../../engine/core/index.ts";
import { setDefaultDevice, tensor, type Tensor } from "../../engine/tensor/index.ts";
import { arrayDataset } from "../../data/index.ts";
import { dense, embedding, Module, type Context } from "../nn/index.ts";
import { adamw } from "../optim/index.ts";
import type { Callback } from "./callback.ts";
import { modelCheckpoint, samples } from "./callbacks/index.ts";
import { CheckpointStore } from "./checkpoint.ts";
import { train } from "./loop.ts";
import { Measures } from "./measures.ts";
import { readMetrics, runLog } from "./run-log.ts";
import { createState, hashState } from "./state.ts";
import { makeStep, type StepOptions } from "./step.ts";
import { stepProgress } from "./step-progress.ts";
import { tokenEvaluation } from "./token-evaluation.ts";
import { tokenObjective } from "./token-objective.ts";
import type { HostBatch, TrainOptions } from "./train-options.ts";

class Bigram extends Module {
  readonly table: Module = embedding(7, 6);
  readonly head: Module = dense(7);
  protected forward(ids: Tensor, context: Context): Tensor {
    return this.head.call(this.table.call(ids, context), context);
  }
}

const [SAMPLES, TIME] = [22, 4];
const ids = Int32Array.from({ length: SAMPLES * TIME }, (_, i) => (i * i + 3 * i) % 7);
const next = ids.map((id) => (2 * id + 1) % 7);
const data = arrayDataset<HostBatch>({
  x: new HostArray("int32", [SAMPLES, TIME], ids),
  y: [new HostArray("int32", [SAMPLES, TIME], next)],
});
const upload = ({ x, y }: HostBatch) => ({ x: tensor(x as HostArray), y: y.map((array) => tensor(array)) });

function setUp(options: Partial<StepOptions> = {}) {
  const model = new Bigram();
  model.init(1, { dtype: "int32", shape: [1, TIME] });
  const optimizer = adamw({ learningRate: 0.02, decayMatricesOnly: true, globalClipNorm: 1 });
  const step = makeStep(model, { objective: tokenObjective(), optimizer, predictions: false, ...options });
  const run = (more: Partial<TrainOptions>) =>
    train({
      step,
      state: createState(model, { optimizer, seed: 5 }),
      dataset: data,
      upload,
      measures: new Measures([{ name: undefined, metrics: [] }]),
      batchSize: 4,
      ...more,
      callbacks: [{ onNote() {} }, ...(more.callbacks ?? [])],
    });
  const evaluate = tokenEvaluation(model, { dataset: data, upload, batchSize: 8, bytesPerToken: 2 });
  return { step, run, evaluate, like: createState(model, { optimizer, seed: 5 }) };
}

let folder = "";
beforeAll(() => {
  setDefaultDevice("native");
  folder = mkdtempSync(join(tmpdir(), "chainrule-steps-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("maxSteps", () => {
  it("ends a run in the middle of an epoch, over as many epochs as it needs", async () => {
    const { state, history } = await setUp().run({ maxSteps: 14 });
    expect(state.step.item()).toBe(14);
    expect(state.position).toEqual({ seed: 5, epoch: 2, sample: 8 }); // six batches an epoch, the last of two samples
    expect(history.epoch).toEqual([0, 1]);
  });
  it("deals with the end of an epoch where that is its last step, and does nothing where all is done", async () => {
    const { run } = setUp();
    const { state, history } = await run({ maxSteps: 6 });
    expect([state.position.epoch, state.position.sample, history.epoch.length]).toEqual([1, 0, 1]);
    const hash = hashState(state);
    expect(hashState((await run({ maxSteps: 6, state })).state)).toBe(hash);
  });
  it("also ends calls of several steps", async () => {
    const host = data.arrays;
    const { run } = setUp();
    const whole = await run({ maxSteps: 15 });
    const bursts = await run({ maxSteps: 15, resident: { data: upload(host), host } });
    expect(hashState(bursts.state)).toBe(hashState(whole.state));
  });
});

describe("evaluation", () => {
  it("comes every so many steps and after the last one", async () => {
    const { run, evaluate } = setUp();
    const heard: number[] = [];
    const listen: Callback = { onEvaluation: (logs, { step }) => void heard.push(step, logs["val_loss"]!) };
    const { evaluations } = await run({ maxSteps: 11, evaluation: { everySteps: 4, evaluate }, callbacks: [listen] });
    expect(evaluations.map(({ step }) => step)).toEqual([4, 8, 11]);
    expect(heard).toEqual(evaluations.flatMap(({ step, values }) => [step, values["val_loss"]!]));
    const { val_loss, val_perplexity, val_bits_per_byte } = evaluations[2]!.values;
    expect(val_loss).toBeLessThan(evaluations[0]!.values["val_loss"]!);
    expect(val_perplexity).toBeCloseTo(Math.exp(val_loss!), 12);
    expect(val_bits_per_byte).toBeCloseTo(val_loss! / Math.log(2) / 2, 12);
  });
});

describe("a run that is interrupted", () => {
  const whole = { maxSteps: 20, everySteps: 3 };
  const parts = (at: string, evaluate: TrainOptions["evaluation"]) => ({
    maxSteps: whole.maxSteps,
    evaluation: evaluate!,
    callbacks: [
      runLog(at, { everySteps: 2 }),
      samples({ everySteps: 5, sample: ({ step }) => `text ${step}`, folder: join(at, "samples") }),
      modelCheckpoint(join(at, "checkpoints"), { everyEpochs: 0, everySteps: 3, keepLast: 2, monitor: "val_loss" }),
    ],
  });
  it("goes on from its last step as if nothing had been, with the same log", async () => {
    const lines = (at: string) => readMetrics(at).map((line) => ({ ...line, time: 0 }));
    const plain = setUp({ accumulate: 2 });
    const full = join(folder, "whole");
    const expected = await plain.run(parts(full, { everySteps: 4, evaluate: plain.evaluate }));
    expect(
      lines(full)
        .filter(({ kind }) => kind === "evaluation")
        .map(({ step }) => step),
    ).toEqual([4, 8, 12, 16, 20]);
    expect(readFileSync(join(full, "samples/step-20.txt"), "utf8")).toBe("text 20\n");
    for (const stopAt of [1, 4, 6, 12, 13, 19]) {
      const at = join(folder, `stop-${stopAt}`);
      const first = setUp({ accumulate: 2 });
      const abort = new AbortController();
      const own = parts(at, { everySteps: 4, evaluate: first.evaluate });
      const stop: Callback = { onBatchEnd: (_, __, run) => void (run.step === stopAt && abort.abort()) };
      await first.run({ ...own, callbacks: [stop, ...own.callbacks], signal: abort.signal });
      expect(Math.max(...readdirSync(join(at, "checkpoints")).map(Number))).toBe(stopAt);
      const second = setUp({ accumulate: 2 });
      const loaded = await new CheckpointStore(join(at, "checkpoints")).latest(second.like);
      const resume = loaded!.snapshot;
      const again = parts(at, { everySteps: 4, evaluate: second.evaluate });
      const result = await second.run({
        ...again,
        callbacks: [{}, ...again.callbacks],
        state: resume.state,
        resume,
      });
      expect(hashState(result.state)).toBe(hashState(expected.state));
      expect(result.evaluations).toEqual(expected.evaluations);
      expect(lines(at)).toEqual(lines(full));
    }
  });
  it("keeps the newest and the best", async () => {
    const { run } = setUp();
    const at = join(folder, "best");
    let n = 0;
    const values = [3, 1, 2, 5, 4, 6];
    const evaluate = async () => ({ val_loss: values[n++]! });
    await run({
      maxSteps: 12,
      evaluation: { everySteps: 2, evaluate },
      callbacks: [modelCheckpoint(at, { everyEpochs: 0, everySteps: 2, keepLast: 2, monitor: "val_loss" })],
    });
    expect(await new CheckpointStore(at).steps()).toEqual([4, 10, 12]);
  });
  it("saves by the clock", async () => {
    const { run } = setUp();
    const at = join(folder, "clock");
    await run({ maxSteps: 3, callbacks: [modelCheckpoint(at, { everyEpochs: 0, everySeconds: 1e-9 })] });
    expect(await new CheckpointStore(at).steps()).toEqual([1, 2, 3]);
    expect(existsSync(join(at, "3", "manifest.json"))).toBe(true);
  });
});

describe("stepProgress", () => {
  it("shows steps, loss, rate, speed and time left", async () => {
    const { run } = setUp();
    let [text, time] = ["", 0];
    const stream = { write: (part: string) => void (text += part) };
    const now = () => (time += 50);
    const progress = stepProgress({ stream, now, everySeconds: 0, tokensPerStep: 1000, flopsPerStep: 1e6, peak: 1e8 });
    await run({ maxSteps: 4, callbacks: [progress] });
    const lines = text.trimEnd().split("\n");
    expect(lines).toHaveLength(5); // each step, and the end
    expect(lines[1]).toMatch(/^step 2\/4 0s left - loss: \d\.\d{4} - lr: 2\.0e-2 - 20\.0k tokens\/s - 20% of peak$/);
  });
});
