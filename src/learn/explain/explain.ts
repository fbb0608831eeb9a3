// explain: one sample of a model through forward, loss, backward and update, every number from the engine's own program.
import {
  ArgumentError,
  DataError,
  sizeOf,
  type HostArray,
  type Nested,
  type TypedArray,
} from "../../engine/core/index.ts";
import { jit, random, tensor, Tensor, withDevice } from "../../engine/tensor/index.ts";
import { Context, resolveLoss, type Loss, type LossLike, type NamedTensors } from "../nn/index.ts";
import type { CompileOptions } from "../train/index.ts";
import { checkGradients, choosePlaces, type CheckOptions } from "./checks.ts";
import type { ExplainedLayer, Explanation, NumberArray, Quantities, Quantity, Statistics } from "./explanation.ts";
import { formulasOf, lossFormulas } from "./formulas.ts";
import { explainNeuron } from "./neuron.ts";
import { pictureOf } from "./picture.ts";
import type { AnyModule, StepSpec } from "./record.ts";
import { compileLoss, printStep, runStep, type Step } from "./step.ts";

/** What a sample may be given as: numbers without a batch axis. */
export type SampleInput = Nested | HostArray | TypedArray | Tensor;

/** One sample: what goes in, and what should come out (a class number, or the numbers of the output). */
export interface Sample {
  /** One input, or one for each input of the model by position as `inputs`. */
  readonly input?: SampleInput;
  readonly inputs?: readonly SampleInput[];
  readonly target: SampleInput;
}

/** Options of `explain`. */
export interface ExplainOptions {
  /** A name or a loss; that of a compiled model unless said. */
  readonly loss?: LossLike;
  /** η of the update; 0.01 unless said. */
  readonly learningRate?: number;
  /** Dropout and batch statistics as in training; false unless said, so that one sample has a meaning of its own. */
  readonly training?: boolean;
  /** Chooses what dropout drops, and which gradients are checked. */
  readonly seed?: number;
  /** Height and width of an input that is a picture laid flat; a square of at least 8 × 8 is taken for one unless `false`. */
  readonly image?: readonly [number, number] | false;
  readonly classNames?: readonly string[];
  readonly checks?: CheckOptions;
}

/**
 * Takes one sample of a model through the four steps of training and returns every number on the way: for each layer
 * `z = W a + b`, `a = σ(z)`, `δ = ∂L/∂z`, the gradients, the parameters before and after `W ← W − η ∂L/∂W`; and for some
 * gradients their central differences. All of it is computed by the program the engine traces, in float64 on the
 * reference device; the model is not changed.
 *
 * Errors: `ArgumentError` for a model without values or with several outputs, `DataError` for a sample that is not finite.
 *
 * @example
 * const model = dense(2).init(0, { dtype: "float32", shape: [1, 3] });
 * const { layers } = explain(model, { input: [1, 2, 3], target: [0, 1] }, { loss: "mse" });
 * layers[0].formulas.forward[0].text; // "a⁽¹⁾ = z⁽¹⁾ = W⁽¹⁾ a⁽⁰⁾ + b⁽¹⁾"
 * layers[0].formulas.gradients[0].text; // "∂L/∂W⁽¹⁾ = δ⁽¹⁾ a⁽⁰⁾ᵀ"
 */
