// The step as one compiled program: forward, loss, backward, update, with everything in between among its outputs.
import { Program, type Value } from "../../engine/program/index.ts";
import { jit, ones, Tensor, traceProgram, valueAndGrad, zeros } from "../../engine/tensor/index.ts";
import { differentiate } from "../../engine/transform/index.ts";
import type { NamedTensors } from "../nn/index.ts";
import { analyse, readersOf, type Layer, type Readers } from "./analyse.ts";
import { withProbes } from "./probe.ts";
import { lossOf, record, type Recorded, type StepSpec } from "./record.ts";
import { isElementwise, programOf, sliceOf } from "./slice.ts";

/** The numbers of a layer. */
export interface LayerNumbers {
  readonly input: readonly Tensor[];
  readonly z: Tensor | null;
  readonly activation: Tensor;
  readonly activationGradient: Tensor | null;
  readonly slope: Tensor | null;
  readonly delta: Tensor | null;
  readonly inputGradient: readonly (Tensor | null)[];
  readonly gradients: NamedTensors;
  readonly after: NamedTensors;
}

/** The numbers of a step. */
export interface StepNumbers {
  readonly loss: Tensor;
  readonly data: Tensor;
  readonly penalty: Tensor | null;
  readonly prediction: Tensor;
  /** −η Σ g². */
  readonly promised: Tensor;
  /** Updated parameters by path; those that are not trained as they are. */
  readonly updated: NamedTensors;
  readonly layers: readonly LayerNumbers[];
}

/** One sample, with a batch axis of 1, and the learning rate. */
export interface Batch {
  readonly inputs: readonly Tensor[];
  readonly target: Tensor;
}

/** A step with what its layers are. */
export interface Step {
  readonly numbers: StepNumbers;
  readonly layers: readonly Layer[];
  readonly readers: ReadonlyMap<Value, Readers>;
  readonly looped: ReadonlyMap<string, number>;
}

/** Runs the step on the default device. */
export function runStep(spec: StepSpec, values: NamedTensors, { rate, ...batch }: Batch & { rate: Tensor }): Step {
  let found: Omit<Step, "numbers"> | undefined;
  const step = jit((params: NamedTensors, sample: Batch, eta: Tensor): StepNumbers => {
    const recorded = record(spec, params, sample);
    const layers = analyse(recorded, spec.model);
    found = { layers, readers: readersOf(recorded, layers), looped: recorded.looped };
    return numbersOf({ spec, recorded, layers, params, eta });
  });
  const numbers = step(values, batch, rate);
  return { numbers, ...found! };
}

interface Parts {
  readonly spec: StepSpec;
  readonly recorded: Recorded;
  readonly layers: readonly Layer[];
  readonly params: NamedTensors;
  readonly eta: Tensor;
}

