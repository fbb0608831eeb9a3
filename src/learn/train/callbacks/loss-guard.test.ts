// The guard: spikes and losses that are not finite are left out, or the run goes back; logged, and exactly repeatable.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../../../engine/core/index.ts";
import { setDefaultDevice, tensor, type Tensor } from "../../../engine/tensor/index.ts";
import { arrayDataset, subset } from "../../../data/index.ts";
import { dense } from "../../nn/index.ts";
import { sgd } from "../../optim/index.ts";
import type { Callback } from "../callback.ts";
import { CheckpointStore } from "../checkpoint.ts";
import { train } from "../loop.ts";
import { Measures } from "../measures.ts";
import type { Objective } from "../objective.ts";
import { readMetrics, readRejected, runLog } from "../run-log.ts";
import { createState, hashState, valuesOf, type TrainState } from "../state.ts";
import { makeStep } from "../step.ts";
import type { HostBatch, TrainOptions } from "../train-options.ts";
import { lossGuard, type LossGuardOptions } from "./loss-guard.ts";
import { modelCheckpoint } from "./model-checkpoint.ts";

let folder = "";
beforeAll(() => {
  setDefaultDevice("native");
  folder = mkdtempSync(join(tmpdir(), "chainrule-guard-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const COUNT = 40;
const squares: Objective = (output, { y }) => ({
  loss: (output as Tensor).sub(y[0]!).square().mean(),
  parts: [],
});

/** Answers are small, but for the samples named; some samples are not there at all. */
function setUp(bad: { readonly [sample: number]: number }, missing: readonly number[] = [], gradientNorm = false) {
  const x = Float32Array.from({ length: COUNT * 3 }, (_, i) => Math.sin(i));
  const y = Float32Array.from({ length: COUNT }, (_, i) => bad[i] ?? Math.cos(3 * i));
  const all = arrayDataset<HostBatch>({
    x: new HostArray("float32", [COUNT, 3], x),
    y: [new HostArray("float32", [COUNT, 1], y)],
  });
  const there = Array.from({ length: COUNT }, (_, i) => i).filter((i) => !missing.includes(i));
  const dataset = subset(all, Uint32Array.from(there));
  const model = dense(1);
  model.init(0, { dtype: "float32", shape: [1, 3] });
  const optimizer = sgd({ learningRate: 0.05, momentum: 0.9 });
  const step = makeStep(model, { objective: squares, optimizer, predictions: false, lossLimit: true, gradientNorm });
  const fresh = () => createState(model, { optimizer, seed: 1 });
  const run = (callbacks: readonly Callback[], more: Partial<TrainOptions> = {}) =>
    train({
      step,
      state: fresh(),
      dataset,
      upload: (batch) => ({ x: tensor(batch.x as HostArray), y: batch.y.map((array) => tensor(array)) }),
      measures: new Measures([{ name: undefined, metrics: [] }]),
      batchSize: 2,
      shuffle: false,
      maxSteps: 30,
      ...more,
      callbacks,
    });
  return { run, fresh };
}

const weights = (state: TrainState): unknown =>
  Object.entries(valuesOf(state)).map(([path, value]) => [path, value.toNested()]);
const largest = (state: TrainState): number =>
  Math.max(
    ...Object.values(valuesOf(state)).flatMap((value) => [...(value.host().data as Float32Array)].map(Math.abs)),
  );

const notes = (): Callback & { readonly lines: string[] } => {
  const lines: string[] = [];
  return { lines, onNote: (line) => void lines.push(line) };
};
const guard = (options: LossGuardOptions = {}): Callback => lossGuard({ window: 8, threshold: 50, ...options });

describe("lossGuard", () => {
  it("leaves a spike out: the weights are those of a run that never saw it", async () => {
    const log = notes();
    const at = join(folder, "spike");
    const { state } = await setUp({ 25: 1000 }).run([guard(), log, runLog(at)]);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatch(
      /^epoch 1, batch 12 \(samples 24 … 25\) is left out: loss: the loss is \d+.*, above \d/,
    );
    expect([state.step.item(), state.position.epoch, state.position.sample]).toEqual([30, 1, 22]);
    const never = await setUp({}, [24, 25]).run([guard(), notes()], { maxSteps: 19 });
    const left = await setUp({ 25: 1000 }).run([guard(), notes()], { maxSteps: 19 });
    expect(weights(left.state)).toEqual(weights(never.state));
    const [first] = readRejected(at);
    expect(first).toMatchObject({ step: 12, epoch: 0, batch: 12, sample: 26, samples: [24, 25] });
    expect(first!.loss!).toBeGreaterThan(first!.limit!);
  });
  it("takes the spike into the weights where only what is not finite is left out", async () => {
    const log = notes();
    const { state } = await setUp({ 25: 1000, 9: NaN }).run([guard({ threshold: Infinity }), log], { maxSteps: 12 });
    expect(log.lines).toEqual(["epoch 1, batch 4 (samples 8 … 9) is left out: data: the batch holds NaN"]);
    expect(largest(state)).toBeGreaterThan(10);
  });
  it("leaves out a batch whose gradients are a spike, and logs their norm", async () => {
    const log = notes();
    const at = join(folder, "norm");
    const byNorm = { threshold: Infinity, normThreshold: 50 };
    const { state } = await setUp({ 25: 1000 }, [], true).run([guard(byNorm), log, runLog(at, { everySteps: 1 })]);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatch(/is left out: gradients: the norm of the gradients is \d+.*, above \d/);
    const never = await setUp({}, [24, 25], true).run([guard(byNorm), notes()], { maxSteps: 19 });
    const left = await setUp({ 25: 1000 }, [], true).run([guard(byNorm), notes()], { maxSteps: 19 });
    expect(weights(left.state)).toEqual(weights(never.state));
    expect(state.step.item()).toBe(30);
    const norms = readMetrics(at).flatMap(({ values }) => values["grad_norm"] ?? []);
    expect(norms).toHaveLength(30);
    expect(Math.min(...norms)).toBeGreaterThan(0);
    expect(readRejected(at)[0]!.gradNorm!).toBeGreaterThan(Math.max(...norms.slice(0, 12)));
    await expect(setUp({}).run([guard(byNorm)])).rejects.toThrow("takes no limit of its gradient norm");
  });
  it("is exact through interruptions by the norm too", async () => {
    const bad = { 25: 1000, 6: -2000 };
    const parts = (at: string): readonly Callback[] => [
      guard({ threshold: Infinity, normThreshold: 50 }),
      notes(),
      modelCheckpoint(at, { everyEpochs: 0, everySteps: 4, keepLast: 5 }),
    ];
    const expected = hashState((await setUp(bad, [], true).run(parts(join(folder, "norm-whole")))).state);
    const at = join(folder, "norm-13");
    const abort = new AbortController();
    const stop: Callback = { onBatchEnd: (_, __, run) => void (run.step === 11 && abort.abort()) };
    await setUp(bad, [], true).run([...parts(at), stop], { signal: abort.signal });
    const { run, fresh } = setUp(bad, [], true);
    const { snapshot } = (await new CheckpointStore(at).latest(fresh()))!;
    expect(hashState((await run(parts(at), { state: snapshot.state, resume: snapshot })).state)).toBe(expected);
  });
  it("gives up where every batch is bad", async () => {
    const all = Object.fromEntries(Array.from({ length: COUNT }, (_, i) => [i, i < 20 ? 0 : NaN]));
    await expect(setUp(all).run([guard({ most: 4 }), notes()])).rejects.toThrow("5 batches in a row were left out");
  });
  it("goes back to the last checkpoint, and the log with it", async () => {
    const log = notes();
    const at = join(folder, "back");
    const checkpoints = join(at, "checkpoints");
    const saving = modelCheckpoint(checkpoints, { everyEpochs: 0, everySteps: 5 });
    const back = guard({ action: "rollback", folder: checkpoints, everySteps: 5 });
    const { state } = await setUp({ 25: 1000 }).run([back, log, runLog(at, { everySteps: 1 }), saving]);
    expect(log.lines[0]).toMatch(/back from step 12 to step 10$/);
    expect(log.lines[1]).toMatch(/back from step 29 to step 25$/);
    // 30 steps that stand, 2 + 4 given up, 2 batches left out; 20 batches an epoch.
    expect(state.position).toEqual({ seed: 1, epoch: 1, sample: 2 * (30 + 6 + 2 - 20) });
    const steps = readMetrics(at)
      .filter(({ kind }) => kind === "step")
      .map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });
  it.each(["skip", "rollback"] as const)("is exact through interruptions: %s", async (action) => {
    const bad = { 25: 1000, 33: NaN, 6: -2000 };
    const parts = (at: string): readonly Callback[] => [
      guard({ action, folder: at, everySteps: 4 }),
      notes(),
      modelCheckpoint(at, { everyEpochs: 0, everySteps: 4, keepLast: 5 }),
    ];
    const whole = await setUp(bad).run(parts(join(folder, `${action}-whole`)));
    const expected = hashState(whole.state);
    for (const stopAt of [3, 11, 12, 13, 16, 22, 29]) {
      const at = join(folder, `${action}-${stopAt}`);
      const abort = new AbortController();
      const stop: Callback = { onBatchEnd: (_, __, run) => void (run.step === stopAt && abort.abort()) };
      await setUp(bad).run([...parts(at), stop], { signal: abort.signal });
      const { run, fresh } = setUp(bad);
      const { snapshot } = (await new CheckpointStore(at).latest(fresh()))!;
      const { state } = await run(parts(at), { state: snapshot.state, resume: snapshot });
      expect(hashState(state), `interrupted after step ${stopAt}`).toBe(expected);
    }
  });
  it("finds its way back where other checkpoints have come since, and forgets what was best on the way given up", async () => {
    const at = join(folder, "best");
    const value: { [step: number]: number } = { 6: 3, 11: 1, 14: 2 };
    const evaluation = {
      everySteps: 1,
      evaluate: (state: TrainState) => Promise.resolve({ val_loss: value[state.step.item()] ?? 9 }),
    };
    const log = notes();
    const back = guard({ action: "rollback", folder: at, everySteps: 5 });
    // Saved when better (6, 11) and by steps (5, 10): step 10 must still be there when 12 is rejected.
    const saving = modelCheckpoint(at, { everyEpochs: 0, everySteps: 5, keepLast: 1, monitor: "val_loss" });
    await setUp({ 25: 1000 }).run([back, log, saving], { evaluation });
    expect(log.lines[0]).toMatch(/back from step 12 to step 10$/);
    const store = new CheckpointStore(at, { keepBest: { monitor: "val_loss", mode: "min" } });
    // 11 comes again after going back and is the best; without it 14 would be.
    expect(await store.best()).toEqual({ step: 11, value: 1 });
  });
  it("needs a step that takes a limit", async () => {
    const { fresh } = setUp({});
    const model = dense(1);
    model.init(0, { dtype: "float32", shape: [1, 3] });
    const step = makeStep(model, { objective: squares, optimizer: sgd() });
    expect(() => step(fresh(), { x: tensor([[1, 2, 3]]), y: [tensor([[1]])] }, { lossLimit: 1 })).toThrow(
      "takes no `lossLimit`",
    );
    expect(() => lossGuard({ action: "rollback" })).toThrow("needs the `folder`");
  });
});
