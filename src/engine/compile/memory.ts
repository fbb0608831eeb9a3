// The memory plan: who lives when, who may take over whose place, and where in the arena each buffer goes.
import { ALIGNMENT, bufferBytes, type BufferId, type KernelCall, type Place, type PlanStep } from "../plan/index.ts";
import type { DraftBuffer, InplacePairs, Root } from "./lower.ts";

/** Times of the first and the last touch of some memory, in steps of the plan; loops count their body once. */
interface Life {
  start: number;
  end: number;
  bytes: number;
}

export interface MemoryRequest {
  readonly buffers: readonly DraftBuffer[];
  readonly steps: readonly PlanStep[];
  readonly inputs: readonly BufferId[];
  readonly outputs: readonly BufferId[];
  readonly inplace: InplacePairs;
  readonly donate: readonly number[];
  /** The first external slot free for outputs. */
  readonly firstSlot: number;
}

interface Lives {
  readonly of: Map<Root, Life>;
  readonly calls: readonly { readonly call: KernelCall; readonly time: number }[];
}

/** Decides every root's place. Returns the arena's size and, for each output, the donated input it takes over (or -1). */
export function planMemory(request: MemoryRequest): { arenaBytes: number; donations: number[] } {
  const lives = measureLives(request);
  const donations = placeOutputs(request, lives);
  const leaders = shareInPlace(request, lives);
  const groups = new Map<Root, Life>();
  for (const [root, life] of lives.of) {
    if (root.place === undefined && !leaders.has(root)) groups.set(root, life);
  }
  const arenaBytes = pack(groups);
  for (const root of leaders.keys()) root.place = find(leaders, root).place;
  return { arenaBytes, donations };
}

function measureLives({ buffers, steps, inputs, outputs }: MemoryRequest): Lives {
  const of = new Map<Root, Life>();
  const calls: { call: KernelCall; time: number }[] = [];
  let time = 0;
  let touched: Set<Root> | undefined;
  const touch = (id: BufferId): void => {
    const { root } = buffers[id]!;
    touched?.add(root);
    const life = of.get(root);
    const bytes = bufferBytes(buffers[id]!);
    if (life === undefined) of.set(root, { start: time, end: time, bytes });
    else {
      life.end = Math.max(life.end, time);
      life.bytes = Math.max(life.bytes, bytes);
    }
  };
  const walk = (list: readonly PlanStep[]): void => {
    for (const step of list) {
      time++;
      if (step.kind === "kernel") {
        step.inputs.forEach(touch);
        step.outputs.forEach(touch);
        calls.push({ call: step, time });
        continue;
      }
      const outer = touched;
      touched = new Set();
      const entry = time;
      for (const { to } of step.carries) touch(to);
      for (const { whole } of [...step.reads, ...step.writes]) touch(whole);
      time++;
      for (const { part } of step.reads) touch(part);
      walk(step.body);
      time++;
      for (const { whole, part } of step.writes) [whole, part].forEach(touch);
      for (const { from, to } of step.carries) [from, to].forEach(touch);
      // What was there before the loop is read again in its next turn.
      for (const root of touched) {
        const life = of.get(root)!;
        if (life.start <= entry) life.end = time;
        outer?.add(root);
      }
      touched = outer;
    }
  };
  inputs.forEach(touch);
  walk(steps);
  for (const id of outputs) {
    touch(id);
    of.get(buffers[id]!.root)!.end = Infinity;
  }
  return { of, calls };
}

