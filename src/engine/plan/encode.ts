// A plan as one flat stream of 32-bit words: what native and wasm execute.
//
//   stream  = step*
//   kernel  = opcode, words, call, operands, (slot, offset)*, params*     inputs first, then outputs
//   loop    = LOOP, words, count, reverse, reads, writes, carries, bodyWords,
//             (whole slot, whole offset, part slot, part offset, bytes)*  reads
//             step*                                                       body
//             (the same five)*                                            writes
//             (from slot, from offset, to slot, to offset, bytes)*        carries
//
// `words` counts the whole step. Slot 0 is the arena, slot k + 1 the plan's external slot k. Offsets count 64 bytes.
// `call` numbers the kernel calls from 0, so that an error can name the one that failed.
import { BackendError } from "../core/index.ts";
import { bufferBytes } from "./bytes.ts";
import type { BufferId, KernelCall, LoopCall, LoopSlice, Plan, PlanStep } from "./plan.ts";

/** Opcode of a loop; kernels count from 0. */
export const LOOP = -1;

/** Every buffer of an arena starts at a multiple of this. */
export const ALIGNMENT = 64;

/** Encodes a plan for a backend that knows these kernels, by their order. */
export function encodePlan(plan: Plan, kernels: ReadonlyMap<string, number>): Int32Array {
  let calls = 0;
  const operand = (id: BufferId): [number, number] => {
    const { place } = plan.buffers[id]!;
    return place.kind === "arena" ? [0, place.offset / ALIGNMENT] : [place.slot + 1, 0];
  };
  const kernel = (step: KernelCall): number[] => {
    const opcode = kernels.get(step.kernel);
    if (opcode === undefined)
      throw new BackendError("encode", `there is no kernel \`${step.kernel}\` (for ${step.op})`);
    const buffers = [...step.inputs, ...step.outputs];
    const words = [opcode, 0, calls++, buffers.length, ...buffers.flatMap(operand), ...step.params];
    words[1] = words.length;
    return words;
  };
  const slices = (list: readonly LoopSlice[]): number[] =>
    list.flatMap(({ whole, part }) => [...operand(whole), ...operand(part), bufferBytes(plan.buffers[part]!)]);
  const loop = (step: LoopCall): number[] => {
    const reads = slices(step.reads);
    const body = step.body.flatMap(encode);
    const writes = slices(step.writes);
    const carries = step.carries.flatMap(({ from, to }) => [
      ...operand(from),
      ...operand(to),
      bufferBytes(plan.buffers[from]!),
    ]);
    const head = [
      LOOP,
      0,
      step.count,
      step.reverse ? 1 : 0,
      step.reads.length,
      step.writes.length,
      step.carries.length,
      body.length,
    ];
    const words = [...head, ...reads, ...body, ...writes, ...carries];
    words[1] = words.length;
    return words;
  };
  const encode = (step: PlanStep): number[] => (step.kind === "kernel" ? kernel(step) : loop(step));
  return Int32Array.from(plan.steps.flatMap(encode));
}
