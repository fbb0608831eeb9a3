// Ops that hold a program, and what they share: checkpoint (compute again instead of keeping) and its barrier.
import { formatType, sameType, ShapeError, type TensorType } from "../core/index.ts";
import { inline, trace, type OpRecord, type Program, type SampleInput, type Value } from "../program/index.ts";
import { mul, neg } from "./arith.ts";
import { zerosLike } from "./create.ts";
import {
  bind,
  bind1,
  expectInputs,
  float,
  int,
  none,
  sampleShapes,
  withOp,
  type None,
  type OpFunction,
  type Unary,
} from "./define.ts";
import { cast, sin, stored, tanh } from "./math.ts";

const barrierOp: OpRecord<None> = {
  name: "barrier",
  doc: "The same elements, never merged with equal ones: what is computed from them is computed again. `y = x`.",
  traits: { kind: "layout", recompute: "cheap", opaque: true },
  shape: (types) => {
    expectInputs("barrier", types, 1);
    return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x]) => [x!.slice()],
  // What is stored in bfloat16 goes through it as it is stored.
  simplify: ({ inputs: [x], producer }) => {
    const half = stored(x!, producer);
    return half === undefined ? undefined : [cast(barrier(half), "float32")];
  },
  vjp: ({ cts: [ct] }) => [ct],
  samples: [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape)], attrs: none })),
    { inputs: [int([5], -9, 9)], attrs: none },
    { inputs: [{ dtype: "bool", shape: [5], low: 0, high: 1 }], attrs: none },
  ],
  errors: [{ inputs: [float([1]), float([1])], attrs: none, message: "takes 1 inputs" }],
};

/** The same elements, never merged with equal ones by the compiler. */
export const barrier: Unary = withOp<(x: Value) => Value, None>(barrierOp, (x) => bind1(barrierOp, [x], none));

/** Refuses arguments that are not what a held program takes. */
export function expectBody(where: string, body: Program, types: readonly TensorType[]): void {
  if (body.inputs.length === types.length && body.inputs.every((input, i) => sameType(input, types[i]!))) return;
  const list = (all: readonly TensorType[]): string => (all.length === 0 ? "nothing" : all.map(formatType).join(", "));
  throw new ShapeError(where, `the body takes ${list(body.inputs)}: received ${list(types)}`);
}

/** Numbers of the float32 values of a list: those that can carry a gradient. */
export function floatIndices(types: readonly TensorType[]): number[] {
  return types.flatMap((type, i) => (type.dtype === "float32" ? [i] : []));
}

/** The program of a function of values, for samples. */
export function sampleBody(
  types: readonly SampleInput[],
  fn: (inputs: readonly Value[]) => readonly Value[],
): { readonly body: Program } {
  return { body: trace(types, fn).program };
}

/** A sample of an op that holds the program of a function of values. */
export function programSample(
  inputs: readonly SampleInput[],
  fn: (inputs: readonly Value[]) => readonly Value[],
): { readonly inputs: readonly SampleInput[]; readonly attrs: { readonly body: Program } } {
  return { inputs, attrs: sampleBody(inputs, fn) };
}

type CheckpointAttrs = { readonly body: Program };

const checkpointOp: OpRecord<CheckpointAttrs> = {
  name: "checkpoint",
  doc: "A program as one step that keeps only its inputs for the gradient and computes the rest again there: `y = body(x)` (Griewank & Walther 2000, Chen et al. 2016).",
  traits: { kind: "control", recompute: "costly" },
  shape: (types, { body }) => {
    expectBody("checkpoint", body, types);
    return body.outputs.map(({ dtype, shape }) => ({ dtype, shape }));
  },
  decompose: (inputs, { body }) => inline(body, inputs),
  linearize: ({ inputs, wanted, attrs: { body }, differentiator }) => {
    const outputs = bind(checkpointOp, inputs, { body });
    const wrt = floatIndices(inputs).filter((i) => wanted[i]);
    const pullback = (cts: readonly (Value | undefined)[]): (Value | undefined)[] => {
      const { forward, backward } = differentiator.linearize(body, wrt);
      // Behind barriers this forward part is not the one that ran before, so nothing of that one has to live until here.
      const again = inputs.map((input) => barrier(input));
      const residuals = inline(forward, again).slice(body.outputs.length);
      const seeds = floatIndices(body.outputs).map((i) => cts[i] ?? zerosLike(body.outputs[i]!));
      const results = inline(backward, [...again, ...residuals, ...seeds]);
      return inputs.map((_, i) => (wrt.includes(i) ? results[wrt.indexOf(i)] : undefined));
    };
    return { outputs, pullback };
  },
  samples: [
    {
      inputs: [float([2, 3]), float([2, 3])],
      attrs: sampleBody([float([2, 3]), float([2, 3])], ([x, y]) => [mul(sin(x!), tanh(y!)), sin(y!)]),
    },
    {
      inputs: [float([4]), int([4], -3, 3)],
      attrs: sampleBody([float([4]), int([4], 0, 0)], ([x, n]) => [mul(x!, cast(n!, "float32")), neg(n!)]),
    },
    { inputs: [float([0])], attrs: sampleBody([float([0])], ([x]) => [sin(x!)]) },
  ],
  errors: [
    {
      inputs: [float([3])],
      attrs: sampleBody([float([4])], ([x]) => [sin(x!)]),
      message: "the body takes float32[4]: received float32[3]",
    },
  ],
};

/**
 * `fn` of some values as one step; its gradient computes `fn` again instead of keeping its intermediates.
 * Values of the enclosing trace that `fn` uses become inputs of the step.
 */
export const checkpoint: OpFunction<
  (fn: (inputs: readonly Value[]) => readonly Value[], inputs: readonly Value[]) => readonly Value[],
  CheckpointAttrs
> = withOp(checkpointOp, (fn, inputs) => {
  const { program: body, captured } = trace(inputs, fn);
  return bind(checkpointOp, [...inputs, ...captured], { body });
});
