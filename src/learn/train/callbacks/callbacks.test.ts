// Callbacks by Keras's rules, on scripted logs and on real runs; what they remember survives a resumed run.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { setDefaultDevice } from "../../../engine/tensor/index.ts";
import { dense } from "../../nn/index.ts";
import { cosineDecay, sgd } from "../../optim/index.ts";
import type { Callback } from "../callback.ts";
import { Sequential } from "../keras/index.ts";
import { readMetrics } from "../run-log.ts";
import {
  csvLogger,
  earlyStopping,
  learningRateScheduler,
  modelCheckpoint,
  reduceOnPlateau,
  tensorBoard,
} from "./index.ts";

let folder = "";
beforeAll(() => {
  setDefaultDevice("reference");
  folder = mkdtempSync(join(tmpdir(), "chainrule-callbacks-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const X = Array.from({ length: 16 }, (_, i) => [Math.sin(i), Math.cos(2 * i)]);
const Y = X.map(([a, b]) => a! - b!);

function model(learningRate: number = 0.01): Sequential {
  const made = new Sequential([dense(1, { inputShape: [2] })]);
  made.compile({ optimizer: sgd({ learningRate }), loss: "mse" });
  return made;
}

// Writes the values of a script into the logs, so that the rules can be followed by hand.
const script = (values: readonly number[], name: string = "val_loss"): Callback => ({
  onEpochEnd: (epoch, logs) => void (logs[name] = values[epoch]!),
});

const fit = (made: Sequential, epochs: number, callbacks: readonly Callback[]): ReturnType<Sequential["fit"]> =>
  made.fit(X, Y, { epochs, callbacks: [...callbacks, { onNote: () => {} }], verbose: 0, batchSize: 8 });

describe("your own", () => {
  it("is told of everything in order, and may be async", async () => {
    const heard: string[] = [];
    const say = (text: string): Promise<void> => Promise.resolve().then(() => void heard.push(text));
    await fit(model(), 2, [
      {
        onTrainBegin: () => say("train"),
        onEpochBegin: (epoch) => say(`epoch ${epoch}`),
        onBatchBegin: (batch) => say(`batch ${batch}`),
        onBatchEnd: (batch, logs) => say(`batch ${batch} ${Object.keys(logs).join()}`),
        onEpochEnd: (epoch, logs) => say(`epoch ${epoch} ${Object.keys(logs).join()}`),
        onTrainEnd: () => say("end"),
      },
    ]);
    const epoch = (e: number): string[] => [
      `epoch ${e}`,
      "batch 0",
      "batch 0 loss",
      "batch 1",
      "batch 1 loss",
      `epoch ${e} loss`,
    ];
    expect(heard).toEqual(["train", ...epoch(0), ...epoch(1), "end"]);
  });

  it("may stop the run after a batch or an epoch", async () => {
    const made = model();
    const { epoch } = await fit(made, 5, [{ onEpochEnd: (e, _, run) => void (e === 1 && run.stop("enough")) }]);
    expect(epoch).toEqual([0, 1]);
    const half = await fit(made, 5, [{ onBatchEnd: (batch, _, run) => void (batch === 0 && run.stop("enough")) }]);
    expect(half.epoch).toEqual([]);
    expect(made.trainState!.position).toEqual({ seed: 0, epoch: 2, sample: 8 });
  });

  it("may change the learning rate, but not under a schedule", async () => {
    const rates: number[] = [];
    await fit(model(), 1, [{ onBatchEnd: (_, __, run) => void rates.push((run.learningRate = run.learningRate / 2)) }]);
    expect(rates.map((rate) => Math.fround(rate))).toEqual([Math.fround(0.005), Math.fround(0.0025)]);
    const scheduled = new Sequential([dense(1, { inputShape: [2] })]);
    scheduled.compile({ optimizer: sgd({ learningRate: cosineDecay({ initial: 0.1, decaySteps: 9 }) }), loss: "mse" });
    await expect(fit(scheduled, 1, [{ onBatchEnd: (_, __, run) => void (run.learningRate = 1) }])).rejects.toThrow(
      /has a schedule/,
    );
  });
});

describe("earlyStopping", () => {
  it("bears `patience` epochs without a better value", async () => {
    const values = [5, 4, 4.5, 4.2, 3, 3.1, 3.2, 3.3, 1];
    const { epoch } = await fit(model(), 9, [script(values), earlyStopping({ patience: 3 })]);
    expect(epoch.at(-1)).toBe(7);
  });
  it("wants at least minDelta, the right way round", async () => {
    const loss = await fit(model(), 9, [
      script([5, 4.95, 4.9, 4.85, 4.8]),
      earlyStopping({ patience: 2, minDelta: 0.5 }),
    ]);
    expect(loss.epoch.at(-1)).toBe(2);
    const accuracy = await fit(model(), 5, [
      script([0.1, 0.2, 0.3, 0.2, 0.1], "val_accuracy"),
      earlyStopping({ monitor: "val_accuracy", patience: 1 }),
    ]);
    expect(accuracy.epoch.at(-1)).toBe(3);
  });
  it("waits for startFromEpoch and for the baseline", async () => {
    expect(
      (await fit(model(), 6, [script([1, 2, 3, 4, 5, 6]), earlyStopping({ patience: 1, startFromEpoch: 3 })])).epoch.at(
        -1,
      ),
    ).toBe(4);
    expect(
      (await fit(model(), 6, [script([9, 8, 7, 6, 5, 4]), earlyStopping({ patience: 2, baseline: 1 })])).epoch.at(-1),
    ).toBe(5);
    expect(
      (await fit(model(), 6, [script([9, 8, 8, 8, 8, 8]), earlyStopping({ patience: 2, baseline: 1 })])).epoch.at(-1),
    ).toBe(2);
  });
  it("brings back the best weights", async () => {
    const made = model();
    const seen: number[][] = [];
    const watch: Callback = { onEpochEnd: () => void seen.push(made.getWeights()["dense.kernel"]!.toFlat()) };
    await fit(made, 9, [watch, script([5, 3, 4, 4, 4]), earlyStopping({ patience: 3, restoreBestWeights: true })]);
    expect(seen).toHaveLength(5);
    expect(made.getWeights()["dense.kernel"]!.toFlat()).toEqual(seen[1]);
    expect(seen[1]).not.toEqual(seen[4]);
  });
  it("refuses a value that is not there, and one without direction", async () => {
    await expect(fit(model(), 2, [earlyStopping()])).rejects.toThrow(
      /there is no `val_loss` to monitor\nhint: there are: loss; give validationData/,
    );
    expect(() => earlyStopping({ monitor: "temperature" })).toThrow(/less or more `temperature`/);
  });
});

describe("learning rates", () => {
  it("follow a function of the epoch", async () => {
    const { history } = await fit(model(1), 3, [
      learningRateScheduler((epoch, rate) => (epoch === 0 ? rate : rate / 2)),
    ]);
    expect(history["learning_rate"]).toEqual([1, 0.5, 0.25]);
  });
  it("are reduced on a plateau, with cooldown and a floor", async () => {
    const values = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    const { history } = await fit(model(1), 12, [
      script(values),
      reduceOnPlateau({ factor: 0.5, patience: 2, cooldown: 1, minLearningRate: 0.2 }),
    ]);
    // Keras 3: best in epoch 0; two waits → halved after epochs 2, 4, 6 (the cooldown epoch counts as the first wait).
    expect(history["learning_rate"]).toEqual([1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2]);
  });
});

describe("files", () => {
  it("CSV: one line an epoch, columns in order, appended if asked", async () => {
    const path = join(folder, "log.csv");
    const made = model();
    const { history } = await fit(made, 2, [script([1, 2]), csvLogger(path)]);
    const rows = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(rows[0]).toBe("epoch,loss,val_loss");
    expect(rows.slice(1).map((row) => row.split(",").map(Number))).toEqual([
      [0, history["loss"]![0], 1],
      [1, history["loss"]![1], 2],
    ]);
    await fit(made, 1, [script([3]), csvLogger(path, { append: true })]);
    expect(readFileSync(path, "utf8").trimEnd().split("\n")).toHaveLength(4);
    await expect(fit(made, 1, [csvLogger(path, { append: true })])).rejects.toThrow(/has the columns loss, val_loss/);
  });
  it("TensorBoard: train and validation in folders of their own", async () => {
    const path = join(folder, "board");
    await fit(model(), 2, [script([1, 2]), tensorBoard(path, { updateFreq: "batch" })]);
    const text = (part: string): string =>
      readdirSync(join(path, part))
        .map((file) => readFileSync(join(path, part, file), "latin1"))
        .join();
    for (const tag of ["batch_loss", "epoch_loss", "epoch_learning_rate"]) expect(text("train")).toContain(tag);
    expect(text("validation")).toContain("epoch_loss");
    expect(text("train")).not.toContain("val_");
  });
  it("a run folder holds config, metrics, events and checkpoints", async () => {
    const path = join(folder, "run");
    const made = model();
    await made.fit(X, Y, {
      epochs: 2,
      batchSize: 8,
      verbose: 0,
      run: path,
      checkpoint: { everySteps: 1, keepLast: 2 },
    });
    expect(readdirSync(path).sort()).toEqual(["checkpoints", "config.json", "events", "metrics.jsonl"]);
    const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as {
      optimizer: object;
      model: { model: object };
    };
    expect(config).toMatchObject({
      optimizer: { name: "sgd" },
      seed: 0,
      batchSize: 8,
      parameters: 3,
      model: { format: "chainrule-model" },
    });
    expect(readdirSync(join(path, "checkpoints")).sort()).toEqual(["3", "4"]);
    const epochs = readMetrics(path).filter(({ kind }) => kind === "epoch");
    expect(epochs.map(({ step, epoch, values }) => [step, epoch, Object.keys(values)])).toEqual([
      [2, 0, ["learning_rate", "loss"]],
      [4, 1, ["learning_rate", "loss"]],
    ]);
  });
});

describe("modelCheckpoint", () => {
  it("keeps the last and the best", async () => {
    const path = join(folder, "best");
    await fit(model(), 6, [script([3, 1, 2, 4, 5, 6]), modelCheckpoint(path, { monitor: "val_loss", keepLast: 2 })]);
    expect(
      readdirSync(path)
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual([4, 10, 12]);
  });
  it("saves only what is better, if asked", async () => {
    const path = join(folder, "only");
    await fit(model(), 6, [
      script([3, 1, 2, 0.5, 5, 6]),
      modelCheckpoint(path, { monitor: "val_loss", saveBestOnly: true, keepLast: 9 }),
    ]);
    expect(
      readdirSync(path)
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual([2, 4, 8]);
  });
  it("saves an interrupted run where it stands, and it goes on from there", async () => {
    const path = join(folder, "interrupted");
    const whole = model();
    const expected = await fit(whole, 3, []);
    const abort = new AbortController();
    const options = { epochs: 3, batchSize: 8, verbose: 0, checkpoint: { folder: path }, resume: true } as const;
    await model().fit(X, Y, {
      ...options,
      signal: abort.signal,
      callbacks: [{ onBatchEnd: (b, _, run) => void (run.epoch === 1 && b === 0 && abort.abort()) }],
    });
    expect(readdirSync(path)).toContain("3");
    const resumed = model();
    expect(await resumed.fit(X, Y, options)).toEqual(expected);
    expect(resumed.getWeights()).toEqual(whole.getWeights());
    await expect(model().fit(X, Y, { ...options, resume: false })).rejects.toThrow(
      /checkpoints of an earlier run, up to step 6/,
    );
    expect(existsSync(join(path, "6", "manifest.json"))).toBe(true);
  });
});
