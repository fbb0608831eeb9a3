// Plan: a program turned into kernel calls over planned buffers. Backends execute it in one call.
import type { DType, HostArray, Shape } from "../core/index.ts";
import { printPlan } from "./print.ts";

/** Number of a buffer in `plan.buffers`. */
export type BufferId = number;

/** Where a buffer lives: in the plan's one arena, or in memory handed in with each run (inputs, outputs, constants). */
export type Place = { readonly kind: "arena"; offset: number } | { readonly kind: "external"; readonly slot: number };

/** A stretch of memory with a type. Views share the place of what they view. */
export interface PlanBuffer {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly place: Place;
}

/** One kernel on some buffers. */
export interface KernelCall {
  readonly kind: "kernel";
  readonly kernel: string;
  /** The op it does the work of, for people. */
  readonly op: string;
  readonly inputs: readonly BufferId[];
  readonly outputs: readonly BufferId[];
  /** Sizes, strides, flags and float bits, as the kernel's comment in native/ lists them. */
  readonly params: readonly number[];
  readonly flops: number;
  /** The work in JavaScript, for backends that have no machine kernels. */
  readonly host?: HostKernel;
}

/** Float64 in, float64 out: how the reference backend does a call. */
export type HostKernel = (inputs: readonly Float64Array[]) => readonly Float64Array[];

/** A slice of `whole` along its first axis, copied to or from `part` in each turn of a loop. */
export interface LoopSlice {
  readonly whole: BufferId;
  readonly part: BufferId;
}

/** A body repeated `count` times. */
export interface LoopCall {
  readonly kind: "loop";
  readonly count: number;
  /** Last slice first. */
  readonly reverse: boolean;
  readonly reads: readonly LoopSlice[];
  readonly body: readonly PlanStep[];
  readonly writes: readonly LoopSlice[];
  /** After each turn `from` is copied to `to`, in order. */
  readonly carries: readonly { readonly from: BufferId; readonly to: BufferId }[];
}

export type PlanStep = KernelCall | LoopCall;

/** Everything a backend needs to turn inputs into outputs. */
export class Plan {
  readonly buffers: readonly PlanBuffer[];
  readonly steps: readonly PlanStep[];
  readonly arenaBytes: number;
  /** Buffers of the program's inputs and outputs, each with an external place. */
  readonly inputs: readonly BufferId[];
  readonly outputs: readonly BufferId[];
  /** For each output, the input whose memory it takes over (donated), or -1. */
  readonly donations: readonly number[];
  readonly constants: readonly { readonly buffer: BufferId; readonly array: HostArray }[];

  constructor(parts: {
    buffers: readonly PlanBuffer[];
    steps: readonly PlanStep[];
    arenaBytes: number;
    inputs: readonly BufferId[];
    outputs: readonly BufferId[];
    donations: readonly number[];
    constants: readonly { readonly buffer: BufferId; readonly array: HostArray }[];
  }) {
    this.buffers = parts.buffers;
    this.steps = parts.steps;
    this.arenaBytes = parts.arenaBytes;
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.donations = parts.donations;
    this.constants = parts.constants;
  }

  /** How many external slots a run hands in: inputs, constants, then outputs that take over no input. */
  get slots(): number {
    let count = 0;
    for (const { place } of this.buffers) if (place.kind === "external") count = Math.max(count, place.slot + 1);
    return count;
  }

  /** The plan as text: one call a line, with bytes and flops. */
  toString(): string {
    return printPlan(this);
  }
}

/** Calls `fn` on each kernel call, loops' bodies included, in order. */
export function forEachCall(steps: readonly PlanStep[], fn: (call: KernelCall) => void): void {
  for (const step of steps) {
    if (step.kind === "kernel") fn(step);
    else forEachCall(step.body, fn);
  }
}
