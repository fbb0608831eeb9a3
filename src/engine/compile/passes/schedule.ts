// schedule: an order of the equations in which values live shortly. Gradients meet their update as soon as they are there.
import { Program, type Equation, type Value } from "../../program/index.ts";
import { bufferBytes } from "../../plan/index.ts";

/**
 * List scheduling: of the equations whose inputs are there, the first that gives back at least as much memory as it takes,
 * else the first in program order. Results of the program count as no memory: they take over that of inputs.
 */
export function schedule(program: Program): Program {
  const { equations } = program;
  const results = new Set(program.outputs);
  const given = new Set(program.inputs);
  const operands = equations.map(({ inputs }) => (inputs.length > 1 ? [...new Set(inputs)] : inputs));
  const readers = new Map<Value, Set<number>>();
  operands.forEach((values, i) => {
    for (const value of values) {
      const others = readers.get(value);
      if (others === undefined) readers.set(value, new Set([i]));
      else others.add(i);
    }
  });
  const missing = operands.map((values) => values.reduce((count, value) => count + Number(!given.has(value)), 0));
  /** Equations whose inputs are there, in program order; and those of them that give back as much as they take. */
  const ready: number[] = [];
  const paying: number[] = [];

  // Whether it gives back what it takes; it must wait for other readers of what it overwrites.
  const pays = (i: number): boolean => {
    const overwrites = equations[i]!.outputs.some((output) => results.has(output));
    let freed = 0;
    for (const value of operands[i]!) {
      const last = readers.get(value)!.size === 1;
      if (given.has(value)) {
        if (overwrites && !last) return false;
      } else if (last && !results.has(value)) freed += bufferBytes(value);
    }
    let taken = 0;
    for (const output of equations[i]!.outputs) if (!results.has(output)) taken += bufferBytes(output);
    return freed > 0 && freed >= taken;
  };
  const arrive = (i: number): void => {
    insert(ready, i);
    if (pays(i)) insert(paying, i);
  };

  missing.forEach((count, i) => {
    if (count === 0) arrive(i);
  });
  const order: Equation[] = [];
  while (ready.length > 0) {
    const next = paying[0] ?? ready[0]!;
    remove(ready, next);
    remove(paying, next);
    order.push(equations[next]!);
    for (const value of operands[next]!) {
      const others = readers.get(value)!;
      others.delete(next);
      // Only now may the last reader free it, or overwrite it.
      const [last] = others;
      if (others.size === 1 && missing[last!] === 0 && !has(paying, last!) && pays(last!)) insert(paying, last!);
    }
    for (const output of equations[next]!.outputs) {
      for (const reader of readers.get(output) ?? []) if (--missing[reader]! === 0) arrive(reader);
    }
  }
  if (order.every((equation, i) => equation === equations[i])) return program;
  return new Program(program.inputs, order, program.outputs);
}

// Where a number is in an ascending list, or belongs.
function position(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function has(ascending: readonly number[], value: number): boolean {
  return ascending[position(ascending, value)] === value;
}

function insert(ascending: number[], value: number): void {
  ascending.splice(position(ascending, value), 0, value);
}

function remove(ascending: number[], value: number): void {
  const at = position(ascending, value);
  if (ascending[at] === value) ascending.splice(at, 1);
}
