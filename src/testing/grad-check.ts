// Gradient checks of functions of Tensors and of programs, on the float64 reference device.
import { foldIn, HostArray, keyOf, sizeOf } from "../engine/core/index.ts";
import type { Program } from "../engine/program/index.ts";
import { device, withDevice } from "../engine/runtime/index.ts";
import { jit, tensor, vjp, type Tensor } from "../engine/tensor/index.ts";
import { vjp as vjpProgram } from "../engine/transform/index.ts";
import { checkCentralDifferences, type GradientOptions } from "./central-differences.ts";
import { runner } from "./runner.ts";
import { drawWeights } from "./sample.ts";

/**
 * Throws CheckError unless the gradient of `fn` agrees with central differences.
 * The result of `fn` is weighted by random numbers and summed: `f(x) = Σ w · fn(x)`. Everything runs in float64 on the
 * reference device, so make the Tensors `fn` uses inside it or pass them in.
 *
 * @example
 * gradCheck((x: Tensor) => x.square().sum(), [[1, 2, 3]]);
 */
export function gradCheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Parameters<typeof tensor>[0][],
  options: GradientOptions = {},
): void {
  withDevice("reference", () => {
    const points = inputs.map((input) => tensor(input, { dtype: "float32" }).host().cast("float64"));
    const forward = jit(fn);
    const run = (at: readonly HostArray[]): HostArray => forward(...at.map((point) => tensor(point))).host();
    const result = run(points);
    const weights = drawWeights(result.size, keyOf(options.seed ?? 0));
    const [, gradients] = vjp(fn)(
      points.map((point) => tensor(point)),
      tensor(new HostArray("float64", result.shape, weights)),
    );
    checkCentralDifferences(
      {
        what: "gradCheck",
        value: (at) => weighted([run(at)], [weights]),
        inputs: points,
        gradients: new Map(gradients.map((gradient, i) => [i, gradient.host().toFlat()])),
      },
      options,
    );
  });
}

/** What a program is checked with, besides the options of the differences. */
export interface ProgramGradientOptions extends GradientOptions {
  /** For messages. */
  readonly what?: string;
  /** Inputs whose gradient is checked; all float32 ones unless said. */
  readonly wrt?: readonly number[];
}

/** Throws CheckError unless the vjp transform of `program` agrees with central differences at `inputs`. */
export function gradCheckProgram(
  program: Program,
  inputs: readonly HostArray<"float64">[],
  options: ProgramGradientOptions = {},
): void {
  const { what = "program", seed = 0 } = options;
  const wrt = options.wrt ?? program.inputs.flatMap((input, i) => (input.dtype === "float32" ? [i] : []));
  const weights = cotangents(program, seed);
  const reference = device("reference");
  const forward = runner(program, reference);
  const backward = runner(vjpProgram(program, wrt), reference);
  const floats = weights.map(({ output }) => output);
  const results = backward([...inputs, ...weights.map(({ array }) => array)]);
  const gradients = new Map(wrt.map((i, k) => [i, results[program.outputs.length + k]!.toFlat()]));
  const value = (at: readonly HostArray[]): number => {
    const outputs = forward(at);
    return weighted(
      floats.map((i) => outputs[i]!),
      weights.map(({ array }) => array.data),
    );
  };
  checkCentralDifferences({ what, value, inputs, gradients }, options);
}

/** Random weights, exact in float32, for the float32 outputs of a program: the cotangents of `Σ w · y`. */
export function cotangents(program: Program, seed: number): { output: number; array: HostArray<"float64"> }[] {
  return program.outputs.flatMap(({ dtype, shape }, output) => {
    if (dtype !== "float32") return [];
    const data = drawWeights(sizeOf(shape), foldIn(keyOf(seed), output)).map(Math.fround);
    return [{ output, array: new HostArray("float64", shape, data) }];
  });
}

// Infinite outputs count as constants; a NaN is a failure of its own, since no difference of it agrees with anything.
function weighted(outputs: readonly HostArray[], weights: readonly Float64Array[]): number {
  let total = 0;
  outputs.forEach((output, o) => {
    weights[o]!.forEach((w, i) => {
      const y = output.get(i);
      if (y !== Infinity && y !== -Infinity) total += w * y;
    });
  });
  return total;
}
