// Executable: a program compiled for a device and ready to run on its arrays.
import { BackendError, formatType, sameType, ShapeError } from "../core/index.ts";
import type { LoadedPlan, Memory } from "../backend/index.ts";
import { compile, type PassReport } from "../compile/index.ts";
import type { Plan } from "../plan/index.ts";
import type { Program } from "../program/index.ts";
import { DeviceArray } from "./device-array.ts";
import type { Device } from "./device.ts";
import { planTurns, type Repetition } from "./turns.ts";

/** What turns left: carried outputs as the last turn left them, the others stacked along a new first axis. */
export interface Repeated {
  /** Turns done: only so many slices of the stacked outputs were written. */
  readonly done: number;
  readonly outputs: readonly DeviceArray[];
}

/** Turns made ready, to be run once: on the caller's thread or off the event loop. */
export interface Turnable {
  run(): Repeated;
  runAsync(): Promise<Repeated>;
}

/** A compiled program. Calls with donated inputs take their memory over; those arrays are gone afterwards. */
export class Executable {
  readonly device: Device;
  readonly program: Program;
  readonly plan: Plan;
  /** What each pass of the compiler did to the program. */
  readonly passes: readonly PassReport[];
  readonly #donate: readonly number[];
  readonly #constants: readonly { slot: number; array: DeviceArray }[];
  #loaded: LoadedPlan | undefined;
  #running = 0;

