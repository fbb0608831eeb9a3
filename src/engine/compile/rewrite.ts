// The tool of all passes: write a program again, equation by equation, with replacements; and keys that tell equal equations.
import { HostArray } from "../core/index.ts";
import { Program, resume, type Attr, type Equation, type Value } from "../program/index.ts";

/** Called for each equation with its new inputs; returns replacements for its outputs, or `undefined` to keep it. */
export type Rewrite = (
  equation: Equation,
  inputs: readonly Value[],
  producer: (value: Value) => Equation | undefined,
) => readonly Value[] | undefined;

/** The program with each equation kept or replaced; the same program where all were kept. */
export function rewriteProgram(program: Program, rewrite: Rewrite): Program {
  let changed = false;
  const written = resume(program, ({ equations }) => {
    const producers = new Map<Value, Equation>();
    let indexed = 0;
    const producer = (value: Value): Equation | undefined => {
      for (; indexed < equations.length; indexed++)
        for (const output of equations[indexed]!.outputs) producers.set(output, equations[indexed]!);
      return producers.get(value);
    };
    const replaced = new Map<Value, Value>();
    const read = (value: Value): Value => replaced.get(value) ?? value;
    for (const equation of program.equations) {
      const moved = replaced.size > 0 && equation.inputs.some((value) => replaced.has(value));
      const inputs = moved ? equation.inputs.map(read) : equation.inputs;
      const results = rewrite(equation, inputs, producer);
      if (results === undefined) equations.push(moved ? { ...equation, inputs } : equation);
      else {
        changed = true;
        equation.outputs.forEach((output, i) => replaced.set(output, results[i]!));
      }
    }
    return program.outputs.map(read);
  });
  return changed ? written : program;
}

const identities = new WeakMap<object, number>();
let nextIdentity = 0;

/** A number that is the object's own, for keys. */
export function identityOf(object: object): number {
  let id = identities.get(object);
  if (id === undefined) identities.set(object, (id = nextIdentity++));
  return id;
}

/** A text equal for equal attributes. Arrays and programs count by identity. */
export function attrsKey(attrs: object): string {
  return Object.entries(attrs as { [name: string]: Attr })
    .map(([name, value]) => `${name}=${attrKey(value)}`)
    .join(" ");
}

function attrKey(value: Attr): string {
  if (value instanceof HostArray || value instanceof Program) return `#${identityOf(value)}`;
  if (Array.isArray(value)) return `[${value.map((item) => attrKey(item as Attr)).join()}]`;
  if (typeof value === "object" && value !== null) return `{${attrsKey(value)}}`;
  return Object.is(value, -0) ? "-0" : typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** A text equal for programs that compute the same in the same way: the key of the executable cache. */
export function programKey(program: Program): string {
  const numbers = new Map<Value, number>();
  const number = (value: Value): number => {
    let n = numbers.get(value);
    if (n === undefined) numbers.set(value, (n = numbers.size));
    return n;
  };
  const type = (value: Value): string => `${value.dtype}[${value.shape.join()}]`;
  const lines = [program.inputs.map((value) => `${number(value)}:${type(value)}`).join()];
  for (const { op, inputs, attrs, outputs } of program.equations) {
    const results = outputs.map((value) => `${number(value)}:${type(value)}`).join();
    lines.push(`${results}=${identityOf(op)} ${inputs.map(number).join()} ${attrsKey(attrs)}`);
  }
  return `${lines.join("\n")}\n${program.outputs.map(number).join()}`;
}
