// The WebAssembly backend: the same kernels with 128-bit vectors, on worker threads, wherever there is JavaScript.
import { ArgumentError, BackendError, type TypedArray } from "../../core/index.ts";
import type { Backend } from "../backend.ts";
import { CpuBackend } from "../cpu/cpu-backend.ts";
import type { Block, Driver, DriverPlan, Failure } from "../cpu/driver.ts";
import {
  compileModule,
  hasRelaxed,
  instantiate,
  packagedModule,
  type CompiledModule,
  type WasmMemory,
} from "./module.ts";
import { maySleep, Workers, workersAllowed } from "./workers.ts";

export type { CompiledModule } from "./module.ts";

// Exports of native/wasm.cpp and native/wasm-pool.cpp. Addresses are i32, so they come back signed.
interface Exports {
  tlsBytes(): number;
  setThreads(helpers: number, sleeps: number): void;
  wanted(): number;
  post(run: number): void;
  alloc(bytes: number): number;
  free(address: number): void;
  load(words: number, count: number, arena: number, slots: number, poison: number): number;
  unload(plan: number): void;
  newRun(plan: number): number;
  slots(run: number): number;
  failure(run: number): number;
  run(run: number, seconds: number, calls: number): void;
  kernelName(i: number): number;
  loopOpName(i: number): number;
}

/** How the WebAssembly backend is set up. */
export interface WasmOptions {
  /**
   * Threads that compute together; `CHAINRULE_THREADS`, else the processor's. One where workers cannot share memory: in
   * pages that are not cross-origin isolated. The number does not change the results.
   */
  readonly threads?: number;
  /** Fills memory not yet written with NaN, for tests; `CHAINRULE_POISON=1`. */
  readonly poison?: boolean;
  /**
   * Fused multiply-add where the engine has relaxed SIMD: faster, but the last bits of results then depend on the
   * processor. `CHAINRULE_VARIANT=relaxed`; not by default.
   */
  readonly relaxed?: boolean;
  /** The module: its bytes, or compiled. Read from the package's files unless given; browsers hand it in. */
  readonly module?: Uint8Array<ArrayBuffer> | CompiledModule;
}

const MAX_THREADS = 64;
const STACK = 1 << 18;

/** Instantiates the module; throws BackendError with the reason where it cannot run. */
export function loadWasm(options: WasmOptions = {}): Driver {
  const { relaxed = environment("CHAINRULE_VARIANT") === "relaxed", module } = options;
  if (relaxed && !hasRelaxed())
    throw new BackendError("wasm", "this engine has no relaxed SIMD", {
      hint: "leave it out: plain SIMD is exact too",
    });
  const threads = threadCount(options.threads);
  let compiled = module ?? packagedModule(relaxed ? "chainrule-relaxed.wasm" : "chainrule.wasm");
  if (compiled instanceof Uint8Array) compiled = compileModule(compiled as Uint8Array<ArrayBuffer>);
  return new WasmDriver(compiled, { relaxed, threads });
}

function environment(name: string): string {
  return (typeof process === "undefined" ? undefined : process.env[name]) ?? "";
}

function threadCount(asked: number | undefined): number {
  const text = environment("CHAINRULE_THREADS");
  const threads = asked ?? (text === "" ? cores() : Number(text));
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)
    throw new ArgumentError("wasm", `threads are a whole number from 1 to ${MAX_THREADS}: received ${asked ?? text}`);
  return workersAllowed() ? threads : 1;
}

function cores(): number {
  const os = typeof process === "undefined" ? undefined : process.getBuiltinModule?.("node:os");
  const { navigator } = globalThis as { readonly navigator?: { readonly hardwareConcurrency?: number } };
  return Math.min(MAX_THREADS, os?.availableParallelism() ?? navigator?.hardwareConcurrency ?? 1);
}

// Workers hold their memory: they end when nobody refers to the driver any more.
const registry = new FinalizationRegistry<Workers>((workers) => workers.stop());

class WasmDriver implements Driver {
  readonly name: string = "wasm";
  readonly threads: number;
  readonly collects: boolean = false;
  readonly kernels: readonly string[];
  readonly loopOps: readonly string[];
  readonly #module: Exports;
  readonly #memory: WasmMemory;
  readonly #relaxed: boolean;
  readonly #workers: Workers | undefined;

