// lower: equations become kernel calls, values become buffers. Views share the place of what they view.
import { BackendError, sizeOf, type HostArray, type TensorType } from "../core/index.ts";
import type { LowerContext } from "../backend/index.ts";
import { broadcast, constant, copy, full } from "../ops/index.ts";
import {
  bufferBytes,
  Plan,
  type BufferId,
  type KernelCall,
  type LoopSlice,
  type Place,
  type PlanBuffer,
  type PlanStep,
} from "../plan/index.ts";
import type { Equation, LoopBody, OpRecord, Program, Value } from "../program/index.ts";
import { planMemory } from "./memory.ts";
import type { Target } from "./target.ts";

export interface LowerOptions {
  readonly target: Target;
  /** Inputs whose memory the outputs may take over. */
  readonly donate: readonly number[];
  /** The passes, for the bodies of loops. */
  readonly optimizeBody: (body: Program) => Program;
}

/** What the memory planner may change: a place not yet decided. */
export interface Root {
  place: Place | undefined;
}

/** A buffer under construction: several views may share one root. */
export interface DraftBuffer extends TensorType {
  readonly root: Root;
}

/** A call that may put output `o` where input `i` was, for each pair [o, i]. */
export type InplacePairs = ReadonlyMap<KernelCall, readonly (readonly [number, number])[]>;

type Env = Map<Value, BufferId>;

/** Turns an optimized program into a plan. */
export function lower(program: Program, options: LowerOptions): Plan {
  return new Lowering(options).run(program);
}

class Lowering {
  readonly #options: LowerOptions;
  readonly #buffers: DraftBuffer[] = [];
  readonly #constants: { buffer: BufferId; array: HostArray }[] = [];
  readonly #inplace = new Map<KernelCall, readonly (readonly [number, number])[]>();
  /** What buffers hold everywhere, where that is one known number. */
  readonly #numbers = new Map<BufferId, number>();
  /** Buffers that repeat the one element of another. */
  readonly #singles = new Map<BufferId, BufferId>();
  /** Those of either kind that no kernel has read yet, with what would write them. */
  readonly #unwritten = new Map<BufferId, { op: OpRecord<never>; attrs: never; inputs: BufferId[] }>();
  /** Roots written by a kernel of this plan, with their bytes: the only ones an output may take as its own. */
  readonly #written = new Map<Root, number>();

  constructor(options: LowerOptions) {
    this.#options = options;
  }

