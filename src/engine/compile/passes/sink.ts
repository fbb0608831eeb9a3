// sink: element-wise equations move down to where their results are read, so that fusion finds them together and nothing waits in memory.
import { bufferBytes } from "../../plan/index.ts";
import { Program, type Equation, type Value } from "../../program/index.ts";
import type { Target } from "../target.ts";

/**
 * Writes the program again from its end: an equation that the target can fuse goes right before the first that reads it,
 * unless what it reads would then take more memory for longer than what it makes does now.
 */
export function sink(program: Program, target: Target): Program {
  const { fusible } = target;
  if (fusible === undefined) return program;
  const { equations } = program;
  const makers = new Map<Value, number>();
  const readers = new Map<Value, number[]>();
  equations.forEach((equation, i) => {
    for (const output of equation.outputs) makers.set(output, i);
    for (const input of new Set(equation.inputs)) {
      const list = readers.get(input);
      if (list === undefined) readers.set(input, [i]);
      else list.push(i);
    }
  });
  const results = new Set(program.outputs);
  const makesResult = equations.map(({ outputs }) => outputs.some((output) => results.has(output)));
  const movable = equations.map(
    ({ op, attrs, inputs, outputs }, i) => !makesResult[i]! && fusible.call(target, { op, attrs, inputs, outputs }),
  );
  const placed = new Array<boolean>(equations.length).fill(false);
  const isPlaced = (i: number): boolean => placed[i]!;
  /** Values that an equation placed so far reads. */
  const read = new Set<Value>();
  const order: Equation[] = []; // from the last to the first

  const mayMove = (i: number): boolean => {
    const { inputs, outputs } = equations[i]!;
    let longer = 0;
    for (const value of new Set(inputs)) {
      const maker = makers.get(value);
      if (maker === undefined) {
        // A result may take over the memory of an input that its own equation reads: that one must stay behind this.
        if (readers.get(value)!.some((reader) => reader > i && makesResult[reader]! && !placed[reader]!)) return false;
      } else if (!read.has(value) && !(movable[maker]! && readers.get(value)!.length === 1))
        longer += bufferBytes(value);
    }
    return longer <= outputs.reduce((bytes, output) => bytes + bufferBytes(output), 0);
  };

  const place = (i: number): void => {
    placed[i] = true;
    order.push(equations[i]!);
    for (const value of equations[i]!.inputs) read.add(value);
    const before = new Set(
      equations[i]!.inputs.map((value) => makers.get(value)).filter((maker) => maker !== undefined),
    );
    for (const maker of [...before].sort((a, b) => b - a)) {
      if (!movable[maker]! || placed[maker]!) continue;
      const last = equations[maker]!.outputs.every((output) => (readers.get(output) ?? []).every(isPlaced));
      if (last && mayMove(maker)) place(maker);
    }
  };

  for (let i = equations.length - 1; i >= 0; i--) if (!placed[i]!) place(i);
  order.reverse();
  if (order.every((equation, i) => equation === equations[i])) return program;
  return new Program(program.inputs, order, program.outputs);
}
