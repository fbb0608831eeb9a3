// The WebAssembly backend: the same kernels with 128-bit vectors, on one thread, wherever there is JavaScript.
import { BackendError, type TypedArray } from "../../core/index.ts";
import type { Backend } from "../backend.ts";
import { CpuBackend } from "../cpu/cpu-backend.ts";
import type { Block, Driver, DriverPlan, Failure } from "../cpu/driver.ts";
import { compileModule, hasRelaxed, packagedModule, webAssembly, type CompiledModule } from "./module.ts";

// Exports of native/wasm.cpp. Addresses are i32, so they come back signed.
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  alloc(bytes: number): number;
  free(address: number): void;
  load(words: number, count: number, arena: number, slots: number): number;
  slots(plan: number): number;
  unload(plan: number): void;
  run(plan: number, seconds: number, calls: number): number;
  failure(): number;
  kernelName(i: number): number;
  loopOpName(i: number): number;
}

/** How the WebAssembly backend is set up. */
export interface WasmOptions {
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

/** Instantiates the module; throws BackendError with the reason where it cannot run. */
export function loadWasm({ relaxed = relaxedAsked(), module }: WasmOptions = {}): Driver {
  if (relaxed && !hasRelaxed())
    throw new BackendError("wasm", "this engine has no relaxed SIMD", {
      hint: "leave it out: plain SIMD is exact too",
    });
  let compiled = module ?? packagedModule(relaxed ? "chainrule-relaxed.wasm" : "chainrule.wasm");
  if (compiled instanceof Uint8Array) compiled = compileModule(compiled as Uint8Array<ArrayBuffer>);
  const imports = { env: { seconds: () => performance.now() / 1000 } };
  return new WasmDriver(new (webAssembly().Instance)(compiled, imports).exports as Exports, relaxed);
}

function relaxedAsked(): boolean {
  return typeof process !== "undefined" && process.env["CHAINRULE_VARIANT"] === "relaxed";
}

class WasmDriver implements Driver {
  readonly name: string = "wasm";
  readonly threads: number = 1;
  readonly collects: boolean = false;
  readonly kernels: readonly string[];
  readonly loopOps: readonly string[];
  readonly #module: Exports;
  readonly #relaxed: boolean;

  constructor(module: Exports, relaxed: boolean) {
    this.#module = module;
    this.#relaxed = relaxed;
    this.kernels = this.#names((i) => module.kernelName(i));
    this.loopOps = this.#names((i) => module.loopOpName(i));
  }

  describe(): string {
    return `WebAssembly ${this.#relaxed ? "relaxed " : ""}SIMD, 128-bit vectors, one thread`;
  }

  alloc(bytes: number): Block | undefined {
    const address = this.#module.alloc(bytes) >>> 0;
    return address === 0 ? undefined : { address };
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
    const words = this.alloc(stream.byteLength)?.address ?? 0;
    const arena = this.alloc(arenaBytes)?.address ?? 0;
    if (words === 0 || arena === 0) throw new BackendError("wasm", `out of memory: asked for ${arenaBytes} bytes`);
    this.write(words, stream);
    const plan = this.#module.load(words, stream.length, arena, slots);
    if (plan === 0) throw new BackendError("wasm", "the stream is malformed, or memory is out");
    let live = true;
    const run = (addresses: Float64Array, seconds?: Float64Array): Failure | undefined => {
      if (!live) throw new BackendError("wasm", "the plan was disposed");
      if (poison) this.fill(arena, arenaBytes, 0xff);
      const at = this.#module.slots(plan) >>> 0;
      new Uint32Array(this.#module.memory.buffer, at, slots).set(addresses.subarray(0, slots));
      const times = seconds === undefined ? undefined : this.alloc(seconds.byteLength);
      if (seconds !== undefined && times !== undefined) this.write(times.address, seconds);
      const call = this.#run(plan, { arenaBytes, times: times?.address ?? 0, calls: seconds?.length ?? 0 });
      if (seconds !== undefined && times !== undefined) {
        this.read(times.address, seconds);
        this.free(times);
      }
      if (call < 0) return undefined;
      const failure = new Int32Array(this.#module.memory.buffer, this.#module.failure() >>> 0, 3);
      return [failure[0]!, failure[1]!, failure[2]!];
    };
    return {
      run,
      // There is no other thread: the work is done on this one, after a turn of the event loop.
      runAsync: async (addresses) => {
        const own = addresses.slice();
        await macrotask();
        return run(own);
      },
      unload: () => {
        if (live) this.#module.unload(plan);
        live = false;
      },
    };
  }

  // The module stops itself only where its 4 GiB are used up; its memory is then no longer to be relied on.
  #run(
    plan: number,
    { arenaBytes, times, calls }: { readonly arenaBytes: number; readonly times: number; readonly calls: number },
  ): number {
    try {
      return this.#module.run(plan, times, times === 0 ? 0 : calls);
    } catch (cause) {
      throw new BackendError("wasm", `out of memory inside a kernel (arena of ${arenaBytes} bytes)`, { cause });
    }
  }

  // A view is made for each use: memory that grows gets a new buffer.
  #bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#module.memory.buffer, address, length);
  }

  #names(at: (i: number) => number): string[] {
    const names: string[] = [];
    for (let i = 0; ; i++) {
      const address = at(i) >>> 0;
      if (address === 0) return names;
      const bytes = new Uint8Array(this.#module.memory.buffer, address);
      names.push(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0))));
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