// An output takes over a donated input that is not read after the output is first written; else it gets a slot of its own.
function placeOutputs({ buffers, inputs, outputs, inplace, donate, firstSlot }: MemoryRequest, lives: Lives): number[] {
  const callAt = new Map(lives.calls.map(({ call, time }) => [time, call]));
  const free = new Set(donate);
  let slot = firstSlot;
  return outputs.map((output) => {
    const { root, dtype } = buffers[output]!;
    const { start } = lives.of.get(root)!;
    for (const i of free) {
      const input = buffers[inputs[i]!]!;
      if (input.dtype !== dtype || bufferBytes(input) !== bufferBytes(buffers[output]!)) continue;
      const { end } = lives.of.get(input.root)!;
      const call = callAt.get(start);
      if (
        end > start ||
        (end === start &&
          !(call !== undefined && mayShare(call, { input: input.root, output: root, buffers, inplace })))
      )
        continue;
      free.delete(i);
      root.place = input.root.place;
      return i;
    }
    root.place = { kind: "external", slot: slot++ };
    return -1;
  });
}

interface Sharing {
  readonly input: Root;
  readonly output: Root;
  readonly buffers: readonly DraftBuffer[];
  readonly inplace: InplacePairs;
}

// Whether the kernel allows the output on every operand that lives in the input's memory.
function mayShare(call: KernelCall, { input, output, buffers, inplace }: Sharing): boolean {
  const pairs = inplace.get(call) ?? [];
  const o = call.outputs.findIndex((id) => buffers[id]!.root === output);
  const readers = call.inputs.flatMap((id, i) => (buffers[id]!.root === input ? [i] : []));
  return o >= 0 && readers.length > 0 && readers.every((i) => pairs.some(([po, pi]) => po === o && pi === i));
}

// A temporary that dies in a call hands its memory to an output of the call, where the kernel allows it.
function shareInPlace({ buffers, inplace }: MemoryRequest, lives: Lives): Map<Root, Root> {
  const leaders = new Map<Root, Root>();
  for (const { call, time } of lives.calls) {
    for (const [o, i] of inplace.get(call) ?? []) {
      const output = buffers[call.outputs[o]!]!.root;
      const input = find(leaders, buffers[call.inputs[i]!]!.root);
      if (output === input || output.place !== undefined || input.place !== undefined || leaders.has(output)) continue;
      const from = lives.of.get(input)!;
      const to = lives.of.get(output)!;
      if (from.end !== time || to.start !== time || from.bytes !== to.bytes) continue;
      // All operands in that memory must be allowed, those merged into it before included.
      const pairs = inplace.get(call)!;
      const readers = call.inputs.flatMap((id, k) => (find(leaders, buffers[id]!.root) === input ? [k] : []));
      if (!readers.every((k) => pairs.some(([po, pi]) => po === o && pi === k))) continue;
      leaders.set(output, input);
      from.end = to.end;
    }
  }
  return leaders;
}

function find(leaders: ReadonlyMap<Root, Root>, root: Root): Root {
  for (let leader = leaders.get(root); leader !== undefined; leader = leaders.get(root)) root = leader;
  return root;
}

// Largest first, each at the lowest offset where nothing that lives at the same time is in the way.
function pack(groups: ReadonlyMap<Root, Life>): number {
  const order = [...groups].sort(([, a], [, b]) => b.bytes - a.bytes || a.start - b.start);
  const placed: { life: Life; offset: number; size: number }[] = [];
  let arenaBytes = 0;
  for (const [root, life] of order) {
    const size = Math.ceil(life.bytes / ALIGNMENT) * ALIGNMENT;
    let offset = 0;
    for (const other of placed) {
      if (other.life.start > life.end || life.start > other.life.end) continue;
      if (offset + size <= other.offset) break; // placed is sorted by offset: a gap before this one
      offset = Math.max(offset, other.offset + other.size);
    }
    const place: Place = { kind: "arena", offset };
    root.place = place;
    insertByOffset(placed, { life, offset, size });
    arenaBytes = Math.max(arenaBytes, offset + size);
  }
  return arenaBytes;
}

function insertByOffset(
  placed: { life: Life; offset: number; size: number }[],
  one: { life: Life; offset: number; size: number },
): void {
  let low = 0;
  let high = placed.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (placed[middle]!.offset <= one.offset) low = middle + 1;
    else high = middle;
  }
  placed.splice(low, 0, one);
}
