// The tool of all passes: write a program again, equation by equation, with replacements; and keys that tell equal equations.
import { HostArray } from "../core/index.ts";
import { bind, currentTrace, Program, trace, type Attr, type Equation, type Value } from "../program/index.ts";

/** Called for each equation with its new inputs; returns replacements for its outputs, or `undefined` to keep it. */
export type Rewrite = (
  equation: Equation,
  inputs: readonly Value[],
  producer: (value: Value) => Equation | undefined,
) => readonly Value[] | undefined;

/** A new program in which each equation was kept or replaced. */
export function rewriteProgram(program: Program, rewrite: Rewrite): Program {
  return trace(program.inputs, (args) => {
    const written = currentTrace()!.equations;
    const producers = new Map<Value, Equation>();
    let indexed = 0;
    const producer = (value: Value): Equation | undefined => {
      for (; indexed < written.length; indexed++)
        for (const output of written[indexed]!.outputs) producers.set(output, written[indexed]!);
      return producers.get(value);
    };
    const env = new Map<Value, Value>();
    program.inputs.forEach((input, i) => env.set(input, args[i]!));
    for (const equation of program.equations) {
      const inputs = equation.inputs.map((value) => env.get(value)!);
      const results = rewrite(equation, inputs, producer) ?? bind(equation.op, inputs, equation.attrs);
      equation.outputs.forEach((output, i) => env.set(output, results[i]!));
    }
    return program.outputs.map((value) => env.get(value)!);
  }).program;
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