  constructor(module: CompiledModule, { relaxed, threads }: { readonly relaxed: boolean; readonly threads: number }) {
    const imports = { seconds: () => performance.now() / 1000, done: () => {} };
    const { exports, memory, shared } = instantiate(module, imports);
    this.#module = exports as Exports;
    this.#memory = memory;
    this.#relaxed = relaxed;
    this.threads = shared ? threads : 1;
    this.#module.setThreads(this.threads - 1, Number(maySleep()));
    this.kernels = this.#names((i) => this.#module.kernelName(i));
    this.loopOps = this.#names((i) => this.#module.loopOpName(i));
    if (!shared || !workersAllowed()) return;
    // One of them runs a plan off the caller's thread, the others help it.
    const data = Array.from({ length: this.threads }, () => {
      const stack = this.#need(STACK + this.#module.tlsBytes());
      return { module, memory, stack: stack + STACK, tls: stack + STACK };
    });
    this.#workers = new Workers(data);
    registry.register(this, this.#workers);
  }

  describe(): string {
    const kind = this.#relaxed ? "relaxed SIMD" : "SIMD";
    return `WebAssembly ${kind}, 128-bit vectors, ${this.threads} thread${this.threads === 1 ? "" : "s"}`;
  }

  alloc(bytes: number): Block | undefined {
    const address = this.#module.alloc(bytes) >>> 0;
    return address === 0 ? undefined : { address };
  }

  #need(bytes: number): number {
    const block = this.alloc(bytes);
    if (block === undefined) throw new BackendError("wasm", `out of memory: asked for ${bytes} bytes`);
    return block.address;
  }

  free(block: Block): void {
    this.#module.free(block.address);
  }

  fill(address: number, bytes: number, byte: number): void {
    this.#bytes(address, bytes).fill(byte);
  }

  write(address: number, from: TypedArray): void {
    this.#bytes(address, from.byteLength).set(new Uint8Array(from.buffer, from.byteOffset, from.byteLength));
  }

  read(address: number, into: TypedArray): void {
    new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(this.#bytes(address, into.byteLength));
  }

  load(stream: Int32Array, options: { arenaBytes: number; slots: number; poison: boolean }): DriverPlan {
    const { arenaBytes, slots, poison } = options;
    const module = this.#module;
    const words = this.#need(stream.byteLength);
    this.write(words, stream);
    const arena = this.#need(arenaBytes);
    const plan = module.load(words, stream.length, arena, slots, poison ? arenaBytes : 0);
    const own = plan === 0 ? 0 : module.newRun(plan) >>> 0;
    if (own === 0) throw new BackendError("wasm", "the stream is malformed, or memory is out");
    let live = true;
    let running = 0;
    const unload = (): void => {
      module.free(own);
      module.unload(plan);
    };
    const prepare = (run: number, addresses: Float64Array): void => {
      if (!live) throw new BackendError("wasm", "the plan was disposed");
      if (run === 0) throw new BackendError("wasm", "out of memory for one more run");
      new Uint32Array(this.#memory.buffer, module.slots(run) >>> 0, slots).set(addresses.subarray(0, slots));
    };
    const run = (addresses: Float64Array, seconds?: Float64Array): Failure | undefined => {
      prepare(own, addresses);
      const times = seconds === undefined ? 0 : this.#need(seconds.byteLength);
      if (seconds !== undefined) this.write(times, seconds);
      this.#run(own, { arenaBytes, times, calls: seconds?.length ?? 0 });
      if (seconds !== undefined) {
        this.read(times, seconds);
        module.free(times);
      }
      return this.#failure(own);
    };
    return {
      run,
      runAsync: async (addresses) => {
        const workers = this.#workers;
        if (workers === undefined) {
          const copy = addresses.slice();
          await macrotask();
          return run(copy);
        }
        const one = module.newRun(plan) >>> 0;
        prepare(one, addresses);
        workers.start();
        running++;
        try {
          const finished = workers.finished(one);
          module.post(one);
          await finished;
          return this.#failure(one);
        } finally {
          running--;
          module.free(one);
          if (!live && running === 0) unload();
        }
      },
      unload: () => {
        if (live && running === 0) unload();
        live = false;
      },
    };
  }

  // The module stops itself only where its 4 GiB are used up; its memory is then no longer to be relied on.
  #run(
    run: number,
    { arenaBytes, times, calls }: { readonly arenaBytes: number; readonly times: number; readonly calls: number },
  ): void {
    try {
      this.#module.run(run, times, calls);
    } catch (cause) {
      throw new BackendError("wasm", `out of memory inside a kernel (arena of ${arenaBytes} bytes)`, { cause });
    }
    if (this.threads > 1 && this.#module.wanted() !== 0) this.#workers?.start();
  }

  #failure(run: number): Failure | undefined {
    const [call, value, limit] = new Int32Array(this.#memory.buffer, this.#module.failure(run) >>> 0, 3);
    return call! < 0 ? undefined : [call!, value!, limit!];
  }

  // A view is made for each use: memory that grows gets a new buffer.
  #bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }

  #names(at: (i: number) => number): string[] {
    const names: string[] = [];
    for (let i = 0; ; i++) {
      const address = at(i) >>> 0;
      if (address === 0) return names;
      const bytes = new Uint8Array(this.#memory.buffer, address);
      names.push(String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0))));
    }
  }
}

function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve);
  });
}

/** The WebAssembly backend. */
export function createWasm(options: WasmOptions = {}): Backend {
  return new CpuBackend(loadWasm(options), options.poison === undefined ? {} : { poison: options.poison });
}