export function explain(model: AnyModule, sample: Sample, options: ExplainOptions = {}): Explanation {
  const { learningRate = 0.01, training = false, seed = 0 } = options;
  if (!(learningRate > 0 && Number.isFinite(learningRate)))
    throw new ArgumentError("explain", `the learning rate must be a positive number: received ${learningRate}`);
  const chosen = lossFor(model, options.loss);
  return withDevice("reference", () => {
    const inputs = inputsOf(sample).map((input) => sampleTensor(input, "input"));
    const values = bring(model.tensors());
    const context = (): Context => new Context({ training, key: random.key(seed) });
    const spec: StepSpec = { model, loss: chosen, context, single: sample.inputs === undefined };
    const target = targetTensor(sample.target, chosen, () => outputShape(spec, values, inputs));
    const batch = { inputs, target };
    const rate = tensor(learningRate);
    const step = runStep(spec, values, { ...batch, rate });
    const loss = compileLoss(spec);
    const gradients = trainedGradients(step);
    const checks = checkGradients(
      (moved) => loss(moved, batch),
      { values, gradients },
      choosePlaces(gradients, { seed, ...options.checks }),
      options.checks,
    );
    const { numbers } = step;
    const prediction = quantity(numbers.prediction);
    const outputs = sizeOf(prediction.shape);
    const around = { layers: step.layers, readers: step.readers, loss: chosen, outputs };
    const layers = step.layers.map((_, i) => describeLayer(step, i, { values, around }));
    const label = sizeOf(target.shape) === 1 && target.dtype === "int32" ? target.item() : null;
    const classifies = prediction.shape.length === 1 && outputs > 1 && label !== null;
    return {
      model: { kind: "kind" in model ? String(model.kind) : model.constructor.name, parameters: model.count() },
      device: "reference",
      training,
      learningRate,
      sample: {
        input: inputs.map(quantity),
        image: options.image === false ? null : pictureOf(inputs[0]!.shape.slice(1), options.image),
        target: numbersOf(target),
        label,
      },
      classNames: options.classNames ?? null,
      layers,
      loss: {
        name: chosen.name,
        value: numbers.loss.item(),
        data: numbers.data.item(),
        penalty: numbers.penalty?.item() ?? null,
        formulas: lossFormulas(around),
        after: loss(numbers.updated, batch).item(),
        promised: numbers.promised.item(),
      },
      prediction: { ...prediction, label: classifies ? indexOfLargest(prediction.values) : null },
      checks,
      program: printStep(spec, values, { ...batch, rate }),
      notes: notesOf(step, { training, layers }),
    };
  });
}

function describeLayer(
  step: Step,
  i: number,
  { values, around }: { values: NamedTensors; around: Parameters<typeof formulasOf>[1] },
): ExplainedLayer {
  const layer = step.layers[i]!;
  const numbers = step.numbers.layers[i]!;
  const maybe = (x: Tensor | null): Quantity | null => (x === null ? null : quantity(x));
  const named = (tensors: NamedTensors): Quantities =>
    Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, quantityOf(x)]));
  const before = Object.fromEntries(layer.parameters.map(({ name, path }) => [name, values[path]!]));
  return {
    path: layer.path,
    kind: layer.kind,
    role: layer.role,
    number: layer.number,
    from: layer.from,
    nonlinearity: layer.nonlinearity,
    operations: layer.operations,
    formulas: formulasOf(layer, around),
    input: numbers.input.map(quantity),
    z: maybe(numbers.z),
    activation: quantity(numbers.activation),
    activationGradient: maybe(numbers.activationGradient),
    slope: maybe(numbers.slope),
    delta: maybe(numbers.delta),
    inputGradient: numbers.inputGradient.map(maybe),
    gradients: named(numbers.gradients),
    before: named(before),
    after: named(numbers.after),
    frozen: layer.parameters.flatMap(({ name, trained }) => (trained ? [] : [name])),
    neuron: layer.role === "dense" ? explainNeuron(layer, numbers, before) : null,
    notes: layer.notes,
  };
}

// ── numbers ──────────────────────────────────────────────────────────────────

const summarize = jit((x: Tensor) => {
  const y = x.cast("float32");
  const mean = y.mean();
  return { min: y.min(), max: y.max(), mean, std: y.variance().sqrt(), norm: y.square().sum().sqrt() };
});

// A layer's value: without its batch axis of one.
function quantity(x: Tensor): Quantity {
  return { ...numbersOf(x), statistics: statisticsOf(x) };
}

// A parameter: all of its axes.
function quantityOf(x: Tensor): Quantity {
  return { shape: x.shape, values: x.host().toFlat(), statistics: statisticsOf(x) };
}

function numbersOf(x: Tensor): NumberArray {
  return { shape: x.shape[0] === 1 ? x.shape.slice(1) : x.shape, values: x.host().toFlat() };
}

function statisticsOf(x: Tensor): Statistics {
  if (x.size === 0) return { min: 0, max: 0, mean: 0, std: 0, norm: 0 };
  const { min, max, mean, std, norm } = summarize(x);
  return { min: min.item(), max: max.item(), mean: mean.item(), std: std.item(), norm: norm.item() };
}

