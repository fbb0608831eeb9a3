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
    return new (webAssembly().Module)(bytes);
  } catch (cause) {
    throw new BackendError("wasm", "the module does not compile: this engine lacks WebAssembly SIMD", { cause });
  }
}
