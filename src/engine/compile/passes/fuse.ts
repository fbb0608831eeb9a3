// fuse: neighbouring element-wise equations of one size become one, so that their values pass through registers, not memory.
import { sizeOf } from "../../core/index.ts";
import { fusedElementwise } from "../../ops/index.ts";
import { inline, Program, trace, type Equation, type Value } from "../../program/index.ts";
import type { Target } from "../target.ts";

/** More instructions or operands than this in one group gain nothing any more. */
const MAX_EQUATIONS = 48;
const MAX_OPERANDS = 24;

/** Equations that wait to be written as one. */
interface Group {
  readonly equations: Equation[];
  readonly produced: Set<Value>;
  readonly inputs: Set<Value>;
}

/** Groups what the target says it can run in one pass; programs for other targets stay as they are. */
export function fuse(program: Program, target: Target): Program {
  if (target.fusible === undefined) return program;
  const uses = countUses(program);
  const written: Equation[] = [];
  const open = new Map<number, Group>();
  const close = (size: number): void => {
    const group = open.get(size);
    if (group === undefined) return;
    open.delete(size);
    written.push(...merged(group, uses));
  };
  const ownerOf = (value: Value): number | undefined => [...open].find(([, group]) => group.produced.has(value))?.[0];

  for (const equation of program.equations) {
    const size = sizeOf(equation.outputs[0]!.shape);
    const joins = target.fusible({
      op: equation.op,
      attrs: equation.attrs,
      inputs: equation.inputs,
      outputs: equation.outputs,
    });
    // Whoever reads a result of another group needs that group written first.
    for (const input of equation.inputs) {
      const owner = ownerOf(input);
      if (owner !== undefined && !(joins && owner === size)) close(owner);
    }
    if (!joins) {
      // Values from nothing take no time: groups may stay open over them. Work closes all, to keep values short-lived.
      if (equation.op.traits.kind !== "create") for (const key of open.keys()) close(key);
      written.push(equation);
      continue;
    }
    let group = open.get(size);
    const outside = equation.inputs.filter(
      (input) => group?.produced.has(input) !== true && group?.inputs.has(input) !== true,
    );
    if (
      group !== undefined &&
      (group.equations.length >= MAX_EQUATIONS || group.inputs.size + outside.length > MAX_OPERANDS)
    ) {
      close(size);
      group = undefined;
    }
    if (group === undefined) open.set(size, (group = { equations: [], produced: new Set(), inputs: new Set() }));
    group.equations.push(equation);
    for (const output of equation.outputs) group.produced.add(output);
    for (const input of equation.inputs) if (!group.produced.has(input)) group.inputs.add(input);
  }
  for (const key of open.keys()) close(key);
  if (written.every((equation, i) => equation === program.equations[i])) return program;
  return new Program(program.inputs, written, program.outputs);
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