// Inside the trace of the step: the recorded program is differentiated and written into it.
function numbersOf({ spec, recorded, layers, params, eta }: Parts): StepNumbers {
  const { program, paths, args } = recorded;
  const place = new Map(paths.map((path, i) => [path, program.inputs[i]!]));
  const trained = spec.model
    .parameters()
    .filter(({ path, trainable }) => trainable && place.get(path)!.dtype === "float32");
  const flows = layers.flatMap(({ inputs, z, output }) => [...inputs, ...(z === undefined ? [] : [z]), output]);
  const shown = [...new Set([...flows, ...trained.map(({ path }) => place.get(path)!)])];
  const probed = shown.filter(({ dtype }) => dtype === "float32");
  const whole = new Program(program.inputs, program.equations, [
    recorded.loss,
    recorded.data,
    recorded.penalty ?? recorded.loss,
    recorded.prediction,
    ...shown,
  ]);
  const withInputs = withProbes(whole, probed);
  const { outputs, pullback } = differentiate(
    withInputs,
    [...args, ...probed.map((value) => zeros(value.shape).content as Value)],
    probed.map((_, i) => program.inputs.length + i),
  );
  const [loss, data, penalty, prediction] = outputs.slice(0, 4).map((value) => new Tensor(value));
  const value = new Map(shown.map((one, i) => [one, new Tensor(outputs[4 + i]!)]));
  const cts = pullback(outputs.map((output, i) => (i === 0 ? (ones(output.shape).content as Value) : undefined)));
  const gradient = new Map(probed.map((one, i) => [one, cts[i] === undefined ? null : new Tensor(cts[i])]));
  // A weight without influence has a gradient of zeros, as in training.
  const slopes = new Map(
    trained.map(({ path }) => [path, gradient.get(place.get(path)!) ?? zeros(place.get(path)!.shape)] as const),
  );
  const updated = Object.fromEntries(
    paths.map((path) => {
      const slope = slopes.get(path);
      return [path, slope === undefined ? params[path]! : params[path]!.sub(eta.mul(slope))];
    }),
  );
  const squares = [...slopes.values()].map((slope) => slope.square().sum());
  const promised = squares
    .reduce((total, one) => total.add(one), zeros([]))
    .mul(eta)
    .neg();

  const numbers = layers.map((layer): LayerNumbers => {
    const own = layer.parameters.filter((one) => one.trained);
    const pick = (from: (path: string) => Tensor): NamedTensors =>
      Object.fromEntries(own.map(({ name, path }) => [name, from(path)]));
    return {
      input: layer.inputs.map((one) => value.get(one)!),
      z: layer.z === undefined ? null : value.get(layer.z)!,
      activation: value.get(layer.output)!,
      activationGradient: gradient.get(layer.output) ?? null,
      slope: slopeOf(recorded, layer, value),
      delta: gradient.get(layer.z ?? layer.output) ?? null,
      inputGradient: layer.inputs.map((one) => gradient.get(one) ?? null),
      gradients: pick((path) => slopes.get(path)!),
      after: pick((path) => updated[path]!),
    };
  });
  return {
    loss: loss!,
    data: data!,
    penalty: recorded.penalty === undefined ? null : penalty!,
    prediction: prediction!,
    promised,
    updated,
    layers: numbers,
  };
}

// σ′(z): the gradient of σ alone, asked of the engine with ones as the cotangent.
function slopeOf({ program, args }: Recorded, layer: Layer, value: ReadonlyMap<Value, Tensor>): Tensor | null {
  const from = layer.z ?? layer.inputs[0];
  if (!layer.elementwise || from === undefined || from === layer.output) return null;
  const slice = sliceOf(program, [from], layer.output);
  if (!isElementwise(slice.equations, from)) return null;
  const free = slice.free.map((input) => args[program.inputs.indexOf(input)]!);
  const { outputs, pullback } = differentiate(
    programOf(slice, [from], layer.output),
    [value.get(from)!.content as Value, ...free],
    [0],
  );
  const [ct] = pullback([ones(outputs[0]!.shape).content as Value]);
  return ct === undefined ? null : new Tensor(ct);
}

/** The loss of a sample as a compiled function of the parameters. */
export function compileLoss(spec: StepSpec): (values: NamedTensors, batch: Batch) => Tensor {
  return jit((values: NamedTensors, batch: Batch) => lossOf(spec, values, batch).total);
}

/** The text of the plain step: loss, gradients of the trained parameters, updates. */
export function printStep(spec: StepSpec, values: NamedTensors, { rate, ...batch }: Batch & { rate: Tensor }): string {
  const trained = new Set(spec.model.parameters().flatMap(({ path, trainable }) => (trainable ? [path] : [])));
  const split = (keep: boolean): NamedTensors =>
    Object.fromEntries(Object.entries(values).filter(([path]) => trained.has(path) === keep));
  const step = (params: NamedTensors, rest: NamedTensors, sample: Batch, eta: Tensor): unknown => {
    const [loss, slopes] = valueAndGrad((p: NamedTensors) => lossOf(spec, { ...rest, ...p }, sample).total)(params);
    return [loss, Object.entries(params).map(([path, w]) => w.sub(eta.mul(slopes[path]!)))];
  };
  return traceProgram(step, split(true), split(false), batch, rate).toString();
}
