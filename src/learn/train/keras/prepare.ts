// From what a user hands in to a dataset of host batches in the model's shapes, checked, with weights of samples and classes.
import {
  ArgumentError,
  DataError,
  HostArray,
  isPlainObject,
  type DType,
  type Shape,
} from "../../../engine/core/index.ts";
import { arrayDataset, isHostArray, subset, type ArrayDataset, type Dataset } from "../../../data/index.ts";
import { borrow, tensor, type Tensor } from "../../../engine/tensor/index.ts";
import type { HostBatch, Resident } from "../train-options.ts";
import type { StepBatch } from "../objective.ts";
import { alignAnswers, checkCounts, checkFinite, checkLabels, checkSamples, checkWeights } from "./checks.ts";
import { arraysFor, toArray, type ArrayInput, type ArraysInput } from "./inputs.ts";

/** One input or output of a model. */
export interface Port {
  readonly name: string;
  readonly sampleShape: Shape;
  readonly dtype: DType;
}

/** One output with what its loss takes as answers. */
export interface OutputPort extends Port {
  /** Whether answers are class numbers. */
  readonly sparse: boolean;
  /** A class number that does not count. */
  readonly ignoredLabel?: number | undefined;
}

/** The shapes a model takes and gives. */
export interface Ports {
  readonly inputs: readonly Port[];
  readonly outputs: readonly OutputPort[];
}

export interface WeightOptions {
  /** One weight a sample, or one such array for each output. */
  readonly sampleWeight?: ArraysInput | undefined;
  /** Factor of each class number; classes not listed weigh 1. One output with class answers only. */
  readonly classWeight?: { readonly [label: number]: number } | undefined;
}

/** Whether something is a dataset rather than arrays. */
export function isDataset(x: unknown): x is Dataset {
  return typeof x === "object" && x !== null && "batch" in x && typeof x.batch === "function" && "length" in x;
}

/** Arrays as a checked dataset. `what` names the call in messages. */
export function datasetOf(
  what: string,
  { x, y, ports }: { readonly x: ArraysInput; readonly y: ArraysInput; readonly ports: Ports },
  options: WeightOptions = {},
): ArrayDataset<HostBatch> {
  const inputs = inputArrays(what, x, ports.inputs);
  const given = arraysFor(what, y, slotsOf(ports.outputs.map(answerPort), "y"));
  const count = checkCounts(what, [
    ...inputs.map((array, i) => [nameOf(ports.inputs, i, "x"), array] as const),
    ...given.map((array, i) => [nameOf(ports.outputs, i, "y"), array] as const),
  ]);
  const answers = given.map((array, o) => {
    const { sampleShape: output, sparse, ignoredLabel } = ports.outputs[o]!;
    const name = nameOf(ports.outputs, o, "y");
    const aligned = alignAnswers(what, name, { answers: array, output, sparse });
    checkFinite(what, name, aligned);
    if (sparse) checkLabels(what, name, { labels: aligned, classes: output.at(-1)!, ignored: ignoredLabel });
    return sparse && aligned.dtype !== "int32" ? aligned.cast("int32") : aligned;
  });
  const weights = weightsOf(what, { answers, count, ports }, options);
  const single = ports.inputs.length === 1;
  return arrayDataset<HostBatch>({
    x: single ? inputs[0]! : inputs,
    y: answers,
    ...(weights === undefined ? {} : { weights }),
  });
}

/** Inputs alone, checked. */
export function inputArrays(what: string, x: ArraysInput, ports: readonly Port[]): HostArray[] {
  const arrays = arraysFor(what, x, slotsOf(ports, "x"));
  checkCounts(
    what,
    arrays.map((array, i) => [nameOf(ports, i, "x"), array] as const),
  );
  arrays.forEach((array, i) => {
    checkSamples(what, nameOf(ports, i, "x"), { array, expected: ports[i]!.sampleShape });
    checkFinite(what, nameOf(ports, i, "x"), array);
  });
  return arrays;
}

/**
 * A user's dataset as one of host batches: its batches are `{ x, y }` or `{ x, y, weights }`, y an array or a list.
 * The first batch is checked before training; every batch is brought into shape as it comes.
 */
export async function adaptDataset(what: string, dataset: Dataset, ports: Ports): Promise<Dataset<HostBatch>> {
  if (dataset.length === 0) throw new DataError(what, "the dataset is empty: there is no sample");
  const adapt = (batch: unknown): HostBatch => {
    if (!isPlainObject(batch) || !("x" in batch) || !("y" in batch)) {
      throw new DataError(what, "a batch of the dataset must be { x, y }", {
        hint: "arrayDataset({ x: images, y: labels }) makes such a dataset",
      });
    }
    const { x, y, weights } = batch as { x: ArraysInput; y: ArraysInput; weights?: ArraysInput };
    const options = weights === undefined ? {} : { sampleWeight: weights };
    return datasetOf(what, { x: unwrap(x), y: unwrap(y), ports }, options).arrays;
  };
  const adapted: Dataset<HostBatch> = {
    length: dataset.length,
    batch: (indices) => {
      const batch = dataset.batch(indices);
      return batch instanceof Promise ? batch.then(adapt) : adapt(batch);
    },
  };
  await adapted.batch(Uint32Array.of(0));
  return adapted;
}

// A list of one array means that array.
function unwrap(given: ArraysInput): ArraysInput {
  return Array.isArray(given) && given.length === 1 && isHostArray(given[0]) ? given[0] : given;
}

