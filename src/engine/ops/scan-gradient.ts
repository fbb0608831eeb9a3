// The gradient of scan: the forward loop also stacks what the backward loop, which runs the other way round, reads.
import type { TensorType } from "../core/index.ts";
import {
  inline,
  Program,
  trace,
  type Equation,
  type LinearizeRule,
  type LoopBody,
  type OpRecord,
  type Value,
} from "../program/index.ts";
import { add } from "./arith.ts";
import { floatIndices } from "./control.ts";
import { zerosLike } from "./create.ts";
import { bind } from "./define.ts";

type Context = Parameters<LinearizeRule<LoopBody>>[0];
type Result = ReturnType<LinearizeRule<LoopBody>>;
type Cotangents = readonly (Value | undefined)[];

/** An input of the backward body, and the value outside that it reads: whole in each turn, or one slice of it. */
interface Source {
  readonly input: Value;
  readonly value: Value;
  readonly sliced: boolean;
}

/** What the two loops share: the scan's inputs, and which inputs and outputs of its body take part. */
interface Split {
  readonly op: OpRecord<LoopBody>;
  readonly inputs: readonly Value[];
  readonly attrs: LoopBody;
  /** Inputs of the body that get a cotangent, by part. */
  readonly consts: readonly number[];
  readonly carries: readonly number[];
  readonly xs: readonly number[];
  /** Float outputs of the body, whose cotangents come in. */
  readonly seeds: readonly number[];
}

/**
 * Forward: the scan with its body's residuals as further stacked outputs; those that are the same in each turn are
 * computed once outside. Backward: a scan in the opposite direction that carries the cotangents of the carries, sums
 * those of the constants, and stacks those of the slices. Integers have no cotangent.
 */
export function linearizeScan(op: OpRecord<LoopBody>, { inputs, wanted, attrs, differentiator }: Context): Result {
  const { body } = attrs;
  const firstX = attrs.consts + attrs.carries;
  const floats = floatIndices(body.inputs);
  const split: Split = {
    op,
    inputs,
    attrs,
    seeds: floatIndices(body.outputs),
    consts: floats.filter((i) => i < attrs.consts && wanted[i]),
    // All float carries take part, wanted or not: a wanted input may reach them in a later turn.
    carries: floats.filter((i) => i >= attrs.consts && i < firstX),
    xs: floats.filter((i) => i >= firstX && wanted[i]),
  };
  const { forward, backward } = differentiator.linearize(body, [...split.consts, ...split.carries, ...split.xs]);
  const { outputs, sources } = forwardLoop(split, forward, backward);
  return { outputs, pullback: (cts) => backwardLoop(split, { backward, sources, cts }) };
}

// The scan with further stacked outputs, and where the backward body finds what it reads.
function forwardLoop(
  { op, inputs, attrs }: Split,
  forward: Program,
  backward: Program,
): { outputs: readonly Value[]; sources: Source[] } {
  const { consts, carries, body } = attrs;
  const own = forward.outputs.slice(0, body.outputs.length);
  const needed = usedInputs(backward);
  // The backward body reads the forward body's inputs, then its residuals.
  const reads = [...forward.inputs, ...forward.outputs.slice(own.length)]
    .map((value, i) => ({ value, input: backward.inputs[i]! }))
    .filter(({ input }) => needed.has(input));

  const whole = computeOnce(
    forward,
    inputs.slice(0, consts),
    reads.map(({ value }) => value),
  );
  const slices = new Map(forward.inputs.slice(consts + carries).map((x, i) => [x, inputs[consts + carries + i]!]));
  const ys = own.slice(carries);
  const residuals = new Set(reads.map(({ value }) => value));
  for (const value of [...whole.keys(), ...slices.keys(), ...ys]) residuals.delete(value);

  const stacking = new Program(forward.inputs, forward.equations, [...own, ...residuals]);
  const results = bind(op, inputs, { ...attrs, body: stacking });
  const stacks = new Map([...ys, ...residuals].map((y, i) => [y, results[carries + i]!]));
  const sources = reads.map(({ value, input }): Source => {
    const fixed = whole.get(value);
    if (fixed !== undefined) return { input, value: fixed, sliced: false };
    return { input, value: (slices.get(value) ?? stacks.get(value))!, sliced: true };
  });
  return { outputs: results.slice(0, own.length), sources };
}

