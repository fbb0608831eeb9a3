// Which WebAssembly module runs: plain SIMD, whose bits are the same everywhere, or relaxed SIMD where it is asked for.
import { BackendError } from "../../core/index.ts";
import { readWasm } from "../cpu/locate.ts";

/** A compiled WebAssembly module, as `WebAssembly.compile(bytes)` gives it. */
export type CompiledModule = object;

/** An instance's exports. */
export interface Instance {
  readonly exports: object;
}

// The part of the WebAssembly interface used here; neither the ES nor the Node types declare it.
interface WebAssemblyInterface {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => CompiledModule;
  readonly Instance: new (module: CompiledModule, imports: object) => Instance;
  readonly Memory: new (type: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared?: boolean;
  }) => WasmMemory;
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** The engine's WebAssembly. */
export function webAssembly(): WebAssemblyInterface {
  return (globalThis as unknown as { WebAssembly: WebAssemblyInterface }).WebAssembly;
}

// A module of one function: f32x4.relaxed_madd of zeros, dropped.
const PROBE = Uint8Array.from(
  [
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // "\0asm", version 1
    [0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // types: () → ()
    [0x03, 0x02, 0x01, 0x00], // functions
    [0x0a, 0x14, 0x01, 0x12, 0x00], // code: one body of 18 bytes, no locals
    [0x41, 0x00, 0xfd, 0x11, 0x41, 0x00, 0xfd, 0x11, 0x41, 0x00, 0xfd, 0x11], // three times i32.const 0, i32x4.splat
    [0xfd, 0x85, 0x02, 0x1a, 0x0b], // f32x4.relaxed_madd, drop, end
  ].flat(),
);

let relaxed: boolean | undefined;

/** Whether this engine has relaxed SIMD. Node 20 has it behind a flag, which is set here. */
export function hasRelaxed(): boolean {
  if (relaxed !== undefined) return relaxed;
  if (webAssembly().validate(PROBE)) return (relaxed = true);
  const get = typeof process === "undefined" ? undefined : process.getBuiltinModule;
  get?.("node:v8").setFlagsFromString("--experimental-wasm-relaxed-simd");
  return (relaxed = webAssembly().validate(PROBE));
}

const modules = new Map<string, CompiledModule>();

/** A module of the package, compiled once. */
export function packagedModule(file: "chainrule.wasm" | "chainrule-relaxed.wasm"): CompiledModule {
  let module = modules.get(file);
  if (module === undefined) modules.set(file, (module = compileModule(readWasm(file))));
  return module;
}

/** Compiles a module; throws BackendError where the engine cannot. */
export function compileModule(bytes: Uint8Array<ArrayBuffer>): CompiledModule {
  try {
    const module = new (webAssembly().Module)(bytes);
    unshared.set(module, { bytes });
    return module;
  } catch (cause) {
    throw new BackendError("wasm", "the module does not compile: this engine lacks WebAssembly SIMD", { cause });
  }
}

/** A module's memory. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

const PAGES = { initial: 32, maximum: 65536 };

/** Instantiates a module with memory that threads may share, or with its own where the engine has no such memory. */
export function instantiate(
  module: CompiledModule,
  imports: object,
): { readonly exports: object; readonly memory: WasmMemory; readonly shared: boolean } {
  const { Instance, Memory } = webAssembly();
  let memory: WasmMemory | undefined;
  try {
    memory = new Memory({ ...PAGES, shared: true });
  } catch {
    // An old engine, or a page that is not cross-origin isolated in an engine that then has no shared memory.
  }
  if (memory !== undefined)
    return { exports: new Instance(module, { env: { ...imports, memory } }).exports, memory, shared: true };
  memory = new Memory(PAGES);
  const alone = unshared.get(module);
  if (alone === undefined) throw new BackendError("wasm", "this engine has no shared memory here", { hint: ALONE });
  const instance = new Instance((alone.module ??= compileModule(withoutSharing(alone.bytes))), {
    env: { ...imports, memory },
  });
  return { exports: instance.exports, memory, shared: false };
}

const ALONE = "give the module's bytes, not the compiled module, or serve the page cross-origin isolated";

// The bytes of compiled modules, and the same modules for memory that is not shared, compiled when asked for.
const unshared = new WeakMap<CompiledModule, { readonly bytes: Uint8Array<ArrayBuffer>; module?: CompiledModule }>();

// The flag of the imported memory ("env" "memory", kind 2, flags: 1 has a maximum, 2 is shared) is all that differs.
function withoutSharing(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode("\u0003env\u0006memory\u0002\u0003");
  const copy = bytes.slice();
  const at = copy.findIndex((_, i) => name.every((byte, k) => copy[i + k] === byte));
  if (at < 0) throw new BackendError("wasm", "the module is not one of this package");
  copy[at + name.length - 1] = 1;
  return copy;
}
