// The one training loop: batches in an order that is a function of (seed, epoch, position), a step for each, callbacks.
import { ArgumentError, HostArray, NumericError } from "../../engine/core/index.ts";
import { tensor } from "../../engine/tensor/index.ts";
import { sampler, type Sampler } from "../../data/index.ts";
import {
  batchesUntilDue,
  notify,
  record,
  type Callback,
  type Evaluated,
  type History,
  type Logs,
  type Snapshot,
  type TrainRun,
} from "./callback.ts";
import { diagnose } from "./diagnose.ts";
import { figuresOf, Limits, measureStep, measureSteps, release, type StepFigures } from "./loop-measures.ts";
import { loadCallbacks, saveCallbacks } from "./loop-memory.ts";
import type { StepBatch } from "./objective.ts";
import { Pace } from "./pace.ts";
import { withLearningRate, type TrainState } from "./state.ts";
import type { TrainStep } from "./step.ts";
import type { HostBatch, TrainOptions, TrainResult } from "./train-options.ts";

/**
 * Trains. `fit`, the command line and fine-tuning all run this loop; nothing else changes a parameter.
 *
 * Errors: NumericError when loss or gradients stop being finite (the state of `onState` is the last good one, the error
 * names the layer); errors of the dataset and of callbacks as they are.
 *
 * @example
 * const loss = resolveLoss("sparse_categorical_crossentropy");
 * const step = makeStep(model, { objective: makeObjective([loss]), optimizer: adam() });
 * const { state, history } = await train({
 *   step,
 *   state: createState(model, { optimizer: step.optimizer, seed: 0 }),
 *   dataset: arrayDataset({ x, y: [y] }),
 *   upload: (batch) => ({ x: tensor(batch.x as HostArray), y: batch.y.map((array) => tensor(array)) }),
 *   measures: new Measures([{ name: undefined, metrics: [accuracy()] }]),
 *   epochs: 5,
 *   batchSize: 4,
 * });
 * [state.step.item(), history.epoch.length]; // [15, 5]
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const run = new Loop(options);
  await run.begin();
  while (run.goesOn) await run.epochOnce();
  await run.end();
  return { state: run.state, history: run.history, evaluations: run.evaluations, stopped: run.stopped };
}

class Loop implements TrainRun {
  readonly #options: TrainOptions;
  readonly #callbacks: readonly Callback[];
  readonly #sampler: Sampler;
  #state: TrainState;
  epoch: number;
  step: number;
  readonly history: History;
  stopped: string | undefined;
  readonly evaluations: Evaluated[];
  onNonFinite: "throw" | "stop" | "skip" = "throw";
  batchLoss: number = NaN;
  batchGradientNorm: number = NaN;
  readonly #limits = new Limits();
  #logs: Logs = {};

  constructor(options: TrainOptions) {
    const { state, dataset, initialEpoch = 0, batchSize = 32, shuffle = true, resume } = options;
    const { epochs = 0, maxSteps = 0, evaluation } = options;
    for (const [name, value] of Object.entries({ epochs, initialEpoch, maxSteps })) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new ArgumentError("train", `\`${name}\` is a whole number ≥ 0: received ${value}`);
    }
    if (evaluation !== undefined && !(Number.isSafeInteger(evaluation.everySteps) && evaluation.everySteps > 0))
      throw new ArgumentError(
        "train",
        `\`evaluation.everySteps\` is a whole number ≥ 1: received ${evaluation.everySteps}`,
      );
    this.#options = options;
    this.#callbacks = options.callbacks ?? [];
    this.#sampler = sampler(dataset.length, { batchSize, seed: state.position.seed, shuffle });
    this.#state = state;
    this.step = state.step.item();
    this.epoch = resume?.progress.epoch ?? initialEpoch;
    this.history = structuredClone(resume?.progress.history ?? { epoch: [], history: {} });
    this.evaluations = structuredClone([...(resume?.progress.evaluations ?? [])]);
    this.stopped = resume?.progress.stopped;
    if (resume === undefined) return;
    options.measures.load(resume.progress.measures);
    loadCallbacks(this.#callbacks, resume);
  }

  // ── what callbacks see ─────────────────────────────────────────────────────

  get module(): TrainRun["module"] {
    return this.#options.step.module;
  }
  get trainStep(): TrainStep {
    return this.#options.step;
  }
  get state(): TrainState {
    return this.#state;
  }
  set state(next: TrainState) {
    this.#state = next;
    this.#options.onState?.(next);
  }
  get initialEpoch(): number {
    return this.#options.initialEpoch ?? 0;
  }
  get epochs(): number {
    return this.#options.epochs ?? (this.maxSteps === undefined ? 1 : Infinity);
  }
  get maxSteps(): number | undefined {
    return this.#options.maxSteps;
  }
  get evaluated(): Logs | undefined {
    const last = this.evaluations.at(-1);
    return last?.step === this.step ? last.values : undefined;
  }
  get evaluates(): boolean {
    return this.#options.evaluation !== undefined;
  }
  get lossLimit(): number {
    return this.#limits.loss;
  }
  set lossLimit(value: number) {
    this.#limits.set("loss", value, this.trainStep);
  }
  get normLimit(): number {
    return this.#limits.norm;
  }
  set normLimit(value: number) {
    this.#limits.set("norm", value, this.trainStep);
  }
  get batchSize(): number {
    return this.#sampler.batchSize;
  }
  get batchesPerEpoch(): number {
    return this.#sampler.batchesPerEpoch;
  }
  get learningRate(): number {
    const { count, learningRate } = this.#state.optState;
    return this.trainStep.optimizer.learningRateAt(count.item(), learningRate.item());
  }
  set learningRate(value: number) {
    const { optimizer } = this.trainStep;
    if (typeof optimizer.learningRate !== "number") {
      throw new ArgumentError("learningRate", `${optimizer.name} has a schedule, which says its learning rate`, {
        hint: "give the optimizer a number where a callback is to change it",
      });
    }
    if (!Number.isFinite(value) || value < 0)
      throw new ArgumentError("learningRate", `must be a finite number ≥ 0: received ${value}`);
    this.state = withLearningRate(this.#state, value);
  }
  stop(reason: string): void {
    // An interruption is for now, every other reason for good.
    if (this.stopped === undefined || this.stopped === INTERRUPTED) this.stopped = reason;
  }
  note(line: string): void {
    const listeners = this.#callbacks.filter(({ onNote }) => onNote !== undefined);
    for (const listener of listeners) listener.onNote!(line);
    if (listeners.length === 0) process.stderr.write(`${line}\n`);
  }
  async rollback(state: TrainState): Promise<void> {
    const from = this.step;
    this.state = { ...state, position: this.#state.position };
    this.step = state.step.item();
    while ((this.evaluations.at(-1)?.step ?? 0) > this.step) this.evaluations.pop();
    await notify(this.#callbacks, "onRollback", from, this);
  }
  snapshot(): Snapshot {
    const { values, tensors } = saveCallbacks(this.#callbacks);
    const stopped = this.stopped === undefined || this.stopped === INTERRUPTED ? {} : { stopped: this.stopped };
    return {
      state: this.#state,
      progress: {
        epoch: this.epoch,
        measures: this.#options.measures.save(),
        history: structuredClone(this.history),
        callbacks: values,
        ...(this.evaluations.length === 0 ? {} : { evaluations: structuredClone(this.evaluations) }),
        ...stopped,
      },
      tensors,
    };
  }

  // ── the loop itself ────────────────────────────────────────────────────────

  /** Whether another epoch begins or goes on. The end of an epoch is still dealt with where the last step was its last. */
  get goesOn(): boolean {
    if (this.epoch >= this.epochs || this.stopped !== undefined) return false;
    return this.#stepsLeft > 0 || this.#state.position.sample === this.#sampler.samplesPerEpoch;
  }

  get #stepsLeft(): number {
    return (this.maxSteps ?? Infinity) - this.step;
  }

  async begin(): Promise<void> {
    if (this.#options.resume === undefined) this.#options.measures.reset();
    await notify(this.#callbacks, "onTrainBegin", this);
  }

  async end(): Promise<void> {
    // What is saved now must be what was trained: callbacks may put other weights in place at the end.
    const { sample } = this.#state.position;
    if (sample > 0 && this.#stepsLeft <= 0) this.#logs = this.#options.measures.result();
    if (this.maxSteps !== undefined || (this.stopped !== undefined && sample > 0))
      await notify(this.#callbacks, "onInterrupt", this);
    await notify(this.#callbacks, "onTrainEnd", this.#logs, this);
  }

  async epochOnce(): Promise<void> {
    const { measures, validate } = this.#options;
    const start = this.#state.position.sample;
    if (start === 0) measures.reset();
    await notify(this.#callbacks, "onEpochBegin", this.epoch, this);
    await this.#batches(await this.#bursts(start));
    const { position } = this.#state;
    if (position.sample < this.#sampler.samplesPerEpoch) return; // stopped on the way
    this.#logs = measures.result();
    if (validate !== undefined) Object.assign(this.#logs, await validate(this.#state));
    this.state = { ...this.#state, position: { ...position, epoch: position.epoch + 1, sample: 0 } };
    const epoch = this.epoch++;
    await notify(
      this.#callbacks.filter(({ last }) => last !== true),
      "onEpochEnd",
      epoch,
      this.#logs,
      this,
    );
    record(this.history, epoch, this.#logs);
    measures.reset();
    await notify(
      this.#callbacks.filter(({ last }) => last === true),
      "onEpochEnd",
      epoch,
      this.#logs,
      this,
    );
  }

  // Several steps in one call, over data that the device reads where it lies. Gives the sample where that ended: the last
  // one, or the first where the device has no such calls.
  async #bursts(start: number): Promise<number> {
    const { dataset, resident, step, measures, upload } = this.#options;
    const { samplesPerEpoch } = this.#sampler;
    const live = measures.live();
    const pace = new Pace();
    let sample = start;
    if (resident === undefined) return start;
    while (sample < samplesPerEpoch && this.stopped === undefined && this.#stepsLeft > 0) {
      const size = Math.min(this.batchSize, samplesPerEpoch - sample);
      const batch = Math.floor(sample / this.batchSize);
      const due = Math.min(batchesUntilDue(this.#callbacks, this), this.#stepsLeft, this.#untilEvaluation);
      const count = Math.max(1, Math.min(Math.floor((samplesPerEpoch - sample) / size), pace.steps, due));
      const indices = this.#sampler.indices(this.#state.position.epoch, sample, count);
      const rows = tensor(new HostArray("int32", [count, size], new Int32Array(indices.buffer)));
      if (sample === start && step.many(this.#state, resident.data, rows, this.#limits.of(step)) === undefined) {
        rows.dispose();
        break;
      }
      await notify(this.#callbacks, "onBatchBegin", batch, this);
      const call = step.many(this.#state, resident.data, rows, this.#limits.of(step))!;
      const { done, result } = await pace.step(call.run, call.runAsync, count);
      const [state, outputs] = result;
      const finite = outputs.finite.host().get(done - 1) !== 0;
      const good = finite ? done : done - 1;
      this.batchLoss = measureSteps(measures, outputs, { host: resident.host, indices, size, good }) ?? this.batchLoss;
      sample += good * size;
      this.step += good;
      this.state = { ...state, position: { ...state.position, sample } };
      const figures = figuresOf(outputs, done - 1);
      if (good > 0) this.batchGradientNorm = figuresOf(outputs, good - 1).norm;
      release({ rows, outputs });
      if (good > 0) await this.#stepped(batch + good - 1, live);
      if (!finite) {
        const rejected = indices.subarray(good * size, done * size);
        const bad = upload(await dataset.batch(rejected));
        const skip = await this.#rejected(bad, { batch: batch + good, indices: rejected, figures });
        release(bad);
        if (!skip) break;
        sample = this.#state.position.sample;
      }
    }
    return sample;
  }

  async #batches(start: number): Promise<void> {
    const { dataset, upload, step, measures } = this.#options;
    const { samplesPerEpoch } = this.#sampler;
    const live = measures.live();
    const pace = new Pace();
    const load = (position: number): { indices: Uint32Array; host: HostBatch | Promise<HostBatch> } => {
      const indices = this.#sampler.indices(this.#state.position.epoch, position);
      return { indices, host: dataset.batch(indices) };
    };
    let sample = start;
    let next = sample < samplesPerEpoch && this.stopped === undefined ? load(sample) : undefined;
    while (next !== undefined && this.stopped === undefined && this.#stepsLeft > 0) {
      const batch = Math.floor(sample / this.batchSize);
      const { indices } = next;
      const host = await next.host;
      await notify(this.#callbacks, "onBatchBegin", batch, this);
      const onDevice = upload(host);
      sample += indices.length;
      const running = pace.step(
        () => step(this.#state, onDevice, this.#limits.of(step)),
        () => step.run(this.#state, onDevice, this.#limits.of(step)),
      );
      // The next batch is gathered while the device works; a failure of it is thrown when it is its turn.
      next = sample < samplesPerEpoch ? quietly(load, sample) : undefined;
      const [state, outputs] = await running;
      const finite = outputs.finite.item() !== 0;
      const figures = figuresOf(outputs);
      if (finite) [this.batchLoss, this.batchGradientNorm] = [figures.loss, figures.norm];
      if (finite) measureStep(measures, outputs, { host, count: indices.length });
      release(outputs);
      this.state = { ...state, position: { ...state.position, sample: finite ? sample : sample - indices.length } };
      const skip = !finite && (await this.#rejected(onDevice, { batch, indices, figures }));
      release(onDevice);
      if (!finite && !skip) return;
      if (!finite) continue;
      this.step++;
      await this.#stepped(batch, live);
    }
  }

  // What follows a step, or several in one call: callbacks, evaluation, then those that save.
  async #stepped(batch: number, live: Logs): Promise<void> {
    const { evaluation, signal } = this.#options;
    await notify(this.#callbacks, "onBatchEnd", batch, live, this);
    const last = this.#stepsLeft <= 0;
    if (evaluation !== undefined && (last || this.step % evaluation.everySteps === 0)) {
      const values = await evaluation.evaluate(this.#state);
      this.evaluations.push({ step: this.step, values });
      await notify(this.#callbacks, "onEvaluation", values, this);
    }
    await notify(this.#callbacks, "onStepEnd", this);
    if (signal?.aborted === true) this.stop(INTERRUPTED);
  }

  get #untilEvaluation(): number {
    const every = this.#options.evaluation?.everySteps;
    return every === undefined ? Infinity : every - (this.step % every);
  }

  // The state is the one before the step: the guard of the step saw to it. Whether the run goes on behind the batch.
  async #rejected(
    batch: StepBatch,
    {
      batch: number,
      indices,
      figures,
    }: { readonly batch: number; readonly indices: Uint32Array; readonly figures: StepFigures },
  ): Promise<boolean> {
    const { loss: limit } = this.#limits;
    const { loss, norm } = figures;
    const { where, problem } = this.#limits.exceeded(figures) ?? (await diagnose(this.trainStep, this.#state, batch));
    const place = `epoch ${this.epoch + 1}, batch ${number}`;
    if (this.onNonFinite === "stop") {
      this.stop(`${where}: ${problem}`);
      this.note(`${place}: ${where} ${problem}; training ends with the state before this batch`);
      return false;
    }
    if (this.onNonFinite === "throw") {
      throw new NumericError(where, `${problem} in ${place}`, {
        hint: "the model has the weights from before this batch; try a smaller learning rate or clip gradients, and look at the data of this batch",
      });
    }
    const { position } = this.#state;
    const sample = position.sample + indices.length;
    this.state = { ...this.#state, position: { ...position, sample } };
    const { step, epoch } = this;
    const about = { step, epoch, batch: number, sample, indices: indices.slice(), loss, limit, gradientNorm: norm };
    await notify(this.#callbacks, "onRejected", { ...about, problem: `${where}: ${problem}` }, this);
    if (this.#options.signal?.aborted === true) this.stop(INTERRUPTED);
    return true;
  }
}

const INTERRUPTED = "interrupted";

function quietly<T extends { host: HostBatch | Promise<HostBatch> }>(load: (sample: number) => T, sample: number): T {
  const loaded = load(sample);
  if (loaded.host instanceof Promise) loaded.host.catch(() => {}); // awaited in the next turn, where it throws
  return loaded;
}
