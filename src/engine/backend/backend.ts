// The interface of a backend: memory, a kernel table, and the execution of whole plans.
import type { HostArray, TensorType } from "../core/index.ts";
import type { HostKernel, Plan } from "../plan/index.ts";
import type { Attrs, OpRecord } from "../program/index.ts";

/** How an equation becomes work: a kernel, or a view of one of its inputs where nothing has to move. */
export type Lowered = KernelSpec | { readonly view: number };

export interface KernelSpec {
  readonly kernel: string;
  /** What it does, for people; the op's name unless said. */
  readonly label?: string;
  /** Int32 words; floats by `floatBits`. */
  readonly params: readonly number[];
  /** Inputs the kernel reads, in this order; all unless said. Numbers known from `constants` can be parameters instead. */
  readonly reads?: readonly number[];
  /** Those of the inputs read whose one element is enough, where `single` said that they have just one. */
  readonly singles?: readonly number[];
  readonly flops?: number;
  /** Pairs [output, input], inputs numbered as in `reads`: the output may take the input's memory if the input dies here. */
  readonly inplace?: readonly (readonly [number, number])[];
  /** Types of memory the kernel needs besides; given as further outputs behind the op's own. */
  readonly scratch?: readonly TensorType[];
  readonly host?: HostKernel;
}

/** What an equation looks like to a kernel table. */
export interface LowerContext<A extends Attrs = Attrs> {
  readonly op: OpRecord<A>;
  readonly attrs: A;
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly TensorType[];
  /** For each input the number it holds everywhere, where that is known. */
  readonly constants?: readonly (number | undefined)[];
  /** For each input whether it is one element, repeated: a kernel may read that element alone. */
  readonly single?: readonly boolean[];
}

/** A piece of a backend's memory; opaque to all others. */
export interface Memory {
  readonly bytes: number;
}

/** Runs of one plan, each with the memory that the one before leaves to it. */
export interface Turns {
  readonly count: number;
  /** Slot of a bool: a turn that leaves false there is the last; -1 for none. */
  readonly last: number;
  /** After a turn, slot i is given the memory that slot `from[i]` had … */
  readonly from: readonly number[];
  /** … moved on by so many bytes. */
  readonly advance: readonly number[];
}

/** A plan made ready to run. */
export interface LoadedPlan {
  /** Runs on the caller's thread. `slots`: memory of each external slot of the plan. Throws IndexError if a kernel met an index out of range. */
  run(slots: readonly Memory[]): void;
  /** As `run`, with a clock: the seconds spent in each kernel call, numbered as `forEachCall` does; absent where there is no clock. */
  profile?(slots: readonly Memory[]): Float64Array;
  /** Runs off the event loop where the backend can; the memory must stay untouched until it settles. */
  runAsync(slots: readonly Memory[]): Promise<void>;
  /**
   * Several runs, one after the other; absent where a loop in JavaScript is as good. Gives the turns done: fewer where
   * one of them said that it is the last. Throws IndexError where the first one fails; a later one ends the turns before it.
   */
  repeat?(slots: readonly Memory[], turns: Turns): number;
  repeatAsync?(slots: readonly Memory[], turns: Turns): Promise<number>;
  /** Gives the arena and the stream back. */
  dispose(): void;
}

/** Turns plans into numbers. It never sees a parameter or a layer. */
export interface Backend {
  readonly name: string;
  /** What runs and why: processor features, threads, build. */
  describe(): string;
  readonly threads: number;
  /** Makes `threads` another number; absent where it cannot be changed. Results do not depend on it. */
  setThreads?(threads: number): void;
  /** Whether memory nobody refers to is given back by the garbage collector alone; `free` then only makes it sooner. */
  readonly collects: boolean;
  /** The kernel for an equation; `undefined` where there is none, and the op is decomposed. */
  lower(context: LowerContext<never>): Lowered | undefined;
  /** Whether an equation may be part of a fused element-wise group; absent where there is no kernel for groups. */
  readonly fusible?: ((context: LowerContext<never>) => boolean) | undefined;
  /** Whether a contraction's kernel can run element-wise work on its result; absent where none can. */
  readonly epilogue?: ((context: LowerContext<never>) => boolean) | undefined;
  /** Whether an equation may end a fused group, and how: those of one group must be alike. */
  readonly closing?: ((context: LowerContext<never>) => string | undefined) | undefined;
  allocate(type: TensorType): Memory;
  free(memory: Memory): void;
  /** A host array's own memory, where programs can read it as it is; absent or undefined where it must be copied. */
  borrow?(type: TensorType, array: HostArray): Memory | undefined;
  /** Copies numbers in; the array's dtype is converted to the type's where they differ. */
  write(memory: Memory, type: TensorType, array: HostArray): void;
  /** Copies numbers out: in the type's dtype, or in float64 for float32 on the reference. */
  read(memory: Memory, type: TensorType): HostArray;
  load(plan: Plan): LoadedPlan;
}
