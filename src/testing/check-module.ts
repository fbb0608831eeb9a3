// The generated test of a module: shapes, seeds, modes, gradients, compilation, and for layers the way through a file.
import {
  ArgumentError,
  formatType,
  keyOf,
  foldIn,
  sameShape,
  type HostArray,
  type Shape,
} from "../engine/core/index.ts";
import type { SampleInput } from "../engine/program/index.ts";
import { withDevice, type Device } from "../engine/runtime/index.ts";
import { concat, jit, random, tensor, vjp, type Tensor } from "../engine/tensor/index.ts";
import {
  Context,
  inference,
  Layer,
  layerFromJson,
  layerToJson,
  type Module,
  type NamedTensors,
} from "../learn/nn/index.ts";
import { assertClose, CheckError, type Tolerance } from "./all-close.ts";
import { gradCheck } from "./grad-check.ts";
import { drawSample } from "./sample.ts";

// What a module takes is its own matter; here it is handed what the sample says.
type AnyModule = Module<never, unknown>;
type Callable = Module<unknown, unknown>;

export interface ModuleCheckOptions {
  /** The shape of the output, or of each output. */
  readonly shape?: Shape | readonly Shape[];
  /** Hand one input in as an array of one. */
  readonly list?: boolean;
  /** Weights whose gradient is 0 by nature (the bias of the keys in attention, a bias before a normalisation). */
  readonly zeroGradient?: readonly string[];
  /** False for modules whose result for one sample depends on the others of the batch, even outside training. */
  readonly perSample?: boolean;
  /** Compare output and gradients on this device with the reference. */
  readonly device?: Device;
  readonly seed?: number;
}

interface Checked {
  readonly what: string;
  readonly make: () => AnyModule;
  readonly module: Callable;
  readonly inputs: readonly HostArray[];
  readonly samples: readonly SampleInput[];
  readonly options: ModuleCheckOptions;
}

/**
 * Throws CheckError unless a module keeps what a module promises, on inputs drawn from `samples` (their first axis is the batch):
 * the stated shape; the same weights from the same seed; nothing random and no changed state outside training; one sample's
 * result independent of the others; compiled = eager; every weight gets a gradient, equal to central differences in float64,
 * in training and outside; and, for a Layer, the same output from its JSON and its tensors.
 *
 * @example
 * checkModule(() => dense(3, { activation: "tanh" }), [{ dtype: "float32", shape: [2, 4] }], { shape: [2, 3] });
 */
export function checkModule(
  make: () => AnyModule,
  samples: readonly SampleInput[],
  options: ModuleCheckOptions = {},
): void {
  const seed = options.seed ?? 0;
  const inputs = samples.map((sample, i) => drawSample(sample, foldIn(keyOf(seed), i)));
  const run = (): Checked => {
    const module = make() as unknown as Callable;
    const what = module instanceof Layer ? module.kind : module.constructor.name;
    declare(module, samples, options);
    module.init(seed);
    return { what, make, module, inputs, samples, options };
  };
  withDevice("reference", () => {
    const checked = run();
    checkShapes(checked);
    checkSeeds(checked, seed);
    checkInference(checked);
    checkGradients(checked);
    checkFile(checked);
  });
  if (options.device !== undefined) checkDevice(run, options.device);
}

function declare(module: Callable, samples: readonly SampleInput[], { list }: ModuleCheckOptions): void {
  module.trace(samples, undefined, list === true ? { single: false } : {});
}

function tensorsOf({ inputs, samples }: Checked): Tensor[] {
  return inputs.map((input, i) => tensor(input, { dtype: samples[i]!.dtype }));
}

/** The outputs of a pure call, and the states after it. */
function call(
  { module, options, what }: Checked,
  { values, xs, context }: { values: NamedTensors; xs: readonly Tensor[]; context: Context },
): { outputs: readonly Tensor[]; states: NamedTensors } {
  const { output, states } = module.pure(values, xs.length === 1 && options.list !== true ? xs[0] : xs, context);
  const outputs = (Array.isArray(output) ? output : [output]) as readonly Tensor[];
  if (outputs.length === 0) throw new CheckError(what, "returns nothing");
  return { outputs, states };
}

const training = (seed: number): Context => new Context({ training: true, key: random.key(seed) });

function compare(
  what: string,
  actual: readonly Tensor[],
  expected: readonly Tensor[],
  tolerance: Tolerance = {},
): void {
  if (actual.length !== expected.length) throw new CheckError(what, "the number of outputs changed");
  actual.forEach((one, i) =>
    assertClose(one.host(), expected[i]!.host(), { what: `${what}, output ${i}`, ...tolerance }),
  );
}

