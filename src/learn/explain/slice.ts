// Reading a program: which part computes one value from others, and what kind of function that part is.
import { Program, trace, type Equation, type Value } from "../../engine/program/index.ts";

/** The part of a program between some values and one they lead to. */
export interface Slice {
  /** In the order of the program. */
  readonly equations: readonly Equation[];
  /** Inputs of the whole program the part reads besides the values it starts from. */
  readonly free: readonly Value[];
  /** Values it starts from that it really reads. */
  readonly reached: ReadonlySet<Value>;
}

/** The equations that compute `to`, going back no further than `from`. */
export function sliceOf(program: Program, from: readonly Value[], to: Value): Slice {
  const start = new Set(from);
  const wanted = new Set<Value>([to]);
  const reached = new Set<Value>();
  if (start.has(to)) return { equations: [], free: [], reached: new Set([to]) };
  const equations: Equation[] = [];
  for (const equation of program.equations.toReversed()) {
    if (!equation.outputs.some((value) => wanted.has(value) && !start.has(value))) continue;
    equations.unshift(equation);
    for (const value of equation.inputs) (start.has(value) ? reached : wanted).add(value);
  }
  return { equations, free: program.inputs.filter((value) => wanted.has(value) && !start.has(value)), reached };
}

/** A slice as a program of its own: inputs `from`, then the free ones. */
export function programOf(slice: Slice, from: readonly Value[], to: Value): Program {
  return new Program([...from, ...slice.free], slice.equations, [to]);
}

/** All values that depend on one of `from`. */
export function dependents(equations: readonly Equation[], from: readonly Value[]): Set<Value> {
  const found = new Set(from);
  for (const equation of equations)
    if (equation.inputs.some((value) => found.has(value))) for (const output of equation.outputs) found.add(output);
  return found;
}

/** Whether element i of the result depends on element i of `from` alone: then its derivative is one number an element. */
export function isElementwise(equations: readonly Equation[], from: Value): boolean {
  const live = dependents(equations, [from]);
  return equations
    .filter(({ inputs }) => inputs.some((value) => live.has(value)))
    .every(({ op, inputs, attrs, outputs }) => {
      if (op.traits.kind === "elementwise") return true;
      if (op.decompose === undefined || outputs.length !== 1 || inputs.length !== 1) return false;
      const { decompose } = op;
      const { program } = trace(inputs, (values) => decompose(values, attrs));
      return isElementwise(program.equations, program.inputs[0]!);
    });
}

/**
 * Where the last parameter has entered: the value behind which the layer is a function of that value alone.
 * That is z in `a = σ(z)`. `undefined` where there is no such value.
 */
export function lastMeeting(
  program: Program,
  layer: { readonly inputs: readonly Value[]; readonly parameters: readonly Value[]; readonly output: Value },
): Value | undefined {
  const { equations } = sliceOf(program, [...layer.inputs, ...layer.parameters], layer.output);
  const data = dependents(equations, layer.inputs);
  const weights = dependents(equations, layer.parameters);
  const meets = (value: Value): boolean => weights.has(value) && !data.has(value);
  const last = equations.findLast(({ inputs }) => inputs.some(meets) && inputs.some((value) => data.has(value)));
  if (last === undefined || last.outputs.length !== 1) return undefined;
  const z = last.outputs[0]!;
  const tail = sliceOf(program, [z, ...layer.inputs, ...layer.parameters], layer.output);
  const alone = [...tail.reached].every((value) => value === z);
  return alone ? z : undefined;
}

/** Whether a slice is `x W + b`: one matrix product with the kernel on its right, and at most one sum with the bias. */
export function isAffine(
  program: Program,
  { input, kernel, bias, z }: { input: Value; kernel: Value; bias: Value | undefined; z: Value },
): boolean {
  if (kernel.shape.length !== 2) return false;
  const stops = bias === undefined ? [input, kernel] : [input, kernel, bias];
  const { equations, free } = sliceOf(program, stops, z);
  const products = equations.filter(({ op }) => op.traits.kind === "contract");
  const [product, ...others] = products;
  if (product === undefined || others.length > 0 || free.length > 0 || product.op.name !== "matmul") return false;
  if (product.inputs[1] !== kernel || Object.values(product.attrs).some((flag) => flag !== false)) return false;
  const rest = equations.filter((equation) => equation !== product);
  const sums = rest.filter(({ op }) => op.name === "add").length;
  const moves = rest.filter(({ op }) => op.name === "broadcast" || op.traits.kind === "layout").length;
  return sums === (bias === undefined ? 0 : 1) && sums + moves === rest.length;
}

/** Names of the operations in order, repeats in a row counted: `["matmul", "add", "relu ×2"]`. */
export function operationNames(equations: readonly Equation[]): string[] {
  const runs: { name: string; count: number }[] = [];
  for (const { op } of equations) {
    const last = runs.at(-1);
    if (last?.name === op.name) last.count++;
    else runs.push({ name: op.name, count: 1 });
  }
  return runs.map(({ name, count }) => (count === 1 ? name : `${name} ×${count}`));
}
