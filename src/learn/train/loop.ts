// The one training loop: batches in an order that is a function of (seed, epoch, position), a step for each, callbacks.
import { ArgumentError, leaves, NumericError, type HostArray, type Tree } from "../../engine/core/index.ts";
import { flattenTensors, type Tensor } from "../../engine/tensor/index.ts";
import { isHostArray, sampler, type Dataset, type JsonValue, type Sampler } from "../../data/index.ts";
import { notify, record, type Callback, type History, type Logs, type Snapshot, type TrainRun } from "./callback.ts";
import { diagnose } from "./diagnose.ts";
import type { Measures } from "./measures.ts";
import type { StepBatch } from "./objective.ts";
import { Pace } from "./pace.ts";
import { valuesOf, withLearningRate, type TrainState } from "./state.ts";
import type { StepOutputs, TrainStep } from "./step.ts";

/** A batch on the host: inputs, the answers of each output, weights of the samples for each output where there are any. */
export type HostBatch = {
  readonly x: Tree<HostArray>;
  readonly y: readonly HostArray[];
  readonly weights?: readonly HostArray[];
};

export interface TrainOptions {
  readonly step: TrainStep;
  readonly state: TrainState;
  readonly dataset: Dataset<HostBatch>;
  /** Copies a batch to the device, in the dtypes the model takes. */
  readonly upload: (batch: HostBatch) => StepBatch;
  /** Loss and metrics of an epoch. */
  readonly measures: Measures;
  /** The number of the epoch to stop before; default 1. */
  readonly epochs?: number;
  /** The number of the first epoch; default 0. */
  readonly initialEpoch?: number;
  /** Default 32. */
  readonly batchSize?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Values of other data after each epoch, added to the logs. */
  readonly validate?: (state: TrainState) => Promise<Logs>;
  readonly callbacks?: readonly Callback[];
  /** Told of each new state; the one before is used up. */
  readonly onState?: (state: TrainState) => void;
  /** Where an interrupted run stood; its state must be `state`. */
  readonly resume?: Snapshot;
  /** Ends the run after the batch under way. */
  readonly signal?: AbortSignal;
}

export interface TrainResult {
  readonly state: TrainState;
  readonly history: History;
  /** Why it ended early, if it did. */
  readonly stopped: string | undefined;
}

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
    await this.#batches(start);
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
    let next = sample < samplesPerEpoch ? load(sample) : undefined;
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
function release(batch: StepBatch): void {
  for (const x of flattenTensors({ ...batch }).tensors) x.dispose();
}

/** The number of samples of a host batch. */
export function countOf(batch: HostBatch): number {
  return leaves<HostArray>({ x: batch.x, y: batch.y }, isHostArray)[0]![1].shape[0]!;
}

/** The values of a state, for evaluation while training. */
export { valuesOf };
