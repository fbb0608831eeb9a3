// How long a run takes on this machine: the same model with few layers is trained and evaluated for about five seconds.
import { createHash } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flattenTensors } from "../../engine/tensor/index.ts";
import { makeTokenEvaluate, valuesOf, type TrainState } from "../../learn/train/index.ts";
import { batchOf, layersOf, trainingOf, withLayers, type Training } from "./plan-program.ts";
import type { Recipe } from "./recipe-types.ts";
import type { Settings } from "./settings.ts";

/** Seconds of the parts of a run. */
export interface Measurement {
  /** An update of the whole batch. */
  readonly step: number;
  /** A batch of the evaluation; 0 where nothing is held out. */
  readonly evaluation: number;
  /** What is written to disk and hashed, a byte. */
  readonly writeByte: number;
  /** From a recipe to the end of the first step, beyond the time of a step: first weights, compilation, fresh memory. */
  readonly begin: number;
  /** Layers of the models that were measured: all of them, or a few that a line was laid through. */
  readonly layers: readonly number[];
  /** How long the measurement took. */
  readonly took: number;
}

/** A whole model is measured where its update takes no longer than so many seconds. */
const DIRECT = 0.4;
/** Time for repetitions of one model. */
const BUDGET = 1.2;
const FEWEST = 3;
const MOST = 25;

/** Which models a measurement builds: for whether they fit. */
export function measuredLayers(settings: Settings): readonly number[] {
  const layers = layersOf(settings);
  return layers < 3 ? [layers] : [1, layers < 6 ? 2 : layers < 8 ? 3 : 4];
}

/**
 * Measures a recipe: one micro-batch on the model with one layer and with two to four, in turns, so that what disturbs one
 * disturbs the other; a line through both says the time of all layers. Where micro-batches are accumulated, two of them on
 * the smallest model tell the cost of an update from that of a pass. A model that is fast is measured whole.
 */
export async function measureTime(
  recipe: Recipe,
  settings: Settings,
  { evaluated }: { readonly evaluated: boolean },
): Promise<Measurement> {
  const began = performance.now();
  const layers = layersOf(settings);
  const { batch, microBatch } = settings;
  const single: Recipe = { ...recipe, training: { ...recipe.training, accumulate: 1 } };
  const micro: Settings = { ...settings, batch: microBatch };
  const at = (count: number): Probe => new Probe(single, withLayers(micro, count), { evaluated });
  const done = (step: number, evaluation: number, begin: number, used: readonly number[]): Promise<Measurement> =>
    finished({ step, evaluation, begin, layers: used }, began);

  const [low, high] = measuredLayers(settings) as [number, number | undefined];
  const one = at(low);
  await one.round();
  await one.round();
  const whole = high === undefined || one.step * layers * (batch / microBatch) < DIRECT;
  if (whole) {
    one.dispose();
    const full = new Probe(recipe, settings, { evaluated });
    await rounds([full]);
    full.dispose();
    return done(full.step, full.evaluation, full.begin, [layers]);
  }
  const two = at(high);
  const probes = [one, two];
  // A model of one layer that accumulates two micro-batches.
  const twice =
    batch > microBatch
      ? new Probe(
          { ...recipe, training: { ...recipe.training, accumulate: 2 } },
          withLayers({ ...settings, batch: 2 * microBatch }, low),
          { evaluated: false },
        )
      : undefined;
  await rounds(twice === undefined ? probes : [...probes, twice]);
  const line = (a: number, b: number): number => a + ((layers - low) * (b - a)) / (high - low);
  const once = line(one.step, two.step);
  const begin = line(one.begin, two.begin);
  const evaluation = line(one.evaluation, two.evaluation);
  for (const probe of [...probes, ...(twice === undefined ? [] : [twice])]) probe.dispose();
  if (twice === undefined) return done(once, evaluation, begin, [low, high]);
  // An update costs by its weights; what is left of a step is the pass.
  const update = Math.max(0, 2 * one.step - twice.step) * (line(one.weights, two.weights) / one.weights);
  const step = (batch / microBatch) * (once - update) + update;
  return done(step, evaluation, begin, [low, high]);
}

async function finished(parts: Omit<Measurement, "writeByte" | "took">, began: number): Promise<Measurement> {
  const writeByte = await measureWrite();
  return { ...parts, writeByte, took: (performance.now() - began) / 1000 };
}

// In turns, until each has had its time.
async function rounds(probes: readonly Probe[]): Promise<void> {
  const until = performance.now() + 1000 * BUDGET * probes.length;
  for (const probe of probes) await probe.round(); // the first one compiles
  for (let i = 0; i < MOST && (i < FEWEST || performance.now() < until); i++)
    for (const probe of probes) await probe.round();
}

/** A model in training, and how long its steps take. */
class Probe {
  readonly #training: Training;
  readonly #evaluate: (() => Promise<unknown>) | undefined;
  readonly #steps: number[] = [];
  readonly #evaluations: number[] = [];
  readonly #built: number;
  readonly weights: number;
  #state: TrainState;

  constructor(recipe: Recipe, settings: Settings, { evaluated }: { readonly evaluated: boolean }) {
    const began = performance.now();
    this.#training = trainingOf(recipe, settings);
    this.#state = this.#training.state;
    this.weights = Object.values(this.#state.params).reduce((sum, { size }) => sum + size, 0);
    this.#built = performance.now() - began;
    if (!evaluated) return;
    const evaluate = makeTokenEvaluate(this.#training.model);
    const { vocabSize } = this.#training.model;
    const rows = recipe.evaluation.batch ?? settings.microBatch;
    const batch = batchOf(recipe, { batch: rows, time: settings.time, vocabSize });
    this.#evaluate = async () => (await evaluate.run(valuesOf(this.#state), batch)).loss.item();
  }

  /** One step, and now and then an evaluation. */
  async round(): Promise<void> {
    const began = performance.now();
    const [state, outputs] = await this.#training.step.run(this.#state, this.#training.batch);
    outputs.loss.item();
    this.#state = state;
    this.#steps.push(performance.now() - began);
    if (this.#evaluate === undefined || this.#evaluations.length > this.#steps.length / 2) return;
    const before = performance.now();
    await this.#evaluate();
    this.#evaluations.push(performance.now() - before);
  }

  get step(): number {
    return usual(this.#steps);
  }
  get evaluation(): number {
    return usual(this.#evaluations);
  }
  get begin(): number {
    return (this.#built + this.#steps[0]!) / 1000 - this.step;
  }

  dispose(): void {
    for (const x of flattenTensors({ ...this.#state, position: {} }).tensors) x.dispose();
  }
}

// The first one compiles: it does not count. Of the others the lower quartile: what a step takes when nobody disturbs it, which
// two models of a line have in common. Seconds.
function usual([, ...times]: readonly number[]): number {
  if (times.length === 0) return 0;
  return times.toSorted((a, b) => a - b)[times.length >> 2]! / 1000;
}

// Seconds a byte takes to be hashed, written and to lie on the disk.
async function measureWrite(): Promise<number> {
  const bytes = new Uint8Array(2 ** 24).fill(1);
  const folder = await mkdtemp(join(tmpdir(), "chainrule-plan-"));
  try {
    const began = performance.now();
    createHash("sha256").update(bytes).digest();
    const file = await open(join(folder, "bytes"), "w");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    return (performance.now() - began) / 1000 / bytes.length;
  } finally {
    await rm(folder, { recursive: true });
  }
}
