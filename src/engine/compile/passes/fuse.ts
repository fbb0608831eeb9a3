// fuse: neighbouring element-wise equations of one size, and sums of them, become one, so that their values pass through registers, not memory.
import { sizeOf } from "../../core/index.ts";
import { broadcast, fusedElementwise } from "../../ops/index.ts";
import { inline, Program, trace, type Equation, type Value } from "../../program/index.ts";
import type { Target } from "../target.ts";

/** More instructions or operands than this in one group gain nothing any more. */
const MAX_EQUATIONS = 48;
const MAX_OPERANDS = 24;
const MAX_SUMS = 16;

/** Equations that wait to be written as one: connected by values they make or read. */
interface Group {
  readonly size: number;
  readonly equations: Equation[];
  readonly produced: Set<Value>;
  readonly inputs: Set<Value>;
  /** Results that are sums of the others, and how they walk; nothing in the group reads them. */
  readonly sums: Set<Value>;
  closing: string | undefined;
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

  for (const equation of sumsBesideMakers(program.equations, target)) {
    const { op, attrs, inputs, outputs } = equation;
    const size = sizeOf(outputs[0]!.shape);
    const repeats = op === (broadcast.op as never) && sizeOf(inputs[0]!.shape) === 1;
    const joins = !repeats && target.fusible({ op, attrs, inputs, outputs });
    const closing = target.closing?.({ op, attrs, inputs, outputs });
    const ended = [...open].find((group) => group.produced.has(inputs[0]!) && !group.sums.has(inputs[0]!));
    const alike = ended !== undefined && (ended.closing ?? closing) === closing && ended.sums.size < MAX_SUMS;
    if (closing !== undefined && alike) {
      ended.closing = closing;
      ended.equations.push(equation);
      for (const output of outputs) {
        ended.sums.add(output);
        ended.produced.add(output);
      }
      continue;
    }
    // Whoever reads a result of another group, or a sum, needs that group written first.
    for (const group of open) {
      const within = joins && group.size === size && !inputs.some((input) => group.sums.has(input));
      if (!within && inputs.some((input) => group.produced.has(input))) close(group);
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
    const home: Group = group ?? {
      size,
      equations: [],
      produced: new Set(),
      inputs: new Set(),
      sums: new Set(),
      closing: undefined,
    };
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
    const ends = new Set(groups.flatMap(({ closing }) => closing ?? []));
    if (ends.size > 1) return undefined;
    for (const end of ends) first.closing = end;
    for (const other of others) {
      open.delete(other);
      first.equations.push(...other.equations);
      for (const value of other.produced) first.produced.add(value);
      for (const value of other.inputs) first.inputs.add(value);
      for (const value of other.sums) first.sums.add(value);
    }
    return first;
  }
}

// Sums right behind what makes their terms, so that they find its group open.
function sumsBesideMakers(equations: readonly Equation[], target: Target): readonly Equation[] {
  const { fusible, closing } = target;
  if (fusible === undefined || closing === undefined) return equations;
  const makers = new Map<Value, Equation>();
  const behind = new Map<Equation, Equation[]>();
  const rest = equations.filter((equation) => {
    const { op, attrs, inputs, outputs } = equation;
    const maker = inputs.length === 1 ? makers.get(inputs[0]!) : undefined;
    const ends = maker !== undefined && closing.call(target, { op, attrs, inputs, outputs }) !== undefined;
    if (ends && fusible.call(target, maker)) {
      behind.set(maker, [...(behind.get(maker) ?? []), equation]);
      return false;
    }
    for (const output of outputs) makers.set(output, equation);
    return true;
  });
  return rest.flatMap((equation) => [equation, ...(behind.get(equation) ?? [])]);
}

function countUses(program: Program): Map<Value, number> {
  const uses = new Map<Value, number>();
  const use = (value: Value): void => void uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const { inputs } of program.equations) inputs.forEach(use);
  program.outputs.forEach(use);
  return uses;
}

function merged({ equations, produced, inputs, sums }: Group, uses: ReadonlyMap<Value, number>): Equation[] {
  // Broadcasts alone are copies, which have a kernel of their own.
  if (equations.length === 1 || equations.every(({ op }) => op.traits.kind === "layout")) return equations;
  const inside = new Map<Value, number>();
  for (const equation of equations)
    for (const input of equation.inputs) inside.set(input, (inside.get(input) ?? 0) + 1);
  const read = [...produced].filter((value) => (uses.get(value) ?? 0) > (inside.get(value) ?? 0));
  const outputs = [...read.filter((value) => !sums.has(value)), ...read.filter((value) => sums.has(value))];
  const operands = [...inputs];
  const part = new Program(operands, equations, outputs);
  const { program: body } = trace(operands, (values) => inline(part, values));
  return [{ op: fusedElementwise.op as never, inputs: operands, attrs: { body } as never, outputs }];
}
