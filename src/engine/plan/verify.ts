// The rules every plan keeps, found by walking through it: memory is large enough, and what is read is what was written.
import { formatType, VerifyError } from "../core/index.ts";
import { ALIGNMENT } from "./encode.ts";
import { bufferBytes } from "./bytes.ts";
import type { BufferId, KernelCall, LoopCall, Place, Plan, PlanBuffer, PlanStep } from "./plan.ts";

/**
 * Throws VerifyError unless every buffer lies inside its memory, every read finds what was last written there under the
 * same place, and outputs are complete. Loops are walked through twice: what a second turn reads must have survived the first.
 */
export function verifyPlan(plan: Plan): void {
  checkBounds(plan);
  const walk = new Walk(plan);
  for (const id of [...plan.inputs, ...plan.constants.map(({ buffer }) => buffer)]) walk.write(id);
  walk.steps(plan.steps);
  plan.outputs.forEach((id, o) => walk.read(id, `output ${o}`));
}

function checkBounds(plan: Plan): void {
  const sizes = new Map<number, number>();
  for (const id of [...plan.inputs, ...plan.constants.map(({ buffer }) => buffer), ...plan.outputs]) {
    const { place } = plan.buffers[id]!;
    if (place.kind !== "external") throw new VerifyError("plan", `${describe(plan, id)} must have a slot of its own`);
    sizes.set(place.slot, bufferBytes(plan.buffers[id]!));
  }
  for (const id of usedBuffers(plan.steps)) {
    const { place } = plan.buffers[id]!;
    const end = bufferBytes(plan.buffers[id]!) + (place.kind === "arena" ? place.offset : 0);
    const size = place.kind === "arena" ? plan.arenaBytes : (sizes.get(place.slot) ?? 0);
    if (end > size)
      throw new VerifyError("plan", `${describe(plan, id)} ends at ${end}, behind its memory of ${size} bytes`);
  }
}

// Numbers that every kernel took as a parameter are buffers without memory, and in no step.
function usedBuffers(steps: readonly PlanStep[]): Set<BufferId> {
  const used = new Set<BufferId>();
  for (const step of steps) {
    const ids =
      step.kind === "kernel"
        ? [...step.inputs, ...step.outputs]
        : [
            ...usedBuffers(step.body),
            ...[...step.reads, ...step.writes].flatMap(({ whole, part }) => [whole, part]),
            ...step.carries.flatMap(({ from, to }) => [from, to]),
          ];
    for (const id of ids) used.add(id);
  }
  return used;
}

function describe({ buffers }: Plan, id: BufferId): string {
  const { place } = buffers[id]!;
  return `buffer ${id} (${formatType(buffers[id]!)} at ${place.kind === "arena" ? `@${place.offset}` : `$${place.slot}`})`;
}

// A run without numbers: who wrote each stretch of memory last.
class Walk {
  readonly #plan: Plan;
  /** The number of the last write of each stretch: of the arena under "arena", of slots under theirs. */
  readonly #memory = new Map<string, number[]>();
  /** The place of each write. */
  readonly #places: Place[] = [];
  /** The write that each buffer stands for. */
  readonly #writes = new Map<BufferId, number>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  steps(steps: readonly PlanStep[]): void {
    for (const step of steps) {
      if (step.kind === "kernel") this.#call(step);
      else this.#loop(step);
    }
  }

  write(id: BufferId): void {
    const buffer = this.#plan.buffers[id]!;
    const number = this.#places.push(buffer.place) - 1;
    this.#stretches(buffer).fill(number);
    this.#writes.set(id, number);
  }

  read(id: BufferId, reader: string): void {
    const buffer = this.#plan.buffers[id]!;
    for (const found of this.#stretches(buffer).found) {
      // A view stands for what it sees when it is first read.
      if (found !== undefined && !this.#writes.has(id) && this.#places[found] === buffer.place)
        this.#writes.set(id, found);
      if (found !== undefined && found === this.#writes.get(id)) continue;
      const fate = found === undefined ? "was never written" : "was overwritten";
      throw new VerifyError("plan", `${reader} reads ${describe(this.#plan, id)}, which ${fate}`);
    }
  }

  #call({ op, inputs, outputs }: KernelCall): void {
    for (const id of inputs) this.read(id, op);
    for (const id of outputs) this.write(id);
    // Each result must have survived the writing of the others.
    for (const id of outputs) this.read(id, op);
    // A result may stand where an operand stood, never across one.
    for (const id of inputs) {
      const buffer = this.#plan.buffers[id]!;
      const crossed = (found: number | undefined): boolean =>
        found !== this.#writes.get(id) && this.#places[found!] !== buffer.place;
      if (!this.#stretches(buffer).found.some(crossed)) continue;
      throw new VerifyError("plan", `${op} writes across ${describe(this.#plan, id)}, which it reads`);
    }
  }

  #loop({ count, reads, body, writes, carries }: LoopCall): void {
    for (const { whole } of writes) this.write(whole);
    for (let turn = 0; turn < Math.min(2, count); turn++) {
      const before = this.#places.length;
      for (const { whole, part } of reads) {
        this.read(whole, "loop");
        this.write(part);
      }
      this.steps(body);
      for (const { whole, part } of writes) {
        this.read(part, "loop");
        this.read(whole, "loop");
      }
      for (const { from, to } of carries) {
        this.read(from, "loop");
        this.write(to);
      }
      // Views of this turn's values, and of the carries, stand for others in the next.
      const carried = new Set(carries.map(({ to }) => this.#plan.buffers[to]!.place));
      const kept = new Set(carries.map(({ to }) => to));
      for (const [id, write] of this.#writes) {
        if (!kept.has(id) && (write >= before || carried.has(this.#places[write]!))) this.#writes.delete(id);
      }
    }
  }

  #stretches(buffer: PlanBuffer): { found: readonly (number | undefined)[]; fill: (number: number) => void } {
    const { place } = buffer;
    const key = place.kind === "arena" ? "arena" : String(place.slot);
    let memory = this.#memory.get(key);
    if (memory === undefined) this.#memory.set(key, (memory = []));
    const start = place.kind === "arena" ? place.offset / ALIGNMENT : 0;
    const end = start + Math.ceil(bufferBytes(buffer) / ALIGNMENT);
    const stretches = memory;
    return {
      found: Array.from({ length: end - start }, (_, i) => stretches[start + i]),
      fill: (number) => {
        for (let i = start; i < end; i++) stretches[i] = number;
      },
    };
  }
}
