// What Sequential and Model share: compile, fit, evaluate, predict, weights. A thin surface on the one training loop.
import { ArgumentError, type HostArray, type TensorType } from "../../../engine/core/index.ts";
import { jit, tensor, type Tensor } from "../../../engine/tensor/index.ts";
import type { Dataset, JsonValue } from "../../../data/index.ts";
import { Layer } from "../../nn/index.ts";
import type { TensorMap } from "../../optim/index.ts";
import type { History, Logs } from "../callback.ts";
import { train } from "../loop.ts";
import type { HostBatch } from "../train-options.ts";
import { createState, resplit, valuesOf, type TrainState } from "../state.ts";
import { makeEvaluate, makePredict, makeStep, type EvaluateStep, type PredictStep, type TrainStep } from "../step.ts";
import { compileFor, labelsOf, type Compiled, type CompileOptions } from "./compiled.ts";
import { fitCallbacks, type EvaluateOptions, type FitOptions, type PredictOptions } from "./fit-options.ts";
import { guessArrays, type ArraysInput } from "./inputs.ts";
import {
  adaptDataset,
  datasetOf,
  inputArrays,
  isDataset,
  residentOf,
  splitEnd,
  uploader,
  type Port,
  type Ports,
} from "./prepare.ts";
import { measureOn, predictOn, prefixed } from "./evaluate.ts";
import { modelConfig, modelFiles, writeModel } from "./model-config.ts";
import { formatSummary, summarize, type ModelSummary } from "./summary.ts";

/** What a model computes from: one Tensor, or one for each input. */
export type ModelInput = Tensor | readonly Tensor[];
/** What it computes: one Tensor, or one for each output. */
export type ModelOutput = Tensor | readonly Tensor[];

/** A model with Keras's methods. It is a layer too: models nest. */
export abstract class BaseModel<I extends ModelInput = ModelInput, O extends ModelOutput = ModelOutput> extends Layer<
  I,
  O
