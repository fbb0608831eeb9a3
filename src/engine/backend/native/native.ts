// The native backend: the C++ kernels as a Node addon, on a persistent pool of threads.
import { ArgumentError, BackendError, type TypedArray } from "../../core/index.ts";
import type { Backend } from "../backend.ts";
import { CpuBackend } from "../cpu/cpu-backend.ts";
import type { Block, Driver, DriverPlan, Failure } from "../cpu/driver.ts";
import { requireNative } from "../cpu/locate.ts";

// Exports of native/addon.cpp.
interface Addon {
  readonly kernels: readonly string[];
  readonly loopOps: readonly string[];
  readonly compiler: string;
  address(memory: TypedArray): number;
  fill(address: number, bytes: number, byte: number): void;
  write(address: number, from: TypedArray): void;
  read(address: number, into: TypedArray): void;
  load(stream: Int32Array, arenaBytes: number, slots: number, poison: number): object;
  unload(plan: object): void;
  run(plan: object, slots: Float64Array, seconds?: Float64Array): Failure | undefined;
  runAsync(plan: object, slots: Float64Array): Promise<Failure | undefined>;
  runAsync(plan: object, slots: Float64Array, turns: Float64Array): Promise<Failure | number>;
  repeat(plan: object, slots: Float64Array, turns: Float64Array): Failure | number;
  setVariant(name: string): string | undefined;
  setThreads(threads: number): number;
}

/** How the native backend is set up. */
export interface NativeOptions {
  /** Threads of the pool, the caller's own counted; `CHAINRULE_THREADS`, else the processor's. One pool serves the whole process. */
  readonly threads?: number;
  /** Fills memory not yet written with NaN, for tests; `CHAINRULE_POISON=1`. */
  readonly poison?: boolean;
}

const MAX_THREADS = 256;

function threadCount(asked: number | undefined): number {
  const text = process.env["CHAINRULE_THREADS"];
  const cores = process.getBuiltinModule("node:os").availableParallelism();
  const threads = asked ?? (text === undefined || text === "" ? cores : Number(text));
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)
    throw new ArgumentError("native", `threads are a whole number from 1 to ${MAX_THREADS}: received ${asked ?? text}`);
  return threads;
}

// Vectors may be read past the end of an array, and blocks start at a multiple of this.
const ALIGNMENT = 64;

function allocate(addon: Addon, bytes: number): Block | undefined {
  try {
    const owner = Buffer.allocUnsafeSlow(bytes + 2 * ALIGNMENT);
    return { address: Math.ceil(addon.address(owner) / ALIGNMENT) * ALIGNMENT, owner };
  } catch (error) {
    if (error instanceof RangeError) return undefined; // larger than a buffer may be, or no memory left
    throw error;
  }
}

/** Loads the addon; throws BackendError with the reason where it cannot run. */
export function loadNative(options: NativeOptions = {}): Driver {
  const { exports, from } = requireNative();
  const addon = exports as Addon;
  const asked = process.env["CHAINRULE_VARIANT"] ?? "";
  const variant = addon.setVariant(asked);
  if (variant === undefined) {
    throw new BackendError("native", `this machine has no variant \`${asked}\``, {
      hint: "CHAINRULE_VARIANT is avx512, avx2 or baseline, as far as the processor goes",
    });
  }
  let threads = addon.setThreads(threadCount(options.threads));
  return {
    name: "native",
    kernels: addon.kernels,
    loopOps: addon.loopOps,
    get threads() {
      return threads;
    },
    setThreads: (asked) => void (threads = addon.setThreads(threadCount(asked))),
    describe: () => `${variant} kernels on ${threads} thread${threads === 1 ? "" : "s"}, ${addon.compiler}, ${from}`,
    collects: true,
    alloc: (bytes) => allocate(addon, bytes),
    free: () => {}, // the garbage collector finds it
    addressOf: (array) => addon.address(array),
    fill: (address, bytes, byte) => addon.fill(address, bytes, byte),
    write: (address, array) => addon.write(address, array),
    read: (address, into) => addon.read(address, into),
    load: (stream, { arenaBytes, slots, poison }): DriverPlan => {
      const plan = addon.load(stream, arenaBytes, slots, poison ? 1 : 0);
      return {
        run: (addresses, seconds) => addon.run(plan, addresses, seconds),
        runAsync: (addresses) => addon.runAsync(plan, addresses),
        repeat: (addresses, turns) => addon.repeat(plan, addresses, turns),
        repeatAsync: (addresses, turns) => addon.runAsync(plan, addresses, turns),
        unload: () => addon.unload(plan),
      };
    },
  };
}

/** The native backend. */
export function createNative(options: NativeOptions = {}): Backend {
  return new CpuBackend(loadNative(options), options.poison === undefined ? {} : { poison: options.poison });
}
