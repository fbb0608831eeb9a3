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

const group: LowerRule = rule<{ body: Program }>((context, target) => {
  const { body } = context.attrs;
  const loop = new LoopProgram(context as never, target);
  const position = new Map(body.inputs.map((input, i) => [input, i]));
  const registers = new Map<Value, Register>();
  const read = (value: Value): Register => registers.get(value) ?? loop.load(position.get(value)!);
  for (const { op, attrs, inputs, outputs } of body.equations) {
    if (op.name === "broadcast") {
      const [input] = inputs as readonly [Value];
      const { shape, axes } = attrs as Broadcast;
      const register = registers.get(input) ?? loop.repeat(position.get(input)!, repetition(input.shape, shape, axes)!);
      registers.set(outputs[0]!, register);
      continue;
    }
    const results = emitters.get(op.name)!(loop, { name: op.name, attrs, inputs }, inputs.map(read));
    if (results === undefined) return undefined;
    outputs.forEach((output, i) => registers.set(output, results[i]!));
  }
  body.outputs.forEach((output, o) => loop.store(o, read(output)));
  return { ...loop.lowered(), label: body.equations.map(({ op }) => op.name).join(" ") };
});

/** Rules of the element-wise ops and of their groups. */
export const elementwiseRules: LowerRules = {
  ...Object.fromEntries([...emitters.keys()].map((name) => [name, alone])),
  cast,
  fusedElementwise: group,
};
