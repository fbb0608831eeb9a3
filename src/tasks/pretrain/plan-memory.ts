// How much memory a run takes: what its programs hold, what the process is besides, and what this machine has.
import { freemem, totalmem } from "node:os";
import type { ProgramMemory } from "./plan-program.ts";

/** Memory of a run in bytes. */
export interface PlanMemory extends ProgramMemory {
  /** What a step needs on the way where gradients do not lie (yet): `arena − gradients`. */
  readonly activations: number;
  /** Tokens in memory. */
  readonly data: number;
  /** The program itself: Node, code, compiled plans. */
  readonly process: number;
  /** Copies of the state while a checkpoint is written. */
  readonly checkpoint: number;
  /** Resident size of a process that only trains: process, data, weights, optimizer, arena. */
  readonly training: number;
  /** Largest resident size of the run: evaluation, samples and checkpoints too. */
  readonly peak: number;
}

/** What a process has to do with. */
export interface Machine {
  /** Bytes a process may have: of the machine, or of its container where that is less. */
  readonly limit: number;
  /** Of these, what is not in use by others now. */
  readonly available: number;
}

/** What the heap of JavaScript and the kernels' own rooms grow by once steps run; measured, see decision 0025. */
const RUNNING = 20 * 2 ** 20;

/** Memory of a run from that of its programs; `process` is the resident size before anything of it lies in memory. */
export function memoryOf(
  program: ProgramMemory,
  { data, process: own }: { readonly data: number; readonly process: number },
): PlanMemory {
  const { weights, optimizer, gradients, arena, evaluation, cache } = program;
  const running = own + RUNNING;
  const state = weights + optimizer;
  // A checkpoint is arrays read from the device, then the bytes of its files: both are there at the same time.
  const checkpoint = 2 * state;
  const training = running + data + state + arena;
  return {
    ...program,
    activations: Math.max(0, arena - gradients),
    data,
    process: running,
    checkpoint,
    training,
    peak: training + evaluation + cache + checkpoint,
  };
}

/** The memory of this machine; `limit` in its place plans for another one. */
export function machineMemory(limit?: number): Machine {
  if (limit !== undefined) return { limit, available: limit };
  const constrained = process.constrainedMemory?.() ?? 0;
  // Without a limit it is 0, undefined, or a number larger than any memory.
  const whole = constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
  return { limit: whole, available: Math.min(whole, freemem() + process.memoryUsage.rss()) };
}
