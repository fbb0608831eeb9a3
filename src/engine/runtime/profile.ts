// Where the time of a compiled program goes: each kernel call with its flops, bytes, time and share of the machine's peak.
import { ArgumentError, HostArray, type TensorType } from "../core/index.ts";
import { matmul } from "../ops/index.ts";
import { bufferBytes, type KernelCall, type Plan, type PlanStep } from "../plan/index.ts";
import { trace } from "../program/index.ts";
import type { DeviceArray } from "./device-array.ts";
import type { Device } from "./device.ts";
import type { Executable } from "./executable.ts";
import { printProfile } from "./profile-text.ts";

/** One kernel call of a plan; in a loop, all its turns together. */
export interface ProfiledCall {
  /** Its number in the plan. */
  readonly call: number;
  readonly kernel: string;
  /** What it does, for people. */
  readonly op: string;
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly TensorType[];
  /** How often a run makes it: the turns of the loops around it. */
  readonly turns: number;
  readonly flops: number;
  /** Read and written, each operand counted once. */
  readonly bytes: number;
  /** Of one run: the median of the runs. */
  readonly seconds: number;
  /** Flops a second through the best matrix product of this device; 0 for calls that count no flops. */
  readonly peakShare: number;
}

/** All calls of one kernel together. */
export interface ProfiledKind {
  readonly kernel: string;
  readonly calls: number;
  readonly flops: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** A pass of the compiler that changed the program. */
export interface ChangingPass {
  readonly pass: string;
  /** Equations before and after. */
  readonly before: number;
  readonly after: number;
}

/** Where the time of a compiled program goes. `toString()` prints every call. */
export class Profile {
  readonly device: string;
  readonly threads: number;
  readonly calls: readonly ProfiledCall[];
  /** The slowest first. */
  readonly kinds: readonly ProfiledKind[];
  readonly passes: readonly ChangingPass[];
  /** Of one whole run without clocks: the median. */
  readonly seconds: number;
  readonly arenaBytes: number;
  /** Floating-point operations a second of the best matrix product measured on this device. */
  readonly peak: number;

  constructor(parts: Omit<Profile, "kinds" | "kernelSeconds" | "flops" | "text" | "toString">) {
    this.device = parts.device;
    this.threads = parts.threads;
    this.calls = parts.calls;
    this.kinds = kindsOf(parts.calls);
    this.passes = parts.passes;
    this.seconds = parts.seconds;
    this.arenaBytes = parts.arenaBytes;
    this.peak = parts.peak;
  }

  /** Seconds spent inside kernels. */
  get kernelSeconds(): number {
    return this.calls.reduce((sum, { seconds }) => sum + seconds, 0);
  }

  get flops(): number {
    return this.calls.reduce((sum, { flops }) => sum + flops, 0);
  }

  /** As text: every call in the plan's order, or so many of the slowest. */
  text({ slowest }: { readonly slowest?: number } = {}): string {
    return printProfile(this, slowest);
  }

  toString(): string {
    return this.text();
  }
}

function kindsOf(calls: readonly ProfiledCall[]): ProfiledKind[] {
  const kinds = new Map<string, ProfiledKind>();
  for (const { kernel, flops, bytes, seconds } of calls) {
    const { calls, ...sum } = kinds.get(kernel) ?? { calls: 0, flops: 0, bytes: 0, seconds: 0 };
    kinds.set(kernel, {
      kernel,
      calls: calls + 1,
      flops: sum.flops + flops,
      bytes: sum.bytes + bytes,
      seconds: sum.seconds + seconds,
    });
  }
  return [...kinds.values()].sort((a, b) => b.seconds - a.seconds);
}

export interface ProfileOptions {
  /** Timed runs, of which the medians are told; default 11, fewer where they would take more than two seconds. */
  readonly runs?: number;
}

/**
 * Runs a compiled program some times with a clock at each kernel call. Donated inputs are copied: the given arrays stay.
 * Throws BackendError on a device without clocks (the reference).
 */
export function profile(
  executable: Executable,
  inputs: readonly DeviceArray[],
  { runs = 11 }: ProfileOptions = {},
): Profile {
  if (!Number.isInteger(runs) || runs < 1)
    throw new ArgumentError("profile", `\`runs\` is a whole number from 1: received ${runs}`);
  const { device, plan } = executable;
  const arrays = new Inputs(executable, inputs);
  const warm = seconds(() => arrays.next(executable.profile(arrays.current).outputs));
  const count = Math.max(1, Math.min(runs, Math.floor(1 / warm)));
  const whole: number[] = [];
  const each: Float64Array[] = [];
  for (let i = 0; i < count; i++) {
    whole.push(seconds(() => arrays.next(executable.run(arrays.current))));
    const { outputs, seconds: times } = executable.profile(arrays.current);
    arrays.next(outputs);
    each.push(times);
  }
  arrays.dispose();
  const peak = peakOf(device);
  return new Profile({
    device: device.name,
    threads: device.threads,
    calls: callsOf(plan, (call) => median(each.map((times) => times[call]!)), peak),
    passes: executable.passes.filter(({ pass, changed }) => changed && pass !== "lower"),
    seconds: median(whole),
    arenaBytes: plan.arenaBytes,
    peak,
  });
}

// The inputs of run after run: donated ones are copies, replaced by the outputs that took their memory.
class Inputs {
  current: DeviceArray[];
  readonly #executable: Executable;
  readonly #copies: ReadonlyMap<number, HostArray>;

