// Element-wise ops as loop programs: one op a program, or a whole fused group.
import type { DType } from "../../../core/index.ts";
import { repetition } from "../../../ops/index.ts";
import type { Equation, Program, Value } from "../../../program/index.ts";
import type { LowerContext, Lowered } from "../../backend.ts";
import { emitters, partial } from "./emit.ts";
import { reduceGroups } from "./groups.ts";
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

/** Whether an equation can be a part of a group: an op of the loop kernel, a broadcast that repeats in one stretch, or random words. */
export function fusible(context: LowerContext<never>, target: LowerTarget): boolean {
  const { op, attrs, inputs, outputs } = context;
  if (op.name === "broadcast") {
    const { shape, axes } = attrs as Broadcast;
    if (inputs[0]!.dtype === "bfloat16") return false; // the kernel repeats words and bytes
    return repetition(inputs[0]!.shape, shape, axes) !== undefined;
  }
  if (op.name === "randomBits") return sizeOf(outputs[0]!.shape) > 0;
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
  /** The words that are drawn from a key. */
  readonly random: (key: Value) => Register;
}

/** Writes equations; gives what finds a value's register, `undefined` where one cannot be said. */
export function writeGroup(
  loop: LoopProgram,
  equations: readonly Equation[],
  { load, repeat, random }: GroupInputs,
): ((value: Value) => Register) | undefined {
  const registers = new Map<Value, Register>();
  const read = (value: Value): Register => registers.get(value) ?? load(value);
  for (const { op, attrs, inputs, outputs: made } of equations) {
    const [input] = inputs as readonly [Value];
    if (op.name === "broadcast") {
      const { shape, axes } = attrs as Broadcast;
      registers.set(made[0]!, registers.get(input) ?? repeat(input, repetition(input.shape, shape, axes)!));
    } else if (op.name === "randomBits") {
      registers.set(made[0]!, random(input));
    } else if (op.name === "reshape") {
      registers.set(made[0]!, read(input));
    } else {
      const results = emitters.get(op.name)!(loop, { name: op.name, attrs, inputs }, inputs.map(read));
      if (results === undefined) return undefined;
      made.forEach((output, i) => registers.set(output, results[i]!));
    }
  }
  return read;
}

/** Longest row of a sum that ends a group: it has to stay in the cache. */
const MAX_ROW = 8192;
const OVER_ROWS = 0;
const ALONG_ROWS = 1;
const ALL = 2;

/** How a sum at the end of a group walks its elements: `[mode, row length]` of the kernel; undefined where it cannot be there. */
export function sumPattern({ op, attrs, inputs }: LowerContext<never>): readonly [number, number] | undefined {
  const { dtype, shape } = inputs[0] ?? { dtype: "bool", shape: [] };
  const size = sizeOf(shape);
  if (op.name !== "sum" || dtype !== "float32" || size < 2) return undefined;
  const { kept, reduced } = reduceGroups(shape, (attrs as { axes: readonly number[] }).axes);
  if (kept.dims.length === 0) return [ALL, size];
  if (kept.dims.length !== 1 || reduced.dims.length !== 1) return undefined;
  const along = reduced.strides[0] === 1;
  const row = (along ? reduced : kept).dims[0]!;
  return row > MAX_ROW ? undefined : [along ? ALONG_ROWS : OVER_ROWS, row];
}

const group: LowerRule = rule<{ body: Program }>((context, target) => {
  const { body } = context.attrs;
  const sums = new Map<Value, Equation>();
  for (const equation of body.equations) if (equation.op.name === "sum") sums.set(equation.outputs[0]!, equation);
  const part = body.equations.find(({ op }) => op.name !== "sum")!;
  const loop = new LoopProgram(context as never, target, sizeOf(part.outputs[0]!.shape));
  const position = new Map(body.inputs.map((input, i) => [input, i]));
  const read = writeGroup(
    loop,
    body.equations.filter(({ op }) => op.name !== "sum"),
    {
      load: (input) => loop.load(position.get(input)!),
      repeat: (input, by) => loop.repeat(position.get(input)!, by),
      random: (key) => loop.random(position.get(key)!),
    },
  );
  if (read === undefined) return undefined;
  const stored = new Map<Register, number>();
  const terms: number[] = [];
  body.outputs.forEach((output, o) => {
    const sum = sums.get(output);
    const register = read(sum?.inputs[0] ?? output);
    // What is stored anyway is added up from there.
    const before = sum === undefined ? undefined : stored.get(register);
    if (before === undefined) loop.store(o, register, { own: sum !== undefined });
    if (sum === undefined) stored.set(register, o);
    else terms.push(before ?? o);
  });
  const label = body.equations.map(({ op }) => op.name).join(" ");
  const lowered = { ...loop.lowered(), label };
  const first = sums.values().next().value;
  if (first === undefined) return lowered;
  const pattern = sumPattern({ ...first, outputs: first.outputs })!;
  return {
    ...lowered,
    kernel: "loopSum",
    params: [...lowered.params, ...pattern, sums.size, ...terms.map((o) => lowered.reads!.length + o)],
  };
});

/** Rules of the element-wise ops and of their groups. */
export const elementwiseRules: LowerRules = {
  ...Object.fromEntries([...emitters.keys()].map((name) => [name, alone])),
  cast,
  fusedElementwise: group,
};
