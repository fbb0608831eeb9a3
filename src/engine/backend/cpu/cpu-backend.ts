// The backend over a driver: memory by size classes, conversion of host arrays, lowering by table, plans as streams.
import { ArgumentError, BackendError, formatType, HostArray, IndexError, type TensorType } from "../../core/index.ts";
import { bufferBytes, elementBytes, encodePlan, forEachCall, type Plan } from "../../plan/index.ts";
import type { Backend, LoadedPlan, LowerContext, Lowered, Memory, Turns } from "../backend.ts";
import { writeArray } from "./convert.ts";
import type { Block, Driver, DriverPlan, Failure } from "./driver.ts";
import { fusible, loweringTable, sumPattern, takesEpilogue, type LowerTarget } from "./kernels/index.ts";

/** Freed memory kept for the next allocation of its size class, in bytes. */
const MAX_POOLED = 1 << 28;

/** Bytes whose float32 is NaN, whose int32 is −1 and whose bool is neither 0 nor 1. */
const POISON = 0xff;

class CpuMemory implements Memory {
  readonly bytes: number;
  /** Of the block: 0 where it belongs to somebody else. */
  readonly size: number;
  block: Block | undefined;
  constructor(bytes: number, size: number, block: Block) {
    this.bytes = bytes;
    this.size = size;
    this.block = block;
  }
}

/** Whether `CHAINRULE_POISON=1` asks that memory not yet written be filled with NaN. */
export function poisonAsked(): boolean {
  return typeof process !== "undefined" && process.env["CHAINRULE_POISON"] === "1";
}

/** A backend whose kernels are machine code. */
export class CpuBackend implements Backend {
  readonly #driver: Driver;
  readonly #opcodes: ReadonlyMap<string, number>;
  readonly #target: LowerTarget;
  readonly #poison: boolean;
  readonly #pool = new Map<number, Block[]>();
  #pooled = 0;