/** The last part of a dataset as validation set, as Keras cuts it: before any shuffling. */
export function splitEnd(
  what: string,
  dataset: ArrayDataset<HostBatch>,
  fraction: number,
): [Dataset<HostBatch>, Dataset<HostBatch>] {
  const n = dataset.length;
  const at = Math.floor(n * (1 - fraction));
  if (!(fraction > 0 && fraction < 1) || at === 0 || at === n) {
    throw new ArgumentError(
      what,
      `\`validationSplit\` must leave samples on both sides: received ${fraction} of ${n} samples`,
    );
  }
  const range = (from: number, to: number): Uint32Array => Uint32Array.from({ length: to - from }, (_, i) => from + i);
  return [subset(dataset, range(0, at)), subset(dataset, range(at, n))];
}

/** Copies host batches to the device in the model's dtypes. */
export function uploader(ports: Ports): (batch: HostBatch) => StepBatch {
  const put = (array: HostArray, dtype: DType): Tensor => tensor(array, { dtype });
  return ({ x, y, weights }) => ({
    x: isHostArray(x)
      ? put(x, ports.inputs[0]!.dtype)
      : (x as readonly HostArray[]).map((array, i) => put(array, ports.inputs[i]!.dtype)),
    y: y.map((array, o) => put(array, ports.outputs[o]!.sparse ? "int32" : "float32")),
    ...(weights === undefined ? {} : { weights: weights.map((array) => put(array, "float32")) }),
  });
}

/** All samples where the device reads them as they are; undefined where a dtype must be converted, or they are not arrays. */
export function residentOf(dataset: Dataset<HostBatch>, ports: Ports): Resident | undefined {
  if (!("arrays" in dataset)) return undefined;
  const host = (dataset as ArrayDataset<HostBatch>).arrays;
  let whole = true;
  const take = (array: HostArray, dtype: DType): Tensor | undefined => {
    const found = borrow(array, dtype);
    whole &&= found !== undefined;
    return found;
  };
  const x = isHostArray(host.x)
    ? take(host.x, ports.inputs[0]!.dtype)
    : (host.x as readonly HostArray[]).map((array, i) => take(array, ports.inputs[i]!.dtype));
  const y = host.y.map((array, o) => take(array, ports.outputs[o]!.sparse ? "int32" : "float32"));
  const weights = host.weights?.map((array) => take(array, "float32"));
  return whole ? { data: { x, y, ...(weights === undefined ? {} : { weights }) } as StepBatch, host } : undefined;
}

function weightsOf(
  what: string,
  { answers, count, ports }: { answers: readonly HostArray[]; count: number; ports: Ports },
  { sampleWeight, classWeight }: WeightOptions,
): HostArray[] | undefined {
  if (sampleWeight === undefined && classWeight === undefined) return undefined;
  const given = sampleWeight === undefined ? undefined : weightArrays(what, sampleWeight, ports);
  given?.forEach((array) => checkWeights(what, array, count));
  if (classWeight === undefined) return given;
  if (answers.length !== 1)
    throw new ArgumentError(what, "`classWeight` is for models with one output", { hint: "use sampleWeight" });
  const factors = classFactors(what, answers[0]!, { classWeight, port: ports.outputs[0]! });
  if (given !== undefined) for (let i = 0; i < count; i++) factors.data[i]! *= given[0]!.get(i);
  return [factors];
}

// One array of weights counts for all outputs.
function weightArrays(what: string, given: ArraysInput, { outputs }: Ports): HostArray[] {
  const flat =
    ArrayBuffer.isView(given) || given instanceof HostArray || (Array.isArray(given) && typeof given[0] === "number");
  if (flat) {
    const array = toArray(what, given as ArrayInput, { name: "sampleWeight", sampleShape: [] });
    return outputs.map(() => array);
  }
  return arraysFor(what, given, slotsOf(outputs, "sampleWeight"));
}

function classFactors(
  what: string,
  answers: HostArray,
  { classWeight, port }: { classWeight: { readonly [label: number]: number }; port: OutputPort },
): HostArray<"float32"> {
  const n = answers.shape[0]!;
  const width = answers.size / n;
  const classes = port.sampleShape.at(-1) ?? 1;
  const factors = new Map(Object.entries(classWeight).map(([label, factor]) => [Number(label), factor]));
  for (const [label, factor] of factors) {
    if (!Number.isInteger(label) || label < 0 || !(factor >= 0) || factor === Infinity) {
      throw new ArgumentError(what, `\`classWeight\` maps class numbers to numbers ≥ 0: received ${label}: ${factor}`);
    }
  }
  if (port.sparse && width !== 1) throw new ArgumentError(what, "`classWeight` needs one class a sample");
  const labelOf = (i: number): number => {
    if (port.sparse || width === 1) return answers.get(i);
    let best = 0;
    for (let c = 1; c < width; c++) if (answers.get(i * width + c) > answers.get(i * width + best)) best = c;
    return best;
  };
  if (!port.sparse && width !== 1 && width !== classes)
    throw new ArgumentError(what, "`classWeight` needs one class a sample");
  return new HostArray(
    "float32",
    [n],
    Float32Array.from({ length: n }, (_, i) => factors.get(labelOf(i)) ?? 1),
  );
}

// The shape of one answer: class numbers have no axis of classes.
function answerPort(port: OutputPort): Port {
  return port.sparse ? { ...port, sampleShape: port.sampleShape.slice(0, -1) } : port;
}

function slotsOf(ports: readonly Port[], fallback: string): { name: string; sampleShape: Shape }[] {
  return ports.map(({ name, sampleShape }) => ({ name: ports.length === 1 ? fallback : name, sampleShape }));
}

function nameOf(ports: readonly Port[], i: number, fallback: string): string {
  return ports.length === 1 ? fallback : `${fallback}.${ports[i]!.name}`;
}
