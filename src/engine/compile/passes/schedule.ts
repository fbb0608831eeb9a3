// schedule: an order of the equations in which values live shortly. Gradients meet their update as soon as they are there.
import { Program, type Equation, type Value } from "../../program/index.ts";
import { bufferBytes } from "../../plan/index.ts";

/**
 * List scheduling: of the equations whose inputs are there, the first that gives back at least as much memory as it takes,
 * else the first in program order. Results of the program count as no memory: they take over that of inputs.
 */
export function schedule(program: Program): Program {
  const results = new Set(program.outputs);
  const inputs = new Set(program.inputs);
  const readers = new Map<Value, number[]>();
  const unread = new Map<Value, number>();
  program.equations.forEach((equation, i) => {
    for (const value of new Set(equation.inputs)) {
      const list = readers.get(value);
      if (list === undefined) readers.set(value, [i]);
      else list.push(i);
      unread.set(value, (unread.get(value) ?? 0) + 1);
    }
  });
  const missing = program.equations.map(
    (equation) => new Set(equation.inputs.filter((value) => !inputs.has(value))).size,
  );
  const ready = missing.flatMap((count, i) => (count === 0 ? [i] : []));
  const order: Equation[] = [];

  // What an equation gives back less what it takes; undefined where it must wait for other readers of what it overwrites.
  const gain = (equation: Equation): number | undefined => {
    const overwrites = equation.outputs.some((output) => results.has(output));
    let freed = 0;
    for (const value of new Set(equation.inputs)) {
      const last = unread.get(value) === 1;
      if (inputs.has(value)) {
        if (overwrites && !last) return undefined;
      } else if (last && !results.has(value)) freed += bufferBytes(value);
    }
    const taken = equation.outputs.reduce(
      (bytes, output) => bytes + (results.has(output) ? 0 : bufferBytes(output)),
      0,
    );
    return freed > 0 ? freed - taken : -1;
  };

  while (ready.length > 0) {
    const position = Math.max(
      0,
      ready.findIndex((i) => (gain(program.equations[i]!) ?? -1) >= 0),
    );
    const [next] = ready.splice(position, 1);
    const equation = program.equations[next!]!;
    order.push(equation);
    for (const value of new Set(equation.inputs)) unread.set(value, unread.get(value)! - 1);
    for (const output of equation.outputs) {
      for (const reader of readers.get(output) ?? []) if (--missing[reader]! === 0) insert(ready, reader);
    }
  }
  if (order.every((equation, i) => equation === program.equations[i])) return program;
  return new Program(program.inputs, order, program.outputs);
}

function insert(sorted: number[], value: number): void {
  let at = sorted.length;
  while (at > 0 && sorted[at - 1]! > value) at--;
  sorted.splice(at, 0, value);
}