> {
  #compiled: (Compiled & { readonly options: CompileOptions }) | undefined;
  #state: TrainState | undefined;
  #step: TrainStep | undefined;
  #evaluate: EvaluateStep | undefined;
  #predict: PredictStep | undefined;
  #busy = false;

  /** Names of the outputs. */
  protected abstract outputNames(): readonly string[];
  /** Inputs and outputs by shape; `like` are arrays of a first call, for models that do not know their input yet. */
  protected abstract ports(like?: readonly HostArray[]): {
    readonly inputs: readonly Port[];
    readonly outputs: readonly Port[];
  };

  /** Settles optimizer, loss and metrics. A second call starts the optimizer anew and keeps the weights. */
  compile(options: CompileOptions): void {
    this.#compiled = { ...compileFor(this.outputNames(), options), options };
    this.#state = undefined;
    this.#step = undefined;
    this.#evaluate = undefined;
  }

  /** The options of the last compile(). */
  get compileOptions(): CompileOptions | undefined {
    return this.#compiled?.options;
  }

  /** The state of training, once there is one: what a checkpoint holds. */
  get trainState(): TrainState | undefined {
    return this.#state;
  }

  /** The compiled training step, once there is one. */
  get trainStep(): TrainStep | undefined {
    return this.#step;
  }

  /**
   * Trains for `epochs` epochs and returns the values of each. A further call goes on from where the last one stood:
   * weights, memory of the optimizer, order of the data.
   *
   * Data: arrays (nested, typed, HostArray, Tensor), lists or objects of them for several inputs and outputs, or a
   * Dataset whose batches are `{ x, y }`. Errors: DataError before the first step for data that cannot be trained on,
   * NumericError when the loss is no longer finite.
   */
  async fit(x: ArraysInput | Dataset, y?: ArraysInput, options: FitOptions = {}): Promise<History> {
    return this.#exclusively("fit", async () => {
      const compiled = this.#needCompiled("fit");
      const { data, held, ports } = await this.#trainingData(x, y, options);
      const { batchSize = 32, epochs = 1, initialEpoch = 0, shuffle = true, validationBatchSize = batchSize } = options;
      this.#prepareState(compiled);
      const measures = compiled.measures();
      this.#step ??= makeStep(this, {
        objective: compiled.objective,
        optimizer: compiled.optimizer,
        predictions: measures.usesPredictions,
      });
      const checkpoints = await fitCallbacks(options, { state: this.#state!, config: this.#savedConfig() });
      const bind = this.#binder();
      bind(checkpoints.resume?.state ?? this.#state!);
      const { history } = await train({
        step: this.#step,
        state: this.#state!,
        dataset: data,
        upload: uploader(ports),
        resident: residentOf(data, ports),
        measures,
        epochs,
        initialEpoch,
        batchSize,
        shuffle,
        callbacks: checkpoints.callbacks,
        onState: bind,
        ...(checkpoints.resume === undefined ? {} : { resume: checkpoints.resume }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(held === undefined
          ? {}
          : {
              validate: async (state: TrainState) =>
                prefixed(
                  "val_",
                  await this.#measure(held, {
                    values: valuesOf(state),
                    ports,
                    batchSize: validationBatchSize,
                    compiled,
                  }),
                ),
            }),
      });
      return history;
    });
  }

  /** Loss and metrics on other data, in this order; by name with `returnDict`. */
  async evaluate(
    x: ArraysInput | Dataset,
    y: ArraysInput | undefined,
    options: EvaluateOptions & { readonly returnDict: true },
  ): Promise<Logs>;
  async evaluate(x: ArraysInput | Dataset, y?: ArraysInput, options?: EvaluateOptions): Promise<number[]>;
  async evaluate(
    x: ArraysInput | Dataset,
    y?: ArraysInput,
    options: EvaluateOptions & { readonly returnDict?: boolean } = {},
  ): Promise<number[] | Logs> {
    return this.#exclusively("evaluate", async () => {
      const compiled = this.#needCompiled("evaluate");
      const { data, ports } = await this.#data("evaluate", { x, y }, options);
      const logs = await this.#measure(data, {
        values: this.#values(),
        ports,
        batchSize: options.batchSize ?? 32,
        compiled,
      });
      return options.returnDict === true ? logs : Object.values(logs);
    });
  }

  /** The outputs for some inputs: a host array, or one for each output. */
  async predict(x: ArraysInput, options: PredictOptions = {}): Promise<HostArray | HostArray[]> {
    return this.#exclusively("predict", async () => {
      const inputs = this.#portsFor(x).inputs;
      const arrays = inputArrays("predict", x, inputs);
      this.#predict ??= makePredict(this);
      const joined = await predictOn(this.#predict, arrays, {
        values: this.#values(),
        ports: inputs,
        batchSize: options.batchSize ?? 32,
      });
      return joined.length === 1 ? joined[0]! : joined;
    });
  }

  /** All weights and states by path, copied to the host. */
  getWeights(): { [path: string]: HostArray } {
    return Object.fromEntries(Object.entries(this.#values()).map(([path, value]) => [path, value.host()]));
  }

  /** Sets weights by path; those not named stay. ArgumentError for names that do not exist, ShapeError for other shapes. */
  setWeights(weights: { readonly [path: string]: HostArray }): void {
    this.ports();
    const own = new Map(this.parameters().map(({ path, parameter }) => [path, parameter]));
    const unknown = Object.keys(weights).filter((path) => !own.has(path));
    if (unknown.length > 0) {
      throw new ArgumentError("setWeights", `there is no weight ${unknown.join(", ")}`, {
        hint: `there are: ${[...own.keys()].join(", ")}`,
      });
    }
    for (const [path, array] of Object.entries(weights))
      own.get(path)!.value = tensor(array, { dtype: own.get(path)!.dtype });
  }

  /** Prints the layers with shapes and parameters, the memory and the arithmetic of the model; returns the same as data. */
  summary(options: { readonly print?: (text: string) => void } = {}): ModelSummary {
    const inputs = this.#types();
    this.#predict ??= makePredict(this);
    const summary = summarize(this, {
      inputs: inputs.map(({ dtype, shape }) => ({ dtype, shape: [2, ...shape.slice(1)] })),
      single: inputs.length === 1,
      predict: this.#predict,
      optimizer: this.#compiled?.optimizer,
    });
    (options.print ?? console.log)(formatSummary(summary));
    return summary;
  }

  /**
   * Saves the model into a folder: config.json, model.safetensors, and once it was trained the state of the optimizer.
   * `compile: false` leaves out optimizer, loss and metrics. Throws ArgumentError for functions of your own.
   */
  async save(folder: string, { compile = true }: { readonly compile?: boolean } = {}): Promise<void> {
    const config = modelConfig(this, compile ? this.#compiled : undefined);
    await writeModel(folder, modelFiles(this, config, this.getWeights()));
  }

  /** Puts a state of training in place of the present one; `read` is given a state built like this model's. */
  restore(read: (like: TrainState) => TrainState): void {
    const compiled = this.#needCompiled("restore");
    this.#prepareState(compiled);
    this.#binder()(read(this.#state!));
  }

  // ── inside ─────────────────────────────────────────────────────────────────

  async #exclusively<T>(what: string, fn: () => Promise<T>): Promise<T> {
    if (this.#busy)
      throw new ArgumentError(what, "this model is at work: await the call before", { hint: "await model.fit(…)" });
    this.#busy = true;
    try {
      return await fn();
    } finally {
      this.#busy = false;
    }
  }

  // Parameters always have the values of the newest state: the ones before are used up by the step.
  #binder(): (state: TrainState) => void {
    const parameters = new Map(this.parameters().map(({ path, parameter }) => [path, parameter]));
    return (state) => {
      this.#state = state;
      for (const [path, value] of Object.entries(valuesOf(state))) parameters.get(path)!.value = value;
    };
  }

  // For run folders and checkpoints: a model with functions of its own is saved by its weights, and the reason is written down.
  #savedConfig(): JsonValue {
    try {
      return modelConfig(this, this.#compiled) as unknown as JsonValue;
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      return { unsaved: `${error.where}: ${error.problem}` };
    }
  }

  #needCompiled(what: string): Compiled {
    if (this.#compiled === undefined)
      throw new ArgumentError(what, "the model is not compiled", {
        hint: 'model.compile({ optimizer: "adam", loss: "mse" })',
      });
    return this.#compiled;
  }

  // Weights get their first values as late as possible: then the seed of compile() is known.
  #values(): TensorMap {
    this.ports();
    this.#initialize();
    return this.tensors();
  }

  #initialize(): void {
    if (this.parameters().every(({ parameter }) => parameter.ready)) return;
    this.init(this.#compiled?.seed ?? 0, ...this.#types());
  }

  #types(): TensorType[] {
    return this.ports().inputs.map(({ dtype, sampleShape }) => ({ dtype, shape: [1, ...sampleShape] }));
  }

  // Weights that somebody set since the last step replace those of the state.
  #prepareState(compiled: Compiled): void {
    const values = this.#values();
    if (this.#state === undefined) {
      this.#state = createState(this, { optimizer: compiled.optimizer, seed: compiled.seed });
      return;
    }
    const known = valuesOf(this.#state);
    const changed = Object.fromEntries(Object.entries(values).filter(([path, value]) => known[path] !== value));
    const copies = Object.keys(changed).length === 0 ? {} : jit((all: TensorMap) => all)(changed);
    const replace = (map: TensorMap): TensorMap =>
      Object.fromEntries(Object.entries(map).map(([path, value]) => [path, copies[path] ?? value]));
    const { params, frozen, states } = this.#state;
    const updated = { ...this.#state, params: replace(params), frozen: replace(frozen), states: replace(states) };
    this.#state = resplit(updated, this, compiled.optimizer);
  }

  #portsFor(x: ArraysInput): Ports {
    const inputs = this.ports(guessArrays(x)).inputs;
    return this.#withLosses({ inputs, outputs: this.ports().outputs });
  }

  #withLosses({ inputs, outputs }: { readonly inputs: readonly Port[]; readonly outputs: readonly Port[] }): Ports {
    const losses = this.#compiled?.losses;
    return { inputs, outputs: outputs.map((port, o) => ({ ...port, ...labelsOf(losses?.[o]) })) };
  }

  async #data(
    what: string,
    { x, y }: { x: ArraysInput | Dataset; y: ArraysInput | undefined },
    options: { readonly sampleWeight?: ArraysInput; readonly classWeight?: FitOptions["classWeight"] },
  ): Promise<{ data: Dataset<HostBatch>; ports: Ports }> {
    if (isDataset(x)) {
      if (y !== undefined) throw new ArgumentError(what, "a dataset brings its answers: give no `y`");
      if (options.sampleWeight !== undefined || options.classWeight !== undefined) {
        throw new ArgumentError(what, "a dataset brings its weights: batches { x, y, weights }");
      }
      const first = (await x.batch(Uint32Array.of(0))) as { readonly x: ArraysInput };
      const ports = this.#portsFor(first.x);
      return { data: await adaptDataset(what, x, ports), ports };
    }
    if (y === undefined) throw new ArgumentError(what, "needs the answers `y`");
    const ports = this.#portsFor(x);
    return { data: datasetOf(what, { x, y, ports }, options), ports };
  }

  #measure(
    data: Dataset<HostBatch>,
    options: { values: TensorMap; ports: Ports; batchSize: number; compiled: Compiled },
  ): Promise<Logs> {
    this.#evaluate ??= makeEvaluate(this, options.compiled.objective);
    return measureOn(this.#evaluate, data, { ...options, measures: options.compiled.measures() });
  }

  async #trainingData(
    x: ArraysInput | Dataset,
    y: ArraysInput | undefined,
    options: FitOptions,
  ): Promise<{ data: Dataset<HostBatch>; held: Dataset<HostBatch> | undefined; ports: Ports }> {
    const { data, ports } = await this.#data("fit", { x, y }, options);
    const { validationData, validationSplit = 0 } = options;
    if (validationData !== undefined) {
      const [vx, vy, weights] = isDataset(validationData) ? [validationData, undefined, undefined] : validationData;
      const held = await this.#data(
        "validationData",
        { x: vx, y: vy },
        weights === undefined ? {} : { sampleWeight: weights },
      );
      return { data, held: held.data, ports };
    }
    if (validationSplit === 0) return { data, held: undefined, ports };
    if (!("arrays" in data))
      throw new ArgumentError("fit", "`validationSplit` needs arrays; for a dataset give `validationData`");
    const [rest, held] = splitEnd("fit", data as ReturnType<typeof datasetOf>, validationSplit);
    return { data: rest, held, ports };
  }
}
