// fuse: neighbouring element-wise equations of one size become one, so that their values pass through registers, not memory.
import { sizeOf } from "../../core/index.ts";
import { broadcast, fusedElementwise } from "../../ops/index.ts";
import { inline, Program, trace, type Equation, type Value } from "../../program/index.ts";
import type { Target } from "../target.ts";

/** More instructions or operands than this in one group gain nothing any more. */
const MAX_EQUATIONS = 48;
const MAX_OPERANDS = 24;

/** Equations that wait to be written as one: connected by values they make or read. */
interface Group {
  readonly size: number;
  readonly equations: Equation[];
  readonly produced: Set<Value>;
  readonly inputs: Set<Value>;
}

/** Groups what the target says it can run in one pass; programs for other targets stay as they are. */
export function fuse(program: Program, target: Target): Program {
  if (target.fusible === undefined) return program;
  const uses = countUses(program);
  const written: Equation[] = [];
  const open = new Set<Group>();
  const close = (group: Group): void => {
    if (open.delete(group)) written.push(...merged(group, uses));
  };
  // One number everywhere: no memory is read for it, so it connects nothing.
  const uniform = new Set<Value>();

  for (const equation of program.equations) {
    const { op, attrs, inputs, outputs } = equation;
    const size = sizeOf(outputs[0]!.shape);
    const repeats = op === (broadcast.op as never) && sizeOf(inputs[0]!.shape) === 1;
    const joins = !repeats && target.fusible({ op, attrs, inputs, outputs });
    // Whoever reads a result of another group needs that group written first.
    for (const group of open) {
      if (!(joins && group.size === size) && inputs.some((input) => group.produced.has(input))) close(group);
    }
    if (repeats || op.traits.kind === "create") {
      // Values from nothing take no time: groups may stay open over them.
      for (const output of outputs) uniform.add(output);
      written.push(equation);
      continue;
    }
    if (!joins) {
      // Work closes all, to keep values short-lived.
      for (const group of open) close(group);
      written.push(equation);
      continue;
    }
    const makers = [...open].filter(({ produced }) => inputs.some((input) => produced.has(input)));
    const near = [...open].filter(
      (group) => group.size === size && inputs.some((input) => group.inputs.has(input) && !uniform.has(input)),
    );
    const group = join([...new Set([...makers, ...near])], inputs) ?? join(makers, inputs);
    if (group === undefined) for (const maker of makers) close(maker);
    const home: Group = group ?? { size, equations: [], produced: new Set(), inputs: new Set() };
    if (group === undefined) open.add(home);
    home.equations.push(equation);
    for (const output of outputs) home.produced.add(output);
    for (const input of inputs) if (!home.produced.has(input)) home.inputs.add(input);
  }
  for (const group of open) close(group);
  if (written.every((equation, i) => equation === program.equations[i])) return program;
  return new Program(program.inputs, written, program.outputs);

  // The groups as one, the first; undefined where there is none or all would be too much. None reads what another makes.
  function join(groups: readonly Group[], reads: readonly Value[]): Group | undefined {
    const [first, ...others] = groups;
    if (first === undefined) return undefined;
    const operands = new Set(groups.flatMap((group) => [...group.inputs]));
    for (const value of reads) if (!groups.some(({ produced }) => produced.has(value))) operands.add(value);
    const equations = groups.reduce((sum, group) => sum + group.equations.length, 1);
    if (equations > MAX_EQUATIONS || operands.size > MAX_OPERANDS) return undefined;
    for (const other of others) {
      open.delete(other);
      first.equations.push(...other.equations);
      for (const value of other.produced) first.produced.add(value);
      for (const value of other.inputs) first.inputs.add(value);
    }
    return first;
  }
}

function countUses(program: Program): Map<Value, number> {
  const uses = new Map<Value, number>();
  const use = (value: Value): void => void uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const { inputs } of program.equations) inputs.forEach(use);
  program.outputs.forEach(use);
  return uses;
}

function merged({ equations, produced, inputs }: Group, uses: ReadonlyMap<Value, number>): Equation[] {
  // Broadcasts alone are copies, which have a kernel of their own.
  if (equations.length === 1 || equations.every(({ op }) => op.traits.kind === "layout")) return equations;
  const inside = new Map<Value, number>();
  for (const equation of equations)
    for (const input of equation.inputs) inside.set(input, (inside.get(input) ?? 0) + 1);
  const outputs = [...produced].filter((value) => (uses.get(value) ?? 0) > (inside.get(value) ?? 0));
  const operands = [...inputs];
  const part = new Program(operands, equations, outputs);
  const { program: body } = trace(operands, (values) => inline(part, values));
  return [{ op: fusedElementwise.op as never, inputs: operands, attrs: { body } as never, outputs }];
}
