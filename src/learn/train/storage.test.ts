// bfloat16 storage: half the memory, the same bits for the same seed, nothing lost in a checkpoint, right on average.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { HostArray } from "../../engine/core/index.ts";
import { defaultDevice, grad, random, roundRandomly, tensor, type Tensor } from "../../engine/tensor/index.ts";
import { dense, resolveLoss, stack } from "../nn/index.ts";
import { adamw, adamw8bit, muon, type Optimizer } from "../optim/index.ts";
import {
  CheckpointStore,
  createState,
  diagnose,
  hashState,
  makeObjective,
  makeStep,
  stateArrays,
  type Objective,
  type Rounding,
  type Storage,
  type TrainState,
} from "./index.ts";

const half: Storage = { weights: "bfloat16", states: "bfloat16" };
const batch = {
  x: tensor(
    HostArray.from(Array.from({ length: 8 }, (_, i) => Array.from({ length: 12 }, (__, j) => Math.sin(i * 7 + j)))),
  ),
  y: [tensor(HostArray.from(Array.from({ length: 8 }, (_, i) => [Math.cos(i), Math.sin(3 * i)])))],
};

function run(
  steps: number,
  options: {
    storage?: Storage;
    rounding?: Rounding;
    accumulate?: number;
    optimizer?: Optimizer;
    from?: TrainState;
  } = {},
): { state: TrainState; losses: number[] } {
  const {
    storage = half,
    rounding = "stochastic",
    accumulate = 1,
    optimizer = adamw({ learningRate: 1e-2 }),
  } = options;
  const model = stack([dense(70, { activation: "tanh" }), dense(2)]).init(3, {
    dtype: "float32",
    shape: [8, 12],
  });
  const objective = makeObjective([resolveLoss("mse")]);
  const step = makeStep(model, { objective, optimizer, rounding, accumulate, predictions: false });
  let state = options.from ?? createState(model, { optimizer, seed: 5, storage });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const [next, outputs] = step(state, batch);
    state = next;
    losses.push(outputs.loss.item());
  }
  return { state, losses };
}

const bytesOf = (state: TrainState, part: RegExp): number =>
  [...stateArrays(state)].reduce((sum, [name, { byteLength }]) => sum + (part.test(name) ? byteLength : 0), 0);

test("matrices and their moments take half the memory, before and after a step", () => {
  const matrices = 12 * 70 + 70 * 2;
  const others = 70 + 2;
  for (const { state } of [run(0), run(2)]) {
    expect(bytesOf(state, /^params\./)).toBe(2 * matrices + 4 * others);
    expect(bytesOf(state, /^optState\.inner/)).toBe(2 * (2 * matrices + 4 * others) + 4); // and a count;
  }
});

test("the same seed gives the same bits, another thread count too", () => {
  const first = hashState(run(20).state);
  expect(hashState(run(20).state)).toBe(first);
  const { threads, name } = defaultDevice();
  if (name !== "native") return;
  try {
    defaultDevice().setThreads(1);
    expect(hashState(run(20).state)).toBe(first);
  } finally {
    defaultDevice().setThreads(threads);
  }
});

test("micro-batches give the state of the whole batch but for rounding", () => {
  const whole = stateArrays(run(1).state);
  for (const [name, array] of stateArrays(run(1, { accumulate: 2 }).state)) {
    const other = whole.get(name)!;
    for (let i = 0; i < array.size; i++)
      expect(Math.abs(array.get(i) - other.get(i))).toBeLessThanOrEqual(2 ** -7 * Math.abs(other.get(i)) + 1e-6);
  }
});

test("a checkpoint keeps bfloat16 as it is, and the run goes on bit for bit", async () => {
  const folder = mkdtempSync(join(tmpdir(), "chainrule-storage-"));
  try {
    const store = new CheckpointStore(folder);
    const { state } = run(7);
    const progress = { epoch: 0, measures: {}, history: {}, callbacks: [] } as never;
    await store.save({ state, progress, tensors: {} });
    const { snapshot } = (await store.latest(run(0).state))!;
    expect(hashState(snapshot.state)).toBe(hashState(state));
    expect(hashState(run(5, { from: snapshot.state }).state)).toBe(hashState(run(12).state));
    await expect(store.latest(run(0, { storage: {} }).state)).rejects.toThrow(/bfloat16/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("it learns as in float32, where rounding to the nearest loses small updates", () => {
  const optimizer = (): Optimizer => adamw({ learningRate: 1e-4 });
  const last = (options: Parameters<typeof run>[1]): number =>
    run(300, { ...options, optimizer: optimizer() }).losses.at(-1)!;
  const [exact, stochastic, nearest] = [last({ storage: {} }), last({}), last({ rounding: "nearest" })];
  const first = run(1).losses[0]!;
  expect(exact).toBeLessThan(first);
  // Of what float32 learned, random rounding keeps nearly all.
  expect((first - stochastic) / (first - exact)).toBeGreaterThan(0.9);
  expect(nearest).toBeGreaterThan(stochastic);
});

test("every optimizer trains in it", () => {
  for (const optimizer of [muon({ learningRate: 1e-2 }), adamw8bit({ learningRate: 1e-2 })]) {
    const { losses, state } = run(30, { optimizer });
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const formats = Object.values(state.params).map(({ dtype, rank }) => [rank, dtype]);
    expect(formats).toContainEqual([2, "bfloat16"]);
    expect(formats).not.toContainEqual([2, "float32"]);
  }
});

test("random rounding is right on average and gives neighbours only", () => {
  const x = 1.001953125 + 0.3 / 256; // between 1 and 1 + 2⁻⁷
  const many = tensor(HostArray.from(new Array<number>(40_000).fill(x)));
  const words = random.bits(random.key(11), [40_000]);
  for (const upper of [false, true]) {
    const values = roundRandomly(many, words, { upper }).host();
    const found = new Set(values.toFlat());
    expect([...found].toSorted((a, b) => a - b)).toEqual([1, 1 + 2 ** -7]);
    const mean = values.toFlat().reduce((sum, value) => sum + value, 0) / 40_000;
    expect(Math.abs(mean - x)).toBeLessThan(1e-4); // five standard errors
  }
});

test("a gradient that is not finite is found in weights kept in bfloat16 too", async () => {
  const model = stack([dense(70), dense(2, { useBias: false })]).init(3, { dtype: "float32", shape: [8, 12] });
  const optimizer = adamw();
  // √0 has an infinite slope: the loss is finite, the gradient is not.
  const objective: Objective = (output) => ({ loss: (output as Tensor).mul(0).square().sum().sqrt(), parts: [] });
  const step = makeStep(model, { objective, optimizer });
  const state = createState(model, { optimizer, seed: 0, storage: half });
  const { where, problem } = await diagnose(step, state, batch);
  expect(where).toBe("dense_1.kernel");
  expect(problem).toMatch(/^the gradient holds (NaN|-?Infinity)$/);
});

test("bfloat16 has no gradient, and says so", () => {
  const kept = tensor([1, 2]).cast("bfloat16");
  expect(() => grad((x: Tensor) => x.cast("float32").sum())(kept)).toThrow("cast it to float32 first");
});
