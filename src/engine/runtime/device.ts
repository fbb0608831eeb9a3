// Device: a backend with its arrays and its cache of executables. The place where compiler and backend meet.
import { ArgumentError, BackendError, type HostArray, type TensorType } from "../core/index.ts";
import { createNative, createReference, createWasm, type Backend } from "../backend/index.ts";
import { programKey } from "../compile/index.ts";
import type { Program } from "../program/index.ts";
import { DeviceArray } from "./device-array.ts";
import { Executable } from "./executable.ts";

/** The devices there are: `native` (C++), `wasm` (the same source), `reference` (float64, the oracle). */
export type DeviceName = "native" | "wasm" | "reference";

/** Programs kept compiled on a device; the least recently used goes first. */
const MAX_EXECUTABLES = 2048;

/** Where programs run and arrays live. */
export class Device {
  readonly backend: Backend;
  /** Why this one was chosen, for people. */
  readonly reason: string;
  readonly #executables = new Map<string, Executable>();

  constructor(backend: Backend, reason: string) {
    this.backend = backend;
    this.reason = reason;
  }

  get name(): string {
    return this.backend.name;
  }

  get threads(): number {
    return this.backend.threads;
  }

  /**
   * Computes on so many threads from now on, the caller's own counted; `CHAINRULE_THREADS` sets it from outside. The native
   * devices of a process share their threads. Results are the same bits with any number.
   *
   * Errors: ArgumentError out of 1 … 256, BackendError where the device has one thread only.
   */
  setThreads(threads: number): void {
    if (this.backend.setThreads !== undefined) return this.backend.setThreads(threads);
    if (threads !== this.threads)
      throw new BackendError(this.name, `runs on ${this.threads} thread(s): received ${threads}`);
  }

  /** Copies a host array to the device; the dtype becomes the type's. */
  put(array: HostArray, type: TensorType): DeviceArray {
    const out = this.empty(type);
    this.backend.write(out.memory, type, array);
    return out;
  }

  /** An array over a host array's own memory, which must not change; undefined where the device cannot read it as it is. */
  borrow(array: HostArray, type: TensorType): DeviceArray | undefined {
    const memory = this.backend.borrow?.(type, array);
    return memory === undefined ? undefined : new DeviceArray(this.backend, type, memory);
  }

  /** Memory for an array, not yet written. */
  empty(type: TensorType): DeviceArray {
    return new DeviceArray(this.backend, type, this.backend.allocate(type));
  }

  /** The compiled form of a program, from the cache if an equal one ran before. */
  executable(program: Program, donate: readonly number[] = []): Executable {
    const key = `${donate.join()}|${programKey(program)}`;
    let found = this.#executables.get(key);
    if (found === undefined) {
      found = new Executable(this, program, donate);
      if (this.#executables.size >= MAX_EXECUTABLES) {
        const [oldest, executable] = this.#executables.entries().next().value!;
        this.#executables.delete(oldest);
        executable.release();
      }
    } else this.#executables.delete(key); // re-inserted below as the newest
    this.#executables.set(key, found);
    return found;
  }

  /** What runs and why. */
  toString(): string {
    return `${this.name}: ${this.backend.describe()} (${this.reason})`;
  }
}

const devices = new Map<DeviceName, Device>();
let chosen: Device | undefined;

/** The device of this name; throws BackendError with the reason if it cannot run here. */
export function device(name: DeviceName): Device {
  let found = devices.get(name);
  if (found === undefined) devices.set(name, (found = open(name, "asked for by name")));
  return found;
}

function open(name: DeviceName, reason: string): Device {
  if (name === "native") return new Device(createNative(), reason);
  if (name === "wasm") return new Device(createWasm(), reason);
  if (name === "reference") return new Device(createReference(), reason);
  throw new ArgumentError("device", `expected "native", "wasm" or "reference": received ${JSON.stringify(name)}`);
}

/** The device everything runs on unless told otherwise: `CHAINRULE_DEVICE`, else native, else wasm. */
export function defaultDevice(): Device {
  return (chosen ??= choose());
}

function choose(): Device {
  const asked = typeof process === "undefined" ? undefined : process.env["CHAINRULE_DEVICE"];
  if (asked !== undefined && asked !== "") return remember(asked as DeviceName, "set by CHAINRULE_DEVICE");
  try {
    return remember("native", "the fastest here");
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return remember("wasm", `native cannot run: ${error.problem}`);
  }
}

function remember(name: DeviceName, reason: string): Device {
  const found = devices.get(name) ?? open(name, reason);
  devices.set(name, found);
  return found;
}

/** Makes a device the default. */
export function setDefaultDevice(next: Device | DeviceName): void {
  chosen = typeof next === "string" ? device(next) : next;
}

/** Runs `fn` with another default device; async functions keep it until they settle. */
export function withDevice<T>(next: Device | DeviceName, fn: () => T): T {
  const before = chosen;
  setDefaultDevice(next);
  let pending = false;
  try {
    const result = fn();
    if (result instanceof Promise) {
      pending = true;
      return result.finally(() => void (chosen = before)) as T;
    }
    return result;
  } finally {
    if (!pending) chosen = before;
  }
}