function trainedGradients({ layers, numbers }: Step): NamedTensors {
  const entries = layers.flatMap(({ parameters }, i) =>
    parameters.filter(({ trained }) => trained).map(({ name, path }) => [path, numbers.layers[i]!.gradients[name]!]),
  );
  return Object.fromEntries(entries) as NamedTensors;
}

// ── the loss and the sample ───────────────────────────────────────────────────────────────

function lossFor(model: AnyModule, given: LossLike | undefined): Loss {
  if (given !== undefined) return resolveLoss(given);
  // A compiled model says so itself; any other module has no such field.
  const compiled = (model as AnyModule & { compileOptions?: CompileOptions | undefined }).compileOptions?.loss;
  if (compiled === undefined) {
    throw new ArgumentError("explain", "needs a loss", {
      hint: 'compile the model, or give one: { loss: "sparse_categorical_crossentropy" }',
    });
  }
  // One output may be named or listed, as compile() takes it: [loss], { output: loss }.
  const lone =
    typeof compiled === "string" ||
    "perSample" in compiled ||
    typeof (compiled as { name?: unknown }).name === "string";
  const each = lone ? [compiled as LossLike] : (Object.values(compiled) as LossLike[]);
  if (each.length === 1) return resolveLoss(each[0]!);
  throw new ArgumentError("explain", `the model was compiled with ${each.length} losses, one for each output`, {
    hint: "explain a model with one output",
  });
}

function inputsOf({ input, inputs }: Sample): readonly SampleInput[] {
  if ((input === undefined) === (inputs === undefined))
    throw new ArgumentError("explain", "a sample has either `input`, or `inputs` for a model with several");
  return inputs ?? [input!];
}

/** Tensors of any device, on this one. */
function bring(tensors: NamedTensors): NamedTensors {
  return Object.fromEntries(Object.entries(tensors).map(([path, x]) => [path, x.to("reference")]));
}

// Fractions stay fractions: plain numbers and float arrays are float32, whole-number arrays int32. The batch axis is added.
function sampleTensor(input: SampleInput, what: string): Tensor {
  const x = input instanceof Tensor ? input.to("reference") : tensor(input);
  const host = x.host();
  for (let i = 0; i < host.size; i++) {
    if (!Number.isFinite(host.get(i)))
      throw new DataError("explain", `the ${what} holds ${host.get(i)} at element ${i}`, {
        hint: "clean the data first: one such number makes every gradient NaN",
      });
  }
  return x.expandDims(0);
}

// Class numbers are whole; any other target has the type and the shape of the output.
function targetTensor(target: SampleInput, loss: Loss, output: () => readonly number[]): Tensor {
  const x = sampleTensor(target, "target");
  if (loss.name.startsWith("sparse")) return x.cast("int32");
  const shape = output();
  if (sizeOf(shape) !== x.size) {
    throw new ArgumentError("explain", `the target has ${x.size} numbers, the output ${sizeOf(shape)}`, {
      hint: `give numbers of shape [${shape.slice(1).join(", ")}], or use a sparse loss for a class number`,
    });
  }
  return x.cast("float32").reshape(shape);
}

function outputShape(
  { model, context, single }: StepSpec,
  values: NamedTensors,
  inputs: readonly Tensor[],
): readonly number[] {
  const { output } = model.pure(values, (single ? inputs[0]! : inputs) as never, context());
  if (!(output instanceof Tensor)) throw new ArgumentError("explain", "the model has several outputs");
  return output.shape;
}

function indexOfLargest(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}

function notesOf(
  { looped }: Step,
  { training, layers }: { training: boolean; layers: readonly ExplainedLayer[] },
): string[] {
  const notes: string[] = [];
  if (!training && layers.some(({ kind }) => /Dropout|BatchNorm/.test(kind)))
    notes.push("dropout and batch normalisation behave as in use, not as in training");
  for (const [path, turns] of looped)
    notes.push(`${path} runs inside a loop (traced ${turns} ×): its numbers appear in the layer that loops`);
  const still = layers
    .filter(({ frozen }) => frozen.length > 0)
    .map(({ path, frozen }) => `${path} (${frozen.join(", ")})`);
  if (still.length > 0) notes.push(`not trained, so without gradient and update: ${still.join("; ")}`);
  return notes;
}
