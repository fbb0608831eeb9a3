// Element-wise ops as loop programs: one op a program, or a whole fused group.
import type { DType } from "../../../core/index.ts";
import { repetition } from "../../../ops/index.ts";
import type { Program, Value } from "../../../program/index.ts";
import type { LowerContext, Lowered } from "../../backend.ts";
import { emitters, partial } from "./emit.ts";
import { LoopProgram, type Register } from "./loop.ts";
import { rule, sizeOf, type LowerRule, type LowerRules, type LowerTarget } from "./lowering.ts";

const alone: LowerRule = (context, target) => {
  const { op, attrs, inputs } = context;
  const loop = new LoopProgram(context, target);
  const registers = inputs.map((_, i) => loop.load(i));
  const results = emitters.get(op.name)!(loop, { name: op.name, attrs, inputs }, registers);
  if (results === undefined) return undefined;
  results.forEach((register, o) => loop.store(o, register));
  return loop.lowered();
};

const cast: LowerRule = (context, target): Lowered | undefined => {
  const from = context.inputs[0]!.dtype;
  const to = (context.attrs as { dtype: DType }).dtype;
  const whole = (dtype: DType): boolean => dtype === "int32" || dtype === "uint32";
  return from === to || (whole(from) && whole(to)) ? { view: 0 } : alone(context, target); // the bits stay
};

type Broadcast = { readonly shape: readonly number[]; readonly axes: readonly number[] };

/** Whether an equation can be a part of a group: an op of the loop kernel, or a broadcast that repeats in one stretch. */
export function fusible(context: LowerContext<never>, target: LowerTarget): boolean {
  const { op, attrs, inputs, outputs } = context;
  if (op.name === "broadcast") {
    const { shape, axes } = attrs as Broadcast;
    return repetition(inputs[0]!.shape, shape, axes) !== undefined;
  }
  const emit = emitters.get(op.name);
  const size = sizeOf(outputs[0]!.shape);
  if (emit === undefined || inputs.some((type) => sizeOf(type.shape) !== size)) return false;
  if (!partial.has(op.name)) return true;
  const trial = new LoopProgram(context, target);
  const registers = inputs.map((_, i) => trial.load(i));
  return emit(trial, { name: op.name, attrs, inputs }, registers) !== undefined;
}

/** How a group reads what it is given: as it lies, or repeated. */
export interface GroupInputs {
  readonly load: (input: Value) => Register;
  readonly repeat: (input: Value, by: { readonly inner: number; readonly period: number }) => Register;
}

/** Writes equations, and stores of the outputs; false where one cannot be said. */
export function writeGroup(
  loop: LoopProgram,
  { equations, outputs }: Pick<Program, "equations" | "outputs">,
  { load, repeat }: GroupInputs,
): boolean {
  const registers = new Map<Value, Register>();
  const read = (value: Value): Register => registers.get(value) ?? load(value);
  for (const { op, attrs, inputs, outputs: made } of equations) {
    const [input] = inputs as readonly [Value];
    if (op.name === "broadcast") {
      const { shape, axes } = attrs as Broadcast;
      registers.set(made[0]!, registers.get(input) ?? repeat(input, repetition(input.shape, shape, axes)!));
    } else if (op.name === "reshape") {
      registers.set(made[0]!, read(input));
    } else {
      const results = emitters.get(op.name)!(loop, { name: op.name, attrs, inputs }, inputs.map(read));
      if (results === undefined) return false;
      made.forEach((output, i) => registers.set(output, results[i]!));
    }
  }
  outputs.forEach((output, o) => loop.store(o, read(output)));
  return true;
}

const group: LowerRule = rule<{ body: Program }>((context, target) => {
  const { body } = context.attrs;
  const loop = new LoopProgram(context as never, target);
  const position = new Map(body.inputs.map((input, i) => [input, i]));
  const said = writeGroup(loop, body, {
    load: (input) => loop.load(position.get(input)!),
    repeat: (input, by) => loop.repeat(position.get(input)!, by),
  });
  return said ? { ...loop.lowered(), label: body.equations.map(({ op }) => op.name).join(" ") } : undefined;
});

/** Rules of the element-wise ops and of their groups. */
export const elementwiseRules: LowerRules = {
  ...Object.fromEntries([...emitters.keys()].map((name) => [name, alone])),
  cast,
  fusedElementwise: group,
};
