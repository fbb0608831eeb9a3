// Driver: what the native addon and the WebAssembly module have in common. Memory is numbers, plans are streams of words.
import type { TypedArray } from "../../core/index.ts";

/** Why a stream stopped: the number of the kernel call, the value it met, and the limit it had to stay below. */
export type Failure = readonly [call: number, value: number, limit: number];

/** A stream with its arena. */
export interface DriverPlan {
  /** `slots`: addresses of the external slots. */
  run(slots: Float64Array): Failure | undefined;
  runAsync(slots: Float64Array): Promise<Failure | undefined>;
  unload(): void;
}

/** A machine that executes encoded plans. */
export interface Driver {
  readonly name: string;
  /** Kernels by opcode, as the binary reports them. */
  readonly kernels: readonly string[];
  /** Instructions of the loop kernel by number. */
  readonly loopOps: readonly string[];
  readonly threads: number;
  describe(): string;
  /** Memory of at least so many bytes, 64-byte aligned; 0 where there is none. */
  alloc(bytes: number): number;
  free(address: number): void;
  fill(address: number, bytes: number, byte: number): void;
  write(address: number, from: TypedArray): void;
  read(address: number, into: TypedArray): void;
  /** `poison` fills the arena with NaN bits before each run. */
  load(stream: Int32Array, options: { arenaBytes: number; slots: number; poison: boolean }): DriverPlan;
}
