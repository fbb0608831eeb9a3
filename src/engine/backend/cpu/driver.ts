// Driver: what the native addon and the WebAssembly module have in common. Memory is numbers, plans are streams of words.
import type { TypedArray } from "../../core/index.ts";

/** Why a stream stopped: the number of the kernel call, the value it met, and the limit it had to stay below. */
export type Failure = readonly [call: number, value: number, limit: number];

/** A piece of memory. With an owner it lives as long as that object, and the garbage collector gives it back. */
export interface Block {
  readonly address: number;
  readonly owner?: object;
}

/** A stream with its arena. */
export interface DriverPlan {
  /** `slots`: addresses of the external slots. The time of each kernel call is added to `seconds`, if given. */
  run(slots: Float64Array, seconds?: Float64Array): Failure | undefined;
  runAsync(slots: Float64Array): Promise<Failure | undefined>;
  /** `turns`: count, last, from…, advance… as in `Turns`. */
  repeat?(slots: Float64Array, turns: Float64Array): Failure | number;
  repeatAsync?(slots: Float64Array, turns: Float64Array): Promise<Failure | number>;
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
  /** Makes `threads` another number; absent where it cannot be changed. */
  setThreads?(threads: number): void;
  /** Whether blocks have owners. */
  readonly collects: boolean;
  describe(): string;
  /** Memory of at least so many bytes, 64-byte aligned; `undefined` where there is none. */
  alloc(bytes: number): Block | undefined;
  /** Where the memory of a typed array lies; absent where plans cannot reach it. */
  addressOf?(array: TypedArray): number;
  /** Gives a block without an owner back. */
  free(block: Block): void;
  fill(address: number, bytes: number, byte: number): void;
  write(address: number, from: TypedArray): void;
  read(address: number, into: TypedArray): void;
  /** `poison` fills the arena with NaN bits before each run. */
  load(stream: Int32Array, options: { arenaBytes: number; slots: number; poison: boolean }): DriverPlan;
}