// The scan the other way round: cotangents of the outputs in, cotangents of the inputs out.
function backwardLoop(
  { op, inputs, attrs, consts, carries, xs, seeds }: Split,
  { backward, sources, cts }: { backward: Program; sources: readonly Source[]; cts: Cotangents },
): (Value | undefined)[] {
  const fixed = sources.filter(({ sliced }) => !sliced);
  const sliced = sources.filter((source) => source.sliced);
  // Stacked results without a cotangent are zeros inside the body, not an array of them outside.
  const stackedSeeds = seeds.filter((i) => i >= attrs.carries && cts[i] !== undefined);
  const groups = {
    fixed: fixed.map(({ value }) => value),
    totals: consts.map((i) => zerosLike(inputs[i]!)),
    incoming: carries.map((i) => cts[i - attrs.consts] ?? zerosLike(inputs[i]!)),
    sliced: sliced.map(({ value }) => value),
    outgoing: stackedSeeds.map((i) => cts[i]!),
  };
  const whole = [...groups.fixed, ...groups.totals, ...groups.incoming];
  const scanned = [...groups.sliced, ...groups.outgoing];
  const types: TensorType[] = [...whole, ...scanned.map(({ dtype, shape }) => ({ dtype, shape: shape.slice(1) }))];

  const { program: body } = trace(types, (values) => {
    let next = 0;
    const take = ({ length }: readonly unknown[]): readonly Value[] => values.slice(next, (next += length));
    const inner = { fixed: take(fixed), totals: take(consts), incoming: take(carries) };
    const slices = { sliced: take(sliced), outgoing: take(stackedSeeds) };
    const seedOf = (i: number): Value | undefined =>
      i < attrs.carries ? inner.incoming[carries.indexOf(attrs.consts + i)] : slices.outgoing[stackedSeeds.indexOf(i)];

    const args = new Map<Value, Value>();
    fixed.forEach(({ input }, i) => args.set(input, inner.fixed[i]!));
    sliced.forEach(({ input }, i) => args.set(input, slices.sliced[i]!));
    const seedInputs = backward.inputs.slice(backward.inputs.length - seeds.length);
    seedInputs.forEach((input, k) => args.set(input, seedOf(seeds[k]!) ?? zerosLike(input)));
    // Without the inputs it never reads.
    const gradients = inline(new Program([...args.keys()], backward.equations, backward.outputs), [...args.values()]);
    return gradients.map((gradient, i) => (i < consts.length ? add(inner.totals[i]!, gradient) : gradient));
  });
  const outputs = bind(op, [...whole, ...scanned], {
    body,
    consts: fixed.length,
    carries: consts.length + carries.length,
    length: attrs.length,
    reverse: !attrs.reverse,
  });
  const order = [...consts, ...carries, ...xs];
  return inputs.map((_, i) => (order.includes(i) ? outputs[order.indexOf(i)] : undefined));
}

function usedInputs(program: Program): ReadonlySet<Value> {
  const used = new Set<Value>([...program.outputs, ...program.equations.flatMap(({ inputs }) => inputs)]);
  return new Set(program.inputs.filter((input) => used.has(input)));
}

// Those of the values that are the same in each turn, because they depend on constants alone, computed in the open trace.
function computeOnce(program: Program, consts: readonly Value[], values: readonly Value[]): ReadonlyMap<Value, Value> {
  const fixed = new Set<Value>(program.inputs.slice(0, consts.length));
  for (const { inputs, outputs } of program.equations) {
    if (inputs.every((value) => fixed.has(value))) for (const output of outputs) fixed.add(output);
  }
  const results = values.filter((value) => fixed.has(value));
  const live = new Set<Value>(results);
  const equations: Equation[] = [];
  for (const equation of program.equations.toReversed()) {
    if (!equation.outputs.some((output) => live.has(output))) continue;
    equations.unshift(equation);
    for (const input of equation.inputs) live.add(input);
  }
  const computed = inline(new Program(program.inputs.slice(0, consts.length), equations, results), consts);
  return new Map(results.map((value, i) => [value, computed[i]!]));
}
