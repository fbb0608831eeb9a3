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

/** Where the backward loop finds a value of the forward one: whole, the same in each turn, or one slice for each. */
interface Source {
  readonly value: Value;
  readonly sliced: boolean;
}

/**
 * Forward: the scan with its body's residuals as further stacked outputs; those that are the same in each turn are
 * computed once outside. Backward: a scan in the opposite direction that carries the cotangents of the carries, sums
 * those of the constants, and stacks those of the slices. Integers have no cotangent.
 */
export function linearizeScan(op: OpRecord<LoopBody>, context: Context): Result {
  const { inputs, wanted, attrs, differentiator } = context;
  const { body, consts, carries, length, reverse } = attrs;
  const isConst = (i: number): boolean => i < consts;
  const isCarry = (i: number): boolean => i >= consts && i < consts + carries;
  // All float carries take part, wanted or not: a wanted input may reach them in a later turn.
  const wrt = floatIndices(body.inputs).filter((i) => isCarry(i) || wanted[i]);
  const seeds = floatIndices(body.outputs);
  const { forward, backward } = differentiator.linearize(body, wrt);
  const seedInputs = backward.inputs.slice(backward.inputs.length - seeds.length);
  const needed = usedInputs(backward);

  // Each value the backward body reads, by what it is in the forward body.
  const read = [...forward.inputs, ...forward.outputs.slice(body.outputs.length)];
  const reads = read
    .map((value, i) => ({ value, input: backward.inputs[i]! }))
    .filter(({ input }) => needed.has(input));
  const fixed = invariants(forward, consts);
  const outside = evaluateOnce(
    forward,
    inputs.slice(0, consts),
    fixed,
    reads.map(({ value }) => value),
  );
  const sliceOf = new Map(forward.inputs.slice(consts + carries).map((x, i) => [x, inputs[consts + carries + i]!]));
  const ys = forward.outputs.slice(carries, body.outputs.length);
  const extra = new Set<Value>();
  for (const { value } of reads) if (!fixed.has(value) && !sliceOf.has(value) && !ys.includes(value)) extra.add(value);
  const kept = new Program(forward.inputs, forward.equations, [
    ...forward.outputs.slice(0, body.outputs.length),
    ...extra,
  ]);
  const results = bind(op, inputs, { ...attrs, body: kept });
  const stackOf = new Map<Value, Value>([...ys, ...extra].map((y, i) => [y, results[carries + i]!]));
  const sources = reads.map(({ value, input }): Source & { readonly input: Value } => {
    const whole = outside.get(value);
    return whole !== undefined
      ? { input, value: whole, sliced: false }
      : { input, value: (sliceOf.get(value) ?? stackOf.get(value))!, sliced: true };
  });

  const pullback = (cts: readonly (Value | undefined)[]): (Value | undefined)[] => {
    const whole = sources.filter(({ sliced }) => !sliced);
    const sliced = sources.filter((source) => source.sliced);
    const sums = wrt.filter(isConst);
    const carried = wrt.filter(isCarry);
    // Stacked results without a cotangent are zeros inside the body, not an array of them outside.
    const given = seeds.filter((i) => i >= carries && cts[i] !== undefined);
    const starts = [
      ...sums.map((i) => zerosLike(inputs[i]!)),
      ...carried.map((i) => cts[i - consts] ?? zerosLike(inputs[i]!)),
    ];
    const args = [
      ...whole.map(({ value }) => value),
      ...starts,
      ...sliced.map(({ value }) => value),
      ...given.map((i) => cts[i]!),
    ];
    const types = args.map((value, i): TensorType =>
      i < whole.length + starts.length ? value : { dtype: value.dtype, shape: value.shape.slice(1) },
    );
    const { program } = trace(types, (values) => {
      let next = 0;
      const take = (count: number): readonly Value[] => values.slice(next, (next += count));
      const env = new Map<Value, Value>();
      const assign = (keys: readonly Value[]): void =>
        take(keys.length).forEach((value, i) => env.set(keys[i]!, value));
      assign(whole.map(({ input }) => input));
      const totals = take(sums.length);
      const incoming = take(carried.length);
      assign(sliced.map(({ input }) => input));
      const outgoing = take(given.length);
      seeds.forEach((i, k) => {
        const value = i < carries ? incoming[carried.indexOf(consts + i)] : outgoing[given.indexOf(i)];
        if (needed.has(seedInputs[k]!)) env.set(seedInputs[k]!, value ?? zerosLike(seedInputs[k]!));
      });
      const pruned = new Program([...env.keys()], backward.equations, backward.outputs);
      const gradients = inline(pruned, [...env.values()]);
      const of = (indices: readonly number[]): Value[] => indices.map((i) => gradients[wrt.indexOf(i)]!);
      const slices = wrt.filter((i) => !isConst(i) && !isCarry(i));
      return [...of(sums).map((gradient, i) => add(totals[i]!, gradient)), ...of(carried), ...of(slices)];
    });
    const outputs = bind(op, args, {
      ...{ body: program, consts: whole.length, carries: starts.length },
      ...{ length, reverse: !reverse },
    });
    const order = [...sums, ...carried, ...wrt.filter((i) => !isConst(i) && !isCarry(i))];
    return inputs.map((_, i) => (order.includes(i) ? outputs[order.indexOf(i)] : undefined));
  };
  return { outputs: results.slice(0, body.outputs.length), pullback };
}

function usedInputs(program: Program): ReadonlySet<Value> {
  const used = new Set<Value>([...program.outputs, ...program.equations.flatMap(({ inputs }) => inputs)]);
  return new Set(program.inputs.filter((input) => used.has(input)));
}

// Values that depend on nothing that changes from turn to turn.
function invariants(program: Program, consts: number): ReadonlySet<Value> {
  const fixed = new Set<Value>(program.inputs.slice(0, consts));
  for (const { inputs, outputs } of program.equations) {
    if (inputs.every((value) => fixed.has(value))) for (const output of outputs) fixed.add(output);
  }
  return fixed;
}

// The fixed ones among `wanted`, computed in the open trace.
function evaluateOnce(
  program: Program,
  consts: readonly Value[],
  fixed: ReadonlySet<Value>,
  wanted: readonly Value[],
): ReadonlyMap<Value, Value> {
  const results = wanted.filter((value) => fixed.has(value));
  const live = new Set<Value>(results);
  const equations: Equation[] = [];
  for (const equation of program.equations.toReversed()) {
    if (!equation.outputs.some((output) => live.has(output))) continue;
    equations.unshift(equation);
    for (const input of equation.inputs) live.add(input);
  }
  const values = inline(new Program(program.inputs.slice(0, consts.length), equations, results), consts);
  return new Map(results.map((value, i) => [value, values[i]!]));
}
