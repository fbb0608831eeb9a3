// Runs counted in steps, interrupted anywhere and gone on with in fresh objects, are the run that was never interrupted:
// 220 random cases over optimizers, schedules, accumulation, guard, evaluation, checkpoints; stopped or broken off.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { foldIn, HostArray, keyOf, randomBits, unitFloat } from "../../src/engine/core/index.ts";
import { setDefaultDevice, tensor, type Tensor } from "../../src/engine/tensor/index.ts";
import { arrayDataset } from "../../src/data/index.ts";
import { dense, dropout, embedding, Module, type Context } from "../../src/learn/nn/index.ts";
import * as optim from "../../src/learn/optim/index.ts";
import * as training from "../../src/learn/train/index.ts";
import type { Callback, HostBatch } from "../../src/learn/train/index.ts";

const COUNT = 220;

let root = "";
beforeAll(() => {
  setDefaultDevice("native");
  // Thousands of small files that need not survive: in memory where the system has such a folder.
  root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "chainrule-resume-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Draws of one case: a function of its number alone. */
class Draw {
  readonly #key: ReturnType<typeof keyOf>;
  #count = 0;
  constructor(number: number) {
    this.#key = foldIn(keyOf(404), number);
  }
  unit(): number {
    return unitFloat(randomBits(foldIn(this.#key, this.#count++), 1)[0]!);
  }
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  often(p: number): boolean {
    return this.unit() < p;
  }
}

class Tiny extends Module {
  readonly table: Module = embedding(7, 6);
  readonly drop: Module;
  readonly head: Module = dense(7);
  constructor(rate: number) {
    super();
    this.drop = dropout(rate);
  }
  protected forward(ids: Tensor, context: Context): Tensor {
    return this.head.call(this.drop.call(this.table.call(ids, context), context), context);
  }
}

function scheduleOf(draw: Draw): number | optim.Schedule {
  const kinds = {
    number: () => 0.02,
    cosine: () => optim.warmup(optim.cosineDecay({ initial: 0.03, decaySteps: 20, alpha: 0.1 }), { steps: 4 }),
    linear: () => optim.warmup(optim.linearDecay({ initial: 0.03, decaySteps: 20 }), { steps: 3 }),
    wsd: () => optim.warmupStableDecay({ peak: 0.03, warmupSteps: 3, stableSteps: 8, decaySteps: 8, shape: "sqrt" }),
  };
  return draw.pick(Object.values(kinds))();
}

const optimizerOf: { readonly [name: string]: (options: optim.CommonOptions) => optim.Optimizer } = {
  adamw: (options) => optim.adamw({ ...options, weightDecay: 0.1, decayMatricesOnly: true, convention: "torch" }),
  groups: (options) => optim.adamw({ ...options, groups: [{ match: "table.*", learningRate: 0.5, weightDecay: 0 }] }),
  muon: (options) => optim.muon({ ...options, weightDecay: 0.05 }),
  jordan: (options) => optim.muon({ ...options, scale: "jordan", adamRate: 0.3 }),
  sgd: (options) => optim.sgd({ ...options, momentum: 0.9, nesterov: true }),
  lion: (options) => optim.lion(options),
};

/** Everything that says a case; `make` gives fresh states and callbacks. The compiled step is a function, and the same for all. */
function caseOf(number: number) {
  const draw = new Draw(number);
  const [rows, time] = [10 + draw.below(30), 1 + draw.below(4)];
  const labels = Int32Array.from({ length: rows * time }, () => (draw.often(0.15) ? -1 : draw.below(7)));
  // A sample whose weights are not a number is a batch that no step may take.
  const poisoned = draw.often(0.3) ? draw.below(rows) : -1;
  const weights = Float32Array.from({ length: rows * time }, (_, i) =>
    Math.floor(i / time) === poisoned ? NaN : 0.5 + draw.unit(),
  );
  const shape = [rows, time];
  const dataset = arrayDataset<HostBatch>({
    x: new HostArray(
      "int32",
      shape,
      Int32Array.from({ length: rows * time }, () => draw.below(7)),
    ),
    y: [new HostArray("int32", shape, labels)],
    weights: [new HostArray("float32", shape, weights)],
  });
  const maxSteps = 6 + draw.below(14);
  const optimizer = draw.pick(Object.keys(optimizerOf));
  const learningRate = scheduleOf(draw);
  const clip = draw.often(0.5) ? { globalClipNorm: 1 } : {};
  const accumulate = draw.pick([1, 1, 2, 3]);
  const batchSize = 2 + draw.below(6);
  const rate = draw.pick([0, 0.2]);
  const everySteps = 2 + draw.below(3);
  const evaluateEvery = 2 + draw.below(5);
  const guard = poisoned >= 0 ? draw.pick(["skip", "rollback"] as const) : draw.pick(["none", "skip"] as const);
  const threshold = draw.pick([2.5, 6]);
  const shuffle = draw.often(0.8);
  const objective = training.tokenObjective({ labelSmoothing: draw.pick([0, 0.1]), zLoss: draw.pick([0, 1e-3]) });
  const stopAt = 1 + draw.below(maxSteps - 1);
  const crashes = draw.often(0.5);

  const model = new Tiny(rate);
  model.init(number, { dtype: "int32", shape: [1, time] });
  const chosen = optimizerOf[optimizer]!({ learningRate, ...clip });
  const step = training.makeStep(model, {
    objective,
    optimizer: chosen,
    predictions: false,
    accumulate,
    lossLimit: guard !== "none",
  });
  const upload = ({ x, y, weights: w }: HostBatch): training.StepBatch => ({
    x: tensor(x as HostArray),
    y: y.map((array) => tensor(array)),
    ...(w === undefined ? {} : { weights: w.map((array) => tensor(array)) }),
  });
  const held = arrayDataset<HostBatch>({ x: dataset.arrays.x, y: dataset.arrays.y });
  const evaluate = training.tokenEvaluation(model, { dataset: held, upload, batchSize: 16 });

  const make = (folder: string, extra: Callback) => {
    const checkpoints = join(folder, "checkpoints");
    const saving = { everyEpochs: 0, everySteps, keepLast: 8, monitor: "val_loss" };
    const guarding = { window: 5, threshold, everySteps, folder: checkpoints, most: 50 };
    const options: training.TrainOptions = {
      step,
      state: training.createState(model, { optimizer: chosen, seed: number }),
      dataset,
      upload,
      measures: new training.Measures([{ name: undefined, metrics: [] }]),
      batchSize,
      shuffle,
      maxSteps,
      evaluation: { everySteps: evaluateEvery, evaluate },
      callbacks: [
        ...(guard === "none" ? [] : [training.lossGuard({ ...guarding, action: guard })]),
        training.runLog(folder, { everySteps: 1 }),
        training.modelCheckpoint(checkpoints, saving),
        { onNote() {} },
        extra,
      ],
    };
    return { options, store: new training.CheckpointStore(checkpoints) };
  };
  const title = `${number}: ${optimizer}, ${maxSteps} steps, ${accumulate} parts, guard ${guard}, ${crashes ? "broken off" : "stopped"} after ${stopAt}`;
  return { title, make, stopAt, crashes, guard, accumulate };
}

const BROKEN = new Error("broken off");

function summary(folder: string, { state, evaluations, history }: training.TrainResult) {
  return {
    state: training.hashState(state),
    evaluations,
    history,
    metrics: training.readMetrics(folder).map((line) => ({ ...line, time: 0 })),
    rejected: training.readRejected(folder),
  };
}

describe("resume of runs counted in steps", () => {
  it(`is exact in ${COUNT} random cases`, async () => {
    const seen = { rejected: 0, gone: 0, fromTheStart: 0, crashed: 0, parts: 0 };
    for (let number = 0; number < COUNT; number++) {
      const { title, make, stopAt, crashes, accumulate } = caseOf(number);
      const [whole, parts] = [join(root, `${number}-whole`), join(root, `${number}-parts`)];
      try {
        const goingBack: Callback = { onRollback: () => void seen.gone++ };
        const expected = summary(whole, await training.train(make(whole, goingBack).options));
        const abort = new AbortController();
        let reached = false;
        const stop: Callback = {
          onBatchEnd(_, __, run) {
            if (reached || run.step !== stopAt) return;
            reached = true;
            if (crashes) throw BROKEN;
            abort.abort();
          },
        };
        const first = training.train({ ...make(parts, stop).options, signal: abort.signal });
        await first.catch((error: unknown) => {
          if (error !== BROKEN) throw error;
        });
        const { options, store } = make(parts, {});
        const found = (await store.latest(options.state))?.snapshot;
        const again = found === undefined ? options : { ...options, state: found.state, resume: found };
        expect(summary(parts, await training.train(again))).toEqual(expected);
        for (const folder of [whole, parts]) rmSync(folder, { recursive: true });
        seen.rejected += expected.rejected.length;
        seen.fromTheStart += found === undefined ? 1 : 0;
        seen.crashed += crashes ? 1 : 0;
        seen.parts += accumulate > 1 ? 1 : 0;
      } catch (error) {
        throw new Error(`case ${title}`, { cause: error });
      }
    }
    // The cases are what they are said to be.
    expect(seen.rejected).toBeGreaterThan(50);
    expect(seen.gone).toBeGreaterThan(20);
    expect(seen.fromTheStart).toBeLessThan(COUNT / 4);
    expect(seen.crashed).toBeGreaterThan(COUNT / 3);
    expect(seen.parts).toBeGreaterThan(COUNT / 4);
  }, 120_000);
});
