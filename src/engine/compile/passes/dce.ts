// dce: equations whose results nobody reads are dropped.
import { Program, type Equation, type Value } from "../../program/index.ts";

export function dce(program: Program): Program {
  const needed = new Set<Value>(program.outputs);
  const kept: Equation[] = [];
  for (const equation of program.equations.toReversed()) {
    if (!equation.outputs.some((output) => needed.has(output))) continue;
    kept.push(equation);
    for (const input of equation.inputs) needed.add(input);
  }
  if (kept.length === program.equations.length) return program;
  return new Program(program.inputs, kept.reverse(), program.outputs);
}