  constructor(executable: Executable, inputs: readonly DeviceArray[]) {
    this.#executable = executable;
    this.#copies = new Map(executable.donated.map((i) => [i, inputs[i]!.read()]));
    this.current = [...inputs];
    for (const i of this.#copies.keys()) this.current[i] = this.#copy(i, inputs[i]!);
  }

  next(outputs: readonly DeviceArray[]): void {
    const { donations } = this.#executable.plan;
    const before = this.current;
    this.current = [...before];
    const taken = new Set<number>();
    outputs.forEach((output, o) => {
      const from = donations[o]!;
      if (from === -1) return output.dispose();
      this.current[from] = output;
      taken.add(from);
    });
    for (const i of this.#copies.keys()) if (!taken.has(i)) this.current[i] = this.#copy(i, before[i]!);
  }

  dispose(): void {
    for (const i of this.#copies.keys()) this.current[i]!.dispose();
  }

  #copy(i: number, type: TensorType): DeviceArray {
    return this.#executable.device.put(this.#copies.get(i)!, { dtype: type.dtype, shape: type.shape });
  }
}

function callsOf(plan: Plan, timeOf: (call: number) => number, peak: number): ProfiledCall[] {
  const calls: ProfiledCall[] = [];
  const types = (ids: readonly number[]): TensorType[] =>
    ids.map((id) => ({ dtype: plan.buffers[id]!.dtype, shape: plan.buffers[id]!.shape }));
  const add = ({ kernel, op, inputs, outputs, ...call }: KernelCall, turns: number): void => {
    const seconds = timeOf(calls.length);
    const flops = call.flops * turns;
    const bytes = [...inputs, ...outputs].reduce((sum, id) => sum + bufferBytes(plan.buffers[id]!), 0) * turns;
    const peakShare = flops > 0 && seconds > 0 ? flops / seconds / peak : 0;
    calls.push({
      call: calls.length,
      kernel,
      op,
      inputs: types(inputs),
      outputs: types(outputs),
      turns,
      flops,
      bytes,
      seconds,
      peakShare,
    });
  };
  const walk = (steps: readonly PlanStep[], turns: number): void => {
    for (const step of steps) {
      if (step.kind === "kernel") add(step, turns);
      else walk(step.body, turns * step.count);
    }
  };
  walk(plan.steps, 1);
  return calls;
}

const peaks = new WeakMap<Device, number>();

/** Floating-point operations a second of the best of some matrix products, measured once for each device of a process. */
export function peakOf(device: Device): number {
  let peak = peaks.get(device);
  if (peak === undefined) peaks.set(device, (peak = Math.max(...[512, 1024].map((n) => productRate(device, n)))));
  return peak;
}

function productRate(device: Device, n: number): number {
  const type: TensorType = { dtype: "float32", shape: [n, n] };
  const executable = device.executable(trace([type, type], ([a, b]) => [matmul(a!, b!)]).program);
  const array = new HostArray("float32", type.shape);
  for (let i = 0; i < array.size; i++) array.data[i] = ((i * 37) % 101) / 101;
  const input = device.put(array, type);
  let best = Infinity;
  const began = performance.now();
  for (let i = 0; i < 12 && performance.now() - began < 500; i++)
    best = Math.min(
      best,
      seconds(() => executable.run([input, input]).forEach((output) => output.dispose())),
    );
  input.dispose();
  return (2 * n ** 3) / best;
}

function seconds(run: () => void): number {
  const start = performance.now();
  run();
  return (performance.now() - start) / 1000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
