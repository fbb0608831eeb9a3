// epilogue: the element-wise group behind a contraction becomes part of it, and runs on each block of the result while it is in the cache.
import { sizeOf } from "../../core/index.ts";
import { fusedContraction, fusedElementwise, reshape } from "../../ops/index.ts";
import { anyOp, bind, inline, Program, trace, type Equation, type Value } from "../../program/index.ts";
import type { Target } from "../target.ts";

/** Up to this many elements a call of its own costs more than the work. */
const SMALL = 1 << 14;

/** A contraction with the reshapes between it and its readers. */
interface Chain {
  /** Positions of the contraction and of the reshapes behind it, in program order. */
  readonly positions: readonly number[];
  readonly product: Value;
}

/**
 * Folds what the target says it can run at the end of a contraction; programs for other targets stay as they are.
 * Groups that read or write more large values than the product and one result run better alone, from end to end.
 */
export function epilogue(program: Program, target: Target): Program {
  if (target.epilogue === undefined) return program;
  const { equations } = program;
  const makers = new Map<Value, number>();
  const readers = new Map<Value, number[]>();
  equations.forEach((equation, i) => {
    for (const output of equation.outputs) makers.set(output, i);
    for (const input of new Set(equation.inputs)) (readers.get(input) ?? put(readers, input)).push(i);
  });
  const results = new Set(program.outputs);
  const takes = (equation: Equation): boolean => target.epilogue!(equation);
  const taken = new Set<number>();
  const written = equations.map((equation): Equation => equation);

  // What of this is between a contraction and the group at `end`: nobody else may read the values in between before it.
  const chainTo = (value: Value, end: number): Chain | undefined => {
    const positions: number[] = [];
    let inner = value;
    for (;;) {
      const maker = makers.get(inner);
      if (maker === undefined || taken.has(maker)) return undefined;
      positions.unshift(maker);
      const equation = equations[maker]!;
      if (equation.op === anyOp(reshape.op)) {
        if (readers.get(inner)!.length > 1 || results.has(inner)) return undefined;
        inner = equation.inputs[0]!;
        continue;
      }
      const others = readers.get(inner)!.filter((reader) => !positions.includes(reader));
      if (!takes(equation) || others.some((reader) => reader < end)) return undefined;
      // Results take over the memory of inputs: what reads those must not move behind their writers.
      const between = equations.slice(maker + 1, end);
      if (between.some(({ outputs }) => outputs.some((output) => results.has(output)))) return undefined;
      return { positions, product: inner };
    }
  };

  equations.forEach((group, end) => {
    if (!isElementwise(group, target)) return;
    const size = sizeOf(group.outputs[0]!.shape);
    const large = [...group.inputs, ...group.outputs].filter(({ shape }) => sizeOf(shape) === size);
    if (size > SMALL && large.length > 2) return;
    const chain = group.inputs
      .filter((input) => sizeOf(input.shape) === size)
      .map((input) => chainTo(input, end))
      .filter((found) => found !== undefined)
      .sort((a, b) => b.positions[0]! - a.positions[0]!)[0];
    if (chain === undefined) return;
    const inside = [...chain.positions.map((i) => equations[i]!), group];
    const own = new Set([...chain.positions, end]);
    const kept = results.has(chain.product) || readers.get(chain.product)!.some((reader) => !own.has(reader));
    written[end] = merged(inside, kept ? [...group.outputs, chain.product] : group.outputs);
    for (const i of chain.positions) taken.add(i);
  });
  if (taken.size === 0) return program;
  return new Program(
    program.inputs,
    written.filter((_, i) => !taken.has(i)),
    program.outputs,
  );
}

function put(readers: Map<Value, number[]>, value: Value): number[] {
  const list: number[] = [];
  readers.set(value, list);
  return list;
}

function isElementwise({ op, attrs, inputs, outputs }: Equation, target: Target): boolean {
  // A group that ends with sums is one of another kind.
  if (op === anyOp(fusedElementwise.op))
    return (attrs as { readonly body: Program }).body.equations.every((part) => part.op.traits.kind !== "reduce");
  return op.traits.kind === "elementwise" && target.fusible?.({ op, attrs, inputs, outputs }) === true;
}

// One equation whose body is the contraction, the reshapes and the group's own equations.
function merged(equations: readonly Equation[], outputs: readonly Value[]): Equation {
  const produced = new Set(equations.flatMap((equation) => equation.outputs));
  const operands = [...new Set(equations.flatMap(({ inputs }) => inputs))].filter((value) => !produced.has(value));
  const { program: body } = trace(operands, (args) => {
    const env = new Map(operands.map((operand, i) => [operand, args[i]!]));
    for (const { op, inputs, attrs, outputs: made } of equations) {
      const values = inputs.map((value) => env.get(value)!);
      const isGroup = op === anyOp(fusedElementwise.op);
      const results = isGroup ? inline((attrs as { readonly body: Program }).body, values) : bind(op, values, attrs);
      made.forEach((output, i) => env.set(output, results[i]!));
    }
    return outputs.map((output) => env.get(output)!);
  });
  return { op: anyOp(fusedContraction.op), inputs: operands, attrs: { body } as never, outputs };
}