  constructor(driver: Driver, options: { readonly poison?: boolean } = {}) {
    this.#driver = driver;
    this.#opcodes = new Map(driver.kernels.map((name, opcode) => [name, opcode]));
    const loopOps = new Map(driver.loopOps.map((name, number) => [name, number]));
    this.#target = {
      loopOp: (name) => {
        const number = loopOps.get(name);
        if (number === undefined) throw new BackendError(driver.name, `has no loop instruction \`${name}\``);
        return number;
      },
    };
    this.#poison = options.poison ?? poisonAsked();
  }

  get name(): string {
    return this.#driver.name;
  }

  get threads(): number {
    return this.#driver.threads;
  }

  setThreads(threads: number): void {
    const { setThreads, name } = this.#driver;
    if (setThreads === undefined && threads !== this.threads)
      throw new BackendError(name, `runs on ${this.threads} thread(s): received ${threads}`);
    setThreads?.(threads);
  }

  get collects(): boolean {
    return this.#driver.collects;
  }

  describe(): string {
    return this.#driver.describe() + (this.#poison ? ", fresh memory filled with NaN" : "");
  }

  lower(context: LowerContext<never>): Lowered | undefined {
    const lowered = loweringTable.get(context.op.name)?.(context, this.#target);
    if (lowered === undefined || "view" in lowered) return lowered;
    if (!this.#opcodes.has(lowered.kernel))
      throw new BackendError(this.name, `has no kernel \`${lowered.kernel}\` (for ${context.op.name})`, {
        hint: "the binary is older than the sources: run `npm run build`",
      });
    if (!lowered.params.every((word) => Number.isInteger(word) && Math.abs(word) <= 2 ** 31 - 1 + Number(word < 0)))
      throw new BackendError(
        this.name,
        `${context.op.name} is beyond 2^31 elements: received ${context.inputs.map(formatType).join(" and ")}`,
      );
    return lowered;
  }

  fusible(context: LowerContext<never>): boolean {
    return fusible(context, this.#target);
  }

  epilogue({ op }: LowerContext<never>): boolean {
    return takesEpilogue(op.name);
  }

  closing(context: LowerContext<never>): string | undefined {
    return sumPattern(context)?.join(" ");
  }

  allocate(type: TensorType): Memory {
    const bytes = bufferBytes(type);
    const size = sizeClass(bytes);
    let block = this.#pool.get(size)?.pop();
    if (block !== undefined) this.#pooled -= size;
    else block = this.#driver.alloc(size);
    if (block === undefined) {
      this.#freePool();
      block = this.#driver.alloc(size);
    }
    if (block === undefined) throw new BackendError(this.name, `out of memory: asked for ${size} bytes`);
    if (this.#poison) this.#driver.fill(block.address, size, POISON);
    return new CpuMemory(bytes, size, block);
  }

  free(memory: Memory): void {
    const own = memory as CpuMemory;
    const { block, size } = own;
    if (block === undefined) return;
    own.block = undefined;
    if (size === 0) return;
    if (this.#pooled + size > MAX_POOLED) {
      this.#driver.free(block);
      return;
    }
    const list = this.#pool.get(size);
    if (list === undefined) this.#pool.set(size, [block]);
    else list.push(block);
    this.#pooled += size;
  }

  borrow(type: TensorType, array: HostArray): Memory | undefined {
    const { addressOf } = this.#driver;
    if (addressOf === undefined || array.dtype !== type.dtype) return undefined;
    return new CpuMemory(array.byteLength, 0, { address: addressOf(array.data), owner: array.data });
  }

  #freePool(): void {
    for (const blocks of this.#pool.values()) for (const block of blocks) this.#driver.free(block);
    this.#pool.clear();
    this.#pooled = 0;
  }

  write(memory: Memory, type: TensorType, array: HostArray): void {
    if (array.size * elementBytes(type.dtype) !== memory.bytes)
      throw new ArgumentError("write", `the memory holds ${formatType(type)}: received ${array.toString()}`);
    writeArray(this.#driver, this.#address(memory), type.dtype, array);
  }

  read(memory: Memory, type: TensorType): HostArray {
    const out = new HostArray(type.dtype, type.shape);
    this.#driver.read(this.#address(memory), out.data);
    return out;
  }

  load(plan: Plan): LoadedPlan {
    const stream = encodePlan(plan, this.#opcodes);
    const loaded = this.#driver.load(stream, {
      arenaBytes: plan.arenaBytes,
      slots: plan.slots,
      poison: this.#poison,
    });
    const address = (memory: Memory): number => this.#address(memory);
    return loaded.repeat === undefined
      ? new LoadedCpuPlan(plan, loaded, address)
      : new RepeatingCpuPlan(plan, loaded, address);
  }

  #address(memory: Memory): number {
    const { block } = memory as CpuMemory;
    if (block === undefined) throw new BackendError(this.name, "memory was used after it was freed");
    return block.address;
  }
}

class LoadedCpuPlan implements LoadedPlan {
  readonly #plan: Plan;
  protected readonly loaded: DriverPlan;
  readonly #address: (memory: Memory) => number;
  readonly #slots: Float64Array;

  constructor(plan: Plan, loaded: DriverPlan, address: (memory: Memory) => number) {
    this.#plan = plan;
    this.loaded = loaded;
    this.#address = address;
    this.#slots = new Float64Array(plan.slots);
  }

  run(slots: readonly Memory[]): void {
    this.check(this.loaded.run(this.addresses(slots)));
  }

  profile(slots: readonly Memory[]): Float64Array {
    let calls = 0;
    forEachCall(this.#plan.steps, () => void calls++);
    const seconds = new Float64Array(calls);
    this.check(this.loaded.run(this.addresses(slots), seconds));
    return seconds;
  }

  async runAsync(slots: readonly Memory[]): Promise<void> {
    this.check(await this.loaded.runAsync(this.addresses(slots)));
  }

  dispose(): void {
    this.loaded.unload();
  }

  protected addresses(slots: readonly Memory[]): Float64Array {
    if (slots.length < this.#slots.length)
      throw new BackendError("run", `the plan has ${this.#slots.length} slots: received ${slots.length}`);
    for (let i = 0; i < this.#slots.length; i++) this.#slots[i] = this.#address(slots[i]!);
    return this.#slots;
  }

  protected check(failure: Failure | undefined): void {
    if (failure === undefined) return;
    const [call, value, limit] = failure;
    const ops: string[] = [];
    forEachCall(this.#plan.steps, ({ op }) => ops.push(op));
    throw new IndexError(ops[call]!, `index ${value} is out of range [0, ${limit})`, {
      hint: `indices count from 0; it was call ${call} of the plan`,
    });
  }
}

class RepeatingCpuPlan extends LoadedCpuPlan {
  repeat(slots: readonly Memory[], turns: Turns): number {
    return this.#counted(this.loaded.repeat!(this.addresses(slots), encodeTurns(turns)));
  }

  async repeatAsync(slots: readonly Memory[], turns: Turns): Promise<number> {
    return this.#counted(await this.loaded.repeatAsync!(this.addresses(slots), encodeTurns(turns)));
  }

  #counted(result: Failure | number): number {
    if (typeof result === "number") return result;
    this.check(result);
    return 0;
  }
}

function encodeTurns({ count, last, from, advance }: Turns): Float64Array {
  return Float64Array.of(count, last, ...from, ...advance);
}

/** Quarter steps between powers of two: at most a fifth is wasted, and freed blocks fit again. */
function sizeClass(bytes: number): number {
  if (bytes <= 64) return 64;
  const power = 2 ** Math.floor(Math.log2(bytes));
  const step = Math.max(64, power / 4);
  return Math.ceil(bytes / step) * step;
}