function compareNamed(what: string, actual: NamedTensors, expected: NamedTensors): void {
  const [a, b] = [Object.keys(actual).sort(), Object.keys(expected).sort()];
  if (a.join() !== b.join()) throw new CheckError(what, `expected ${b.join(", ")}: received ${a.join(", ")}`);
  for (const path of a)
    assertClose(actual[path]!.host(), expected[path]!.host(), { what: `${what}, ${path}`, rtol: 0, atol: 0 });
}

function checkShapes(checked: Checked): void {
  const { what, module, options } = checked;
  const { outputs } = call(checked, { values: module.tensors(), xs: tensorsOf(checked), context: inference });
  if (options.shape === undefined) return;
  const first = options.shape[0];
  const shapes = (Array.isArray(first) ? options.shape : [options.shape]) as readonly Shape[];
  const fits = shapes.length === outputs.length && shapes.every((shape, i) => sameShape(shape, outputs[i]!.shape));
  if (fits) return;
  const expected = shapes.map((shape) => `[${shape.join(",")}]`).join(" and ");
  throw new CheckError(what, `expected ${expected}: received ${outputs.map(formatType).join(" and ")}`);
}

// The same seed gives the same weights; another seed others, where there is anything random.
function checkSeeds(checked: Checked, seed: number): void {
  const { what, module, make, samples, options } = checked;
  const other = (from: number): NamedTensors => {
    const fresh = make() as unknown as Callable;
    declare(fresh, samples, options);
    return fresh.init(from).tensors();
  };
  compareNamed(`${what}, the same seed again`, other(seed), module.tensors());
  const varied = (x: Tensor): boolean => new Set(x.host().toFlat()).size > 3;
  const mine = module.tensors();
  if (!Object.values(mine).some(varied)) return;
  const theirs = other(seed + 1);
  const text = (tensors: NamedTensors): string =>
    Object.values(tensors)
      .map((x) => x.host().toFlat().join())
      .join();
  if (text(mine) === text(theirs)) throw new CheckError(what, "another seed gives the same weights");
}

// Outside training: no key, no new states, the same numbers each time, one sample at a time as well as together; compiled or not.
function checkInference(checked: Checked): void {
  const { what, module, options } = checked;
  const values = module.tensors();
  const xs = tensorsOf(checked);
  const { outputs, states } = call(checked, { values, xs, context: inference });
  compare(`${what}, called again`, call(checked, { values, xs, context: inference }).outputs, outputs, {
    rtol: 0,
    atol: 0,
  });
  const before = Object.fromEntries(Object.keys(states).map((path) => [path, values[path]!]));
  compareNamed(`${what}, states outside training`, states, before);
  const compiled = jit(
    (v: NamedTensors, x: readonly Tensor[]) => call(checked, { values: v, xs: x, context: inference }).outputs,
  );
  compare(`${what}, compiled`, compiled(values, xs), outputs, { rtol: 1e-9, atol: 1e-12 });
  if (options.perSample === false) return;
  const batch = xs[0]!.shape[0]!;
  for (let i = 0; i < batch; i++) {
    const rows = (list: readonly Tensor[]): Tensor[] => list.map((x) => x.slice(i, i + 1));
    const { outputs: alone } = call(checked, { values, xs: rows(xs), context: inference });
    compare(`${what}, sample ${i} alone`, alone, rows(outputs), { rtol: 1e-9, atol: 1e-12 });
  }
}

