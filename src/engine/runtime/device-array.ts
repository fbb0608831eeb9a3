// DeviceArray: numbers in a backend's memory, given back when nobody refers to them any more.
import { ArgumentError, formatType, type DType, type HostArray, type Shape, type TensorType } from "../core/index.ts";
import type { Backend, Memory } from "../backend/index.ts";

const registry = new FinalizationRegistry<{ backend: Backend; memory: Memory }>(({ backend, memory }) =>
  backend.free(memory),
);

/** An array on a device. */
export class DeviceArray implements TensorType {
  readonly backend: Backend;
  readonly dtype: DType;
  readonly shape: Shape;
  #memory: Memory | undefined;
  #gone = "";

  constructor(backend: Backend, type: TensorType, memory: Memory) {
    this.backend = backend;
    this.dtype = type.dtype;
    this.shape = type.shape;
    this.#memory = memory;
    // The registry's hold on the memory would keep it from a collector that can do without.
    if (!backend.collects) registry.register(this, { backend, memory }, this);
  }

  /** The memory; throws once it was disposed or donated. */
  get memory(): Memory {
    if (this.#memory === undefined) {
      throw new ArgumentError("array", `${formatType(this)} is gone: it was ${this.#gone}`, {
        hint: "use the result of the call that took it, or do not donate it",
      });
    }
    return this.#memory;
  }

  get alive(): boolean {
    return this.#memory !== undefined;
  }

  /** Copies the numbers to the host. */
  read(): HostArray {
    return this.backend.read(this.memory, this);
  }

  /** Gives the memory back now instead of when the garbage collector finds it. */
  dispose(): void {
    if (this.#memory === undefined) return;
    this.backend.free(this.#take("disposed"));
  }

  /** Hands the memory over to the caller: to a result that takes its place, or to be freed. */
  donate(): Memory {
    return this.#take("donated to a compiled call");
  }

  #take(how: string): Memory {
    const memory = this.memory;
    registry.unregister(this);
    this.#memory = undefined;
    this.#gone = how;
    return memory;
  }
}