  constructor(device: Device, program: Program, donate: readonly number[]) {
    this.device = device;
    this.program = program;
    this.#donate = donate;
    const passes: PassReport[] = [];
    const onPass = (report: PassReport): void => void passes.push(report);
    this.plan = compile(program, device.backend, { donate, verify: verifying(), onPass });
    this.passes = passes;
    this.#constants = this.plan.constants.map(({ buffer, array }) => ({
      slot: this.#slot(buffer),
      array: device.put(array, this.plan.buffers[buffer]!),
    }));
  }

  /** Runs on the caller's thread. */
  run(inputs: readonly DeviceArray[]): DeviceArray[] {
    const { slots, outputs } = this.#prepare(inputs);
    this.#load().run(slots);
    return this.#finish(inputs, outputs);
  }

  /** Runs as `run` does, and tells the seconds spent in each kernel call. */
  profile(inputs: readonly DeviceArray[]): { readonly outputs: DeviceArray[]; readonly seconds: Float64Array } {
    const loaded = this.#load();
    if (loaded.profile === undefined)
      throw new BackendError(this.device.name, "has no clock for its kernel calls", {
        hint: "profile on the native or the wasm device",
      });
    const { slots, outputs } = this.#prepare(inputs);
    const seconds = loaded.profile(slots);
    return { outputs: this.#finish(inputs, outputs), seconds };
  }

  /** The inputs that are gone after a call. */
  get donated(): readonly number[] {
    return this.#donate;
  }

  /** Runs off the event loop where the backend can. Donated inputs must not be touched until it settles. */
  async runAsync(inputs: readonly DeviceArray[]): Promise<DeviceArray[]> {
    const { slots, outputs } = this.#prepare(inputs);
    this.#running++;
    try {
      await this.#load().runAsync(slots);
    } finally {
      this.#running--;
    }
    return this.#finish(inputs, outputs);
  }

  /** Turns of this program that follow each other without JavaScript in between; undefined where that cannot be. */
  repeat(inputs: readonly DeviceArray[], how: Repetition): Turnable | undefined {
    const { device, plan } = this;
    const loaded = this.#load();
    const planned = planTurns(plan, how, this.#donate);
    if (planned === undefined || loaded.repeat === undefined || loaded.repeatAsync === undefined) return undefined;
    const slots = new Array<Memory>(plan.slots);
    plan.inputs.forEach((buffer, i) => {
      const type = plan.buffers[buffer]!;
      const given = inputs[i];
      const expected = how.slices.includes(i) ? { ...type, shape: [how.count, ...type.shape] } : type;
      if (given === undefined || !sameType(given, expected))
        throw new ShapeError(
          "repeat",
          `input ${i} must be ${formatType(expected)}: received ${given === undefined ? "nothing" : formatType(given)}`,
        );
      slots[this.#slot(buffer)] = given.memory;
    });
    for (const { slot, array } of this.#constants) slots[slot] = array.memory;
    const carried = new Set(how.carry.map(([, o]) => o));
    const outputs = plan.outputs.map((buffer, o) => {
      if (plan.donations[o] !== -1) return undefined;
      const type = plan.buffers[buffer]!;
      const array = device.empty(carried.has(o) ? type : { ...type, shape: [how.count, ...type.shape] });
      slots[this.#slot(buffer)] = array.memory;
      return array;
    });
    const finish = (done: number): Repeated => {
      const now = movedOn(slots, planned.from, done - 1);
      // All memory of the carried values is taken from its old arrays, then given to the new ones.
      const held = new Set(how.carry.map(([i]) => inputs[i]!.donate()));
      for (const [, o] of how.carry) if (outputs[o] !== undefined) held.add(outputs[o].donate());
      const results = plan.outputs.map((buffer, o) => {
        if (!carried.has(o)) return outputs[o]!;
        const memory = now[this.#slot(buffer)]!;
        held.delete(memory);
        return new DeviceArray(device.backend, plan.buffers[buffer]!, memory);
      });
      for (const memory of held) device.backend.free(memory);
      return { done, outputs: results };
    };
    return {
      run: () => finish(loaded.repeat!(slots, planned)),
      runAsync: async () => {
        this.#running++;
        try {
          return finish(await loaded.repeatAsync!(slots, planned));
        } finally {
          this.#running--;
        }
      },
    };
  }

  /** Gives the arena back; the next run loads the plan again. */
  release(): void {
    if (this.#running > 0) return; // a run under way keeps it
    this.#loaded?.dispose();
    this.#loaded = undefined;
  }

  #load(): LoadedPlan {
    return (this.#loaded ??= this.device.backend.load(this.plan));
  }

  #slot(buffer: number): number {
    const { place } = this.plan.buffers[buffer]!;
    return place.kind === "external" ? place.slot : -1;
  }

  #prepare(inputs: readonly DeviceArray[]): { slots: Memory[]; outputs: Map<number, DeviceArray> } {
    const { plan } = this;
    const slots = new Array<Memory>(plan.slots);
    plan.inputs.forEach((buffer, i) => {
      const array = inputs[i];
      if (array === undefined || !sameType(array, plan.buffers[buffer]!)) {
        const received = array === undefined ? "nothing" : formatType(array);
        throw new ShapeError("run", `input ${i} must be ${formatType(plan.buffers[buffer]!)}: received ${received}`);
      }
      slots[this.#slot(buffer)] = array.memory;
    });
    for (const { slot, array } of this.#constants) slots[slot] = array.memory;
    const outputs = new Map<number, DeviceArray>();
    plan.outputs.forEach((buffer, o) => {
      if (plan.donations[o] !== -1) return;
      const array = this.device.empty(plan.buffers[buffer]!);
      outputs.set(o, array);
      slots[this.#slot(buffer)] = array.memory;
    });
    return { slots, outputs };
  }

  #finish(inputs: readonly DeviceArray[], outputs: ReadonlyMap<number, DeviceArray>): DeviceArray[] {
    const { plan, device } = this;
    const taken = new Map<number, Memory>();
    // A donated input is gone even where no output could take its memory: the same program behaves the same everywhere.
    for (const i of this.#donate) {
      const memory = inputs[i]!.donate();
      if (plan.donations.includes(i)) taken.set(i, memory);
      else device.backend.free(memory);
    }
    return plan.outputs.map((buffer, o) => {
      const from = plan.donations[o]!;
      return from === -1 ? outputs.get(o)! : new DeviceArray(device.backend, plan.buffers[buffer]!, taken.get(from)!);
    });
  }
}

// Which memory each slot has after so many turns.
function movedOn(slots: readonly Memory[], from: readonly number[], turns: number): readonly Memory[] {
  if (from.every((slot, i) => slot === i)) return slots;
  let [now, next] = [[...slots], [...slots]];
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < from.length; i++) next[i] = now[from[i]!]!;
    [now, next] = [next, now];
  }
  return now;
}

function verifying(): boolean {
  return typeof process !== "undefined" && process.env["CHAINRULE_VERIFY"] === "1";
}