function checkGradients(checked: Checked): void {
  const { what, module, options } = checked;
  const trained = module.parameters().filter((one) => one.trainable);
  const paths = trained.map(({ path }) => path);
  const xs = tensorsOf(checked);
  const floats = xs.flatMap((x, i) => (x.dtype === "float32" ? [i] : []));
  const values = module.tensors();
  for (const context of [training(7), inference]) {
    const mode = context.training ? "in training" : "outside training";
    // A context counts the keys it gave; each run gets a fresh one.
    const fresh = (): Context => (context.training ? training(7) : inference);
    const fn = (...points: Tensor[]): Tensor => {
      const weights = Object.fromEntries(paths.map((path, i) => [path, points[i]!]));
      const given = xs.map((x, i) => (floats.includes(i) ? points[paths.length + floats.indexOf(i)]! : x));
      const { outputs } = call(checked, { values: { ...values, ...weights }, xs: given, context: fresh() });
      return concat(outputs.filter((y) => y.dtype === "float32").map((y) => y.reshape([-1])));
    };
    const points = [...paths.map((path) => values[path]!), ...floats.map((i) => xs[i]!)];
    if (points.length === 0) continue;
    const found = missingGradient(fn, points.slice(0, paths.length), points.slice(paths.length));
    const missing = found.map((i) => paths[i]!).filter((path) => options.zeroGradient?.includes(path) !== true);
    if (missing.length > 0) throw new CheckError(what, `${mode}, no gradient reaches ${missing.join(", ")}`);
    try {
      gradCheck(
        fn,
        points.map((point) => point.host()),
      );
    } catch (error) {
      if (!(error instanceof CheckError)) throw error;
      throw new CheckError(
        what,
        `${mode} (inputs: ${[...paths, ...floats.map((i) => `x${i}`)].join(", ")}), ${error.problem}`,
      );
    }
  }
}

// Numbers of the weights whose gradient is 0 everywhere; a NaN is an error.
function missingGradient(
  fn: (...points: Tensor[]) => Tensor,
  weights: readonly Tensor[],
  rest: readonly Tensor[],
): number[] {
  const result = fn(...weights, ...rest);
  const ct = random.normal(random.key(3), result.shape);
  const [, gradients] = vjp(fn)([...weights, ...rest], ct);
  return weights.flatMap((_, i) => {
    const gradient = gradients[i]!.host().toFlat();
    if (gradient.some((g) => !Number.isFinite(g)))
      throw new CheckError("checkModule", `the gradient by weight ${i} is not finite`);
    return gradient.some((g) => g !== 0) ? [] : [i];
  });
}

// A layer goes through JSON and back; with the same tensors it computes the same.
function checkFile(checked: Checked): void {
  const { module, what, samples, options } = checked;
  if (!(module instanceof Layer)) return;
  const text = JSON.stringify(layerToJson(module));
  const loaded = layerFromJson(JSON.parse(text)) as unknown as Callable & Layer;
  const again = JSON.stringify(layerToJson(loaded));
  if (again !== text) throw new CheckError(what, `its JSON changes on the way: ${text} became ${again}`);
  declare(loaded, samples, options);
  const values = module.tensors();
  loaded.load(values);
  const xs = tensorsOf(checked);
  for (const context of [(): Context => training(5), (): Context => inference]) {
    const mine = call(checked, { values, xs, context: context() });
    const theirs = call({ ...checked, module: loaded }, { values: loaded.tensors(), xs, context: context() });
    compare(`${what}, loaded`, theirs.outputs, mine.outputs, { rtol: 0, atol: 0 });
    compareNamed(`${what}, states of the loaded layer`, theirs.states, mine.states);
  }
}

// float32 against float64: the same weights and inputs, output and gradients.
function checkDevice(run: () => Checked, device: Device): void {
  const reference = withDevice("reference", run);
  const values = withDevice("reference", () =>
    Object.entries(reference.module.tensors()).map(([path, x]) => [path, x.host(), x.dtype] as const),
  );
  const measure = (): HostArray[] => {
    const weights = Object.fromEntries(values.map(([path, array, dtype]) => [path, tensor(array, { dtype })]));
    const xs = tensorsOf(reference);
    const floats = xs.filter((x) => x.dtype === "float32");
    const fn = (w: NamedTensors, x: readonly Tensor[]): readonly Tensor[] => {
      const given = xs.map((one) => (one.dtype === "float32" ? x[floats.indexOf(one)]! : one));
      return call(reference, { values: w, xs: given, context: training(7) }).outputs;
    };
    const cts = fn(weights, floats).map((y, i) => random.uniform(random.key(i), y.shape, { low: -1, high: 1 }));
    const [outputs, [byWeight, byInput]] = vjp(fn)([weights, floats], cts);
    return [...outputs, ...Object.values(byWeight), ...byInput].map((x) => x.host());
  };
  if (values.length === 0 && reference.samples.every(({ dtype }) => dtype !== "float32"))
    throw new ArgumentError("checkModule", "nothing to differentiate");
  const expected = withDevice("reference", measure);
  withDevice(device, measure).forEach((actual, i) =>
    assertClose(actual, expected[i]!, {
      what: `${reference.what} on ${device.name}, result ${i}`,
      rtol: 2e-5,
      atol: 2e-5,
    }),
  );
}
