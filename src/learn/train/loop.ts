// The one training loop: batches in an order that is a function of (seed, epoch, position), a step for each, callbacks.
import { ArgumentError, HostArray, leaves, NumericError } from "../../engine/core/index.ts";
import { flattenTensors, tensor, type Tensor } from "../../engine/tensor/index.ts";
import { isHostArray, sampler, type JsonValue, type Sampler } from "../../data/index.ts";
import {
  batchesUntilDue,
  notify,
  record,
  type Callback,
  type History,
  type Logs,
  type Snapshot,
  type TrainRun,
} from "./callback.ts";
import { diagnose } from "./diagnose.ts";
import type { StepBatch } from "./objective.ts";
import { Pace } from "./pace.ts";
import { valuesOf, withLearningRate, type TrainState } from "./state.ts";
import type { StepOutputs, TrainStep } from "./step.ts";
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
  while (run.epoch < run.epochs && run.stopped === undefined) await run.epochOnce();
  await run.end();
  return { state: run.state, history: run.history, stopped: run.stopped };
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
  onNonFinite: "throw" | "stop" = "throw";
  batchLoss: number = NaN;
  #logs: Logs = {};

  constructor(options: TrainOptions) {
    const { state, dataset, initialEpoch = 0, epochs = 1, batchSize = 32, shuffle = true, resume } = options;
    for (const [name, value] of Object.entries({ epochs, initialEpoch })) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new ArgumentError("train", `\`${name}\` is a whole number ≥ 0: received ${value}`);
    }
    this.#options = options;
    this.#callbacks = options.callbacks ?? [];
    this.#sampler = sampler(dataset.length, { batchSize, seed: state.position.seed, shuffle });
    this.#state = state;
    this.step = state.step.item();
    this.epoch = resume?.progress.epoch ?? initialEpoch;
    this.history = structuredClone(resume?.progress.history ?? { epoch: [], history: {} });
    this.stopped = resume?.progress.stopped;
    if (resume !== undefined) this.#restore(resume);
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
    return this.#options.epochs ?? 1;
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
  snapshot(): Snapshot {
    const saved = this.#callbacks.flatMap(({ name, save }, i) =>
      save === undefined ? [] : [[memoryName(name, i), this.#callbacks[i]!.save!()] as const],
    );
    const stopped = this.stopped === undefined || this.stopped === INTERRUPTED ? {} : { stopped: this.stopped };
    return {
      state: this.#state,
      progress: {
        epoch: this.epoch,
        measures: this.#options.measures.save(),
        history: structuredClone(this.history),
        callbacks: Object.fromEntries(saved.map(([name, { values }]) => [name, values])),
        ...stopped,
      },
      tensors: Object.fromEntries(
        saved.flatMap(([name, { tensors = {} }]) =>
          Object.entries(tensors).map(([key, array]) => [`${name}/${key}`, array]),
        ),
      ),
    };
  }

  #restore({ progress, tensors }: Snapshot): void {
    this.#options.measures.load(progress.measures);
    this.#callbacks.forEach(({ name, load }, i) => {
      const values: JsonValue | undefined = progress.callbacks[memoryName(name, i)];
      if (load === undefined || values === undefined) return;
      const prefix = `${memoryName(name, i)}/`;
      const own = Object.entries(tensors).filter(([key]) => key.startsWith(prefix));
      this.#callbacks[i]!.load!({
        values,
        tensors: Object.fromEntries(own.map(([key, array]) => [key.slice(prefix.length), array])),
      });
    });
  }

  // ── the loop itself ────────────────────────────────────────────────────────

  async begin(): Promise<void> {
    if (this.#options.resume === undefined) this.#options.measures.reset();
    await notify(this.#callbacks, "onTrainBegin", this);
  }

  async end(): Promise<void> {
    // What is saved now must be what was trained: callbacks may put other weights in place at the end.
    if (this.stopped !== undefined && this.#state.position.sample > 0)
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
    const { dataset, resident, step, measures, upload, signal } = this.#options;
    const { samplesPerEpoch } = this.#sampler;
    const live = measures.live();
    const pace = new Pace();
    let sample = start;
    if (resident === undefined) return start;
    while (sample < samplesPerEpoch && this.stopped === undefined) {
      const size = Math.min(this.batchSize, samplesPerEpoch - sample);
      const batch = Math.floor(sample / this.batchSize);
      const due = batchesUntilDue(this.#callbacks, this);
      const count = Math.max(1, Math.min(Math.floor((samplesPerEpoch - sample) / size), pace.steps, due));
      const indices = this.#sampler.indices(this.#state.position.epoch, sample, count);
      const rows = tensor(new HostArray("int32", [count, size], new Int32Array(indices.buffer)));
      if (sample === start && step.many(this.#state, resident.data, rows) === undefined) break;
      await notify(this.#callbacks, "onBatchBegin", batch, this);
      const call = step.many(this.#state, resident.data, rows)!;
      const { done, result } = await pace.step(call.run, call.runAsync, count);
      const [state, outputs] = result;
      const finite = outputs.finite.host().get(done - 1) !== 0;
      const good = finite ? done : done - 1;
      this.#measureSteps(resident.host, outputs, { indices, size, good });
      sample += good * size;
      this.step += good;
      this.state = { ...state, position: { ...state.position, sample } };
      release({ rows, outputs });
      if (!finite) {
        const bad = upload(await dataset.batch(indices.subarray(good * size, done * size)));
        await this.#nonFinite(bad, batch + good);
        release(bad);
        break;
      }
      await notify(this.#callbacks, "onBatchEnd", batch + good - 1, live, this);
      if (signal?.aborted === true) this.stop(INTERRUPTED);
    }
    return sample;
  }

  #measureSteps(
    host: HostBatch,
    { loss, parts, predictions }: StepOutputs,
    { indices, size, good }: { readonly indices: Uint32Array; readonly size: number; readonly good: number },
  ): void {
    const losses = loss.host();
    const [partLosses, outputs] = [parts.map((part) => part.host()), predictions.map((one) => one.host())];
    for (let i = 0; i < good; i++) {
      this.batchLoss = losses.get(i);
      if (outputs.length === 0 && parts.length === 0) {
        this.#options.measures.update({ count: size, loss: this.batchLoss, parts: [], y: [], predictions: [] });
        continue;
      }
      const rows = indices.subarray(i * size, (i + 1) * size);
      this.#options.measures.update({
        count: size,
        loss: this.batchLoss,
        parts: partLosses.map((part) => part.get(i)),
        // Answers are read by metrics alone, and these need predictions.
        y: outputs.length === 0 ? [] : host.y.map((array) => array.takeRows(rows)),
        predictions: outputs.map((array) => sliceOf(array, i)),
        weights: outputs.length === 0 ? undefined : host.weights?.map((array) => array.takeRows(rows)),
      });
    }
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
    while (next !== undefined && this.stopped === undefined) {
      const batch = Math.floor(sample / this.batchSize);
      const { indices } = next;
      const host = await next.host;
      await notify(this.#callbacks, "onBatchBegin", batch, this);
      const onDevice = upload(host);
      sample += indices.length;
      const running = pace.step(
        () => step(this.#state, onDevice),
        () => step.run(this.#state, onDevice),
      );
      // The next batch is gathered while the device works; a failure of it is thrown when it is its turn.
      next = sample < samplesPerEpoch ? quietly(load, sample) : undefined;
      const [state, outputs] = await running;
      const finite = readOnce(outputs.finite) !== 0;
      if (finite) this.#measure(host, outputs, indices.length);
      this.state = { ...state, position: { ...state.position, sample: finite ? sample : sample - indices.length } };
      if (!finite) await this.#nonFinite(onDevice, batch);
      release(onDevice);
      if (!finite) return;
      this.step++;
      await notify(this.#callbacks, "onBatchEnd", batch, live, this);
      if (this.#options.signal?.aborted === true) this.stop(INTERRUPTED);
    }
  }

  #measure(host: HostBatch, outputs: StepOutputs, count: number): void {
    this.batchLoss = readOnce(outputs.loss);
    this.#options.measures.update({
      count,
      loss: this.batchLoss,
      parts: outputs.parts.map(readOnce),
      y: host.y,
      predictions: outputs.predictions.map((x) => {
        const array = x.host();
        x.dispose();
        return array;
      }),
      weights: host.weights,
    });
  }

  // The state is the one before the step: the guard of the step saw to it.
  async #nonFinite(batch: StepBatch, number: number): Promise<void> {
    const { where, problem } = await diagnose(this.trainStep, this.#state, batch);
    const place = `epoch ${this.epoch + 1}, batch ${number}`;
    if (this.onNonFinite === "stop") {
      this.stop(`${where}: ${problem}`);
      this.note(`${place}: ${where} ${problem}; training ends with the state before this batch`);
      return;
    }
    throw new NumericError(where, `${problem} in ${place}`, {
      hint: "the model has the weights from before this batch; try a smaller learning rate or clip gradients, and look at the data of this batch",
    });
  }
}

const INTERRUPTED = "interrupted";

function memoryName(name: string | undefined, position: number): string {
  return `${position}-${name ?? "callback"}`;
}

function quietly<T extends { host: HostBatch | Promise<HostBatch> }>(load: (sample: number) => T, sample: number): T {
  const loaded = load(sample);
  if (loaded.host instanceof Promise) loaded.host.catch(() => {}); // awaited in the next turn, where it throws
  return loaded;
}

function readOnce(x: Tensor): number {
  const value = x.item();
  x.dispose();
  return value;
}

// Batches are many: their memory goes back now, not when the garbage collector finds it.
function release(tree: object): void {
  for (const x of flattenTensors({ ...tree }).tensors) x.dispose();
}

// Slice `i` along the first axis, sharing memory.
function sliceOf(array: HostArray, i: number): HostArray {
  const shape = array.shape.slice(1);
  const size = array.size / array.shape[0]!;
  return new HostArray(array.dtype, shape, array.data.subarray(i * size, (i + 1) * size));
}

/** The number of samples of a host batch. */
export function countOf(batch: HostBatch): number {
  return leaves<HostArray>({ x: batch.x, y: batch.y }, isHostArray)[0]![1].shape[0]!;
}

/** The values of a state, for evaluation while training. */
export { valuesOf };
