// Turns: how the memory of a plan's slots moves on from one run to the next, when a program is run several times in one call.
import type { Turns } from "../backend/index.ts";
import { bufferBytes, type BufferId, type Plan } from "../plan/index.ts";

/** What a repeated call does with a program's inputs and outputs. */
export interface Repetition {
  readonly count: number;
  /** Pairs [input, output] of equal type: the output of one turn is the input of the next. */
  readonly carry: readonly (readonly [input: number, output: number])[];
  /** Inputs with one more axis in front: each turn takes the next slice. */
  readonly slices: readonly number[];
  /** The output, a bool, that says whether another turn may follow. */
  readonly goOn?: number;
}

/**
 * The turns of a plan; undefined where an output that is not carried has taken a carried input's memory.
 *
 * A carried output is often in its input's own memory, and nothing moves. Where it is not, the two change places, or go
 * round in a longer circle.
 */
export function planTurns(plan: Plan, how: Repetition, donate: readonly number[]): Turns | undefined {
  const { count, carry, slices, goOn } = how;
  const carried = new Map(carry.map(([i, o]) => [o, i]));
  const slot = (id: BufferId): number => {
    const { place } = plan.buffers[id]!;
    return place.kind === "external" ? place.slot : -1;
  };
  const bytes = (id: BufferId): number => bufferBytes(plan.buffers[id]!);
  if (plan.donations.some((from, o) => from !== -1 && !carried.has(o))) return undefined;
  if (carry.length !== donate.length || carry.some(([i]) => !donate.includes(i))) return undefined;
  const from = Array.from({ length: plan.slots }, (_, i) => i);
  const advance = from.map(() => 0);
  const used = new Set(carry.map(([, o]) => slot(plan.outputs[o]!)));
  // Memory of inputs that no output is in: where the outputs with memory of their own go in the next turn.
  const left = carry.map(([i]) => plan.inputs[i]!).filter((id) => !used.has(slot(id)));
  for (const [i, o] of carry) {
    const [input, output] = [plan.inputs[i]!, plan.outputs[o]!];
    from[slot(input)] = slot(output);
    if (plan.donations[o] !== -1) continue;
    const place = left.findIndex((id) => bytes(id) === bytes(output));
    if (place < 0) return undefined;
    from[slot(output)] = slot(left.splice(place, 1)[0]!);
  }
  for (const i of slices) advance[slot(plan.inputs[i]!)] = bytes(plan.inputs[i]!);
  plan.outputs.forEach((id, o) => {
    if (!carried.has(o)) advance[slot(id)] = bytes(id);
  });
  return { count, last: goOn === undefined ? -1 : slot(plan.outputs[goOn]!), from, advance };
}