  run(program: Program): Plan {
    const env: Env = new Map();
    const steps: PlanStep[] = [];
    const inputs = program.inputs.map((value, slot) => {
      const id = this.#buffer(value, { place: { kind: "external", slot } });
      env.set(value, id);
      return id;
    });
    this.#block(program, env, steps);
    const outputs = program.outputs.map((value) => this.#ownOutput(env.get(value)!, steps));

    // Slots after the inputs: constants, then outputs that take over no input.
    let slot = inputs.length;
    for (const { buffer } of this.#constants) this.#buffers[buffer]!.root.place = { kind: "external", slot: slot++ };
    const donations = planMemory({
      buffers: this.#buffers,
      steps,
      inputs,
      outputs,
      inplace: this.#inplace,
      donate: this.#options.donate,
      firstSlot: slot,
    });
    return new Plan({
      // Numbers that every kernel took as a parameter have no memory; nothing refers to these buffers.
      buffers: this.#buffers.map(({ dtype, shape, root }): PlanBuffer => ({
        dtype,
        shape,
        place: root.place ?? { kind: "arena", offset: 0 },
      })),
      steps,
      arenaBytes: donations.arenaBytes,
      inputs,
      outputs,
      donations: donations.donations,
      constants: this.#constants,
    });
  }

  #buffer(type: TensorType, root: Root = { place: undefined }): BufferId {
    this.#buffers.push({ dtype: type.dtype, shape: type.shape, root });
    return this.#buffers.length - 1;
  }

  #block(program: Program, env: Env, steps: PlanStep[]): void {
    for (const equation of program.equations) {
      const loop = equation.op.loop?.(equation.attrs);
      if (loop !== undefined) this.#loop(equation, loop, env, steps);
      else this.#equation(equation, env, steps);
    }
  }

  #equation({ op, inputs, attrs, outputs }: Equation, env: Env, steps: PlanStep[]): void {
    if (op === (constant.op as never)) {
      const { array } = attrs as { array: HostArray };
      const buffer = this.#buffer(outputs[0]!);
      this.#constants.push({ buffer, array });
      env.set(outputs[0]!, buffer);
      return;
    }
    const sources = inputs.map((value) => env.get(value)!);
    if (this.#isUniform(op, inputs)) {
      // The same number everywhere: written out only where a kernel wants it so, most take the number or its one place.
      const id = this.#buffer(outputs[0]!);
      if (sources.length === 0) this.#numbers.set(id, (attrs as { value: number }).value);
      else this.#singles.set(id, sources[0]!);
      this.#unwritten.set(id, { op, attrs, inputs: sources });
      env.set(outputs[0]!, id);
      return;
    }
    const ids = this.#call(op, { inputs: sources, attrs, outputs }, steps);
    outputs.forEach((output, i) => env.set(output, ids[i]!));
  }

  #isUniform(op: OpRecord<never>, inputs: readonly Value[]): boolean {
    return op === (full.op as never) || (op === (broadcast.op as never) && sizeOf(inputs[0]!.shape) === 1);
  }

  // Writes a buffer that so far was only known to hold one number everywhere.
  #fill(id: BufferId, steps: PlanStep[]): void {
    const deferred = this.#unwritten.get(id);
    if (deferred === undefined) return;
    this.#unwritten.delete(id);
    const { op, attrs, inputs } = deferred;
    const [filled] = this.#call(op, { inputs, attrs, outputs: [this.#buffers[id]!] }, steps);
    this.#buffers[id] = { ...this.#buffers[id]!, root: this.#buffers[filled!]!.root };
  }

  // Adds the call of an op on buffers; returns the buffers of its outputs.
  #call(
    op: OpRecord<never>,
    { inputs, attrs, outputs }: { inputs: BufferId[]; attrs: never; outputs: readonly TensorType[] },
    steps: PlanStep[],
  ): BufferId[] {
    const constants = inputs.map((id) => this.#numbers.get(id));
    const single = inputs.map((id) => sizeOf(this.#buffers[id]!.shape) === 1 || this.#singles.has(id));
    const context: LowerContext<never> = {
      op,
      attrs,
      inputs: inputs.map((id) => this.#buffers[id]!),
      outputs,
      constants,
      single,
    };
    const lowered = this.#options.target.lower(context);
    if (lowered === undefined) throw new BackendError(this.#options.target.name, `has no kernel for \`${op.name}\``);
    const { reads = inputs.map((_, i) => i), singles = [] } = "view" in lowered ? {} : lowered;
    const operands = reads.map((i) =>
      singles.includes(i) ? (this.#singles.get(inputs[i]!) ?? inputs[i]!) : inputs[i]!,
    );
    for (const id of operands) this.#fill(id, steps);
    if ("view" in lowered) return [this.#buffer(outputs[0]!, this.#buffers[inputs[lowered.view]!]!.root)];
    const ids = [...outputs, ...(lowered.scratch ?? [])].map((type) => this.#buffer(type));
    for (const id of ids) this.#write(id);
    const { kernel, label = op.name, params, flops = 0, host, inplace } = lowered;
    const call: KernelCall = {
      kind: "kernel",
      kernel,
      op: label,
      inputs: operands,
      outputs: ids,
      params,
      flops,
      ...(host === undefined ? {} : { host }),
    };
    if (inplace !== undefined) this.#inplace.set(call, inplace);
    steps.push(call);
    return ids.slice(0, outputs.length);
  }

  #copy(from: BufferId, steps: PlanStep[]): BufferId {
    return this.#call(
      copy.op as never,
      { inputs: [from], attrs: {} as never, outputs: [this.#buffers[from]!] },
      steps,
    )[0]!;
  }

  #write(id: BufferId): void {
    this.#written.set(this.#buffers[id]!.root, bufferBytes(this.#buffers[id]!));
  }

  // An output needs memory of its own: inputs, constants, values that are already an output, and views of a part are copied.
  #ownOutput(id: BufferId, steps: PlanStep[]): BufferId {
    this.#fill(id, steps);
    const { root } = this.#buffers[id]!;
    const own = this.#written.get(root) === bufferBytes(this.#buffers[id]!) ? id : this.#copy(id, steps);
    this.#written.delete(this.#buffers[own]!.root);
    return own;
  }

  #loop({ inputs, outputs }: Equation, loop: LoopBody, env: Env, steps: PlanStep[]): void {
    const body = this.#options.optimizeBody(loop.body);
    const sources = inputs.map((value) => env.get(value)!);
    for (const id of sources) this.#fill(id, steps);
    const { consts, carries } = loop;
    const inner: Env = new Map();
    // The carries live in buffers of the loop, filled before it starts.
    const carried = sources.slice(consts, consts + carries).map((id) => this.#copy(id, steps));
    const reads: LoopSlice[] = [];
    body.inputs.forEach((value, i) => {
      if (i < consts) inner.set(value, sources[i]!);
      else if (i < consts + carries) inner.set(value, carried[i - consts]!);
      else {
        const part = this.#buffer(value);
        reads.push({ whole: sources[i]!, part });
        inner.set(value, part);
      }
    });
    const inside: PlanStep[] = [];
    const before = this.#buffers.length;
    this.#block(body, inner, inside);
    const results = body.outputs.map((value) => inner.get(value)!);
    for (const id of results) this.#fill(id, inside);
    // A new carry that lives in an old carry, or outside the body, would be overwritten before it is read: copy it out.
    const fresh = new Set<Root>();
    for (let id = before; id < this.#buffers.length; id++) fresh.add(this.#buffers[id]!.root);
    for (const id of carried) fresh.delete(this.#buffers[id]!.root);
    const next = results
      .slice(0, carries)
      .map((id) => (fresh.has(this.#buffers[id]!.root) ? id : this.#copy(id, inside)));
    const wholes = outputs.slice(carries).map((value) => this.#buffer(value));
    for (const id of wholes) this.#write(id);
    const writes = wholes.map((whole, i): LoopSlice => ({ whole, part: results[carries + i]! }));
    steps.push({
      kind: "loop",
      count: loop.length,
      reverse: loop.reverse,
      reads,
      body: inside,
      writes,
      carries: next.map((from, i) => ({ from, to: carried[i]! })),
    });
    outputs.forEach((output, i) => env.set(output, i < carries ? carried[i]! : wholes[i - carries]!));
  }
}
