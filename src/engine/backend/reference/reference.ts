// The reference backend: each op's own float64 evaluation, one array per buffer. The oracle of every test.
import { BackendError, fromBfloat16, HostArray, sizeOf, toBfloat16, type TensorType } from "../../core/index.ts";
import type { KernelCall, LoopCall, Place, Plan, PlanStep } from "../../plan/index.ts";
import type { Backend, LoadedPlan, LowerContext, Lowered, Memory } from "../backend.ts";

class ReferenceMemory implements Memory {
  readonly data: Float64Array;
  constructor(size: number) {
    this.data = new Float64Array(size).fill(NaN); // unwritten memory shows
  }
  get bytes(): number {
    return this.data.byteLength;
  }
}

/** Float64 on one thread, slow and exact. */
export function createReference(): Backend {
  return {
    name: "reference",
    threads: 1,
    collects: true,
    describe: () => "float64 evaluation in JavaScript, one op at a time: the oracle the others are held against",
    lower: lowerToEvaluation,
    allocate: (type) => new ReferenceMemory(sizeOf(type.shape)),
    free: () => {},
    write: (memory, type, array) => {
      const { data } = memory as ReferenceMemory;
      if (type.dtype === "bfloat16")
        for (let i = 0; i < array.size; i++) data[i] = fromBfloat16(toBfloat16(array.get(i)));
      else if (array.dtype === "float64" || array.dtype === "float32" || array.dtype === "int32")
        data.set(array.data as Float64Array);
      else for (let i = 0; i < array.size; i++) data[i] = array.get(i);
    },
    read: (memory, type) => readMemory(memory as ReferenceMemory, type),
    load: (plan) => new LoadedReferencePlan(plan),
  };
}

function lowerToEvaluation({ op, attrs, inputs, outputs }: LowerContext<never>): Lowered | undefined {
  const { evaluate } = op;
  if (evaluate === undefined) return undefined;
  const types = { inputs, outputs };
  return { kernel: "evaluate", params: [], host: (arrays) => evaluate(arrays, attrs, types) };
}

function readMemory({ data }: ReferenceMemory, type: TensorType): HostArray {
  if (type.dtype === "float32") return new HostArray("float64", type.shape, data.slice());
  const out = new HostArray(type.dtype, type.shape);
  data.forEach((x, i) => out.set(i, x));
  return out;
}

class LoadedReferencePlan implements LoadedPlan {
  readonly #plan: Plan;
  #places = new Map<Place, Float64Array>();
  #slots: readonly Memory[] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  run(slots: readonly Memory[]): void {
    this.#slots = slots;
    this.#run(this.#plan.steps);
  }

  async runAsync(slots: readonly Memory[]): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.run(slots);
  }

  dispose(): void {
    this.#places = new Map();
  }

  #run(steps: readonly PlanStep[]): void {
    for (const step of steps) {
      if (step.kind === "kernel") this.#call(step);
      else this.#loop(step);
    }
  }

  #call({ host, inputs, outputs, op }: KernelCall): void {
    if (host === undefined) throw new BackendError("reference", `was given a plan of another backend (${op})`);
    const results = host(inputs.map((id) => this.#array(id)));
    outputs.forEach((id, i) => this.#array(id).set(results[i]!));
  }

  #loop({ count, reverse, reads, body, writes, carries }: LoopCall): void {
    for (let turn = 0; turn < count; turn++) {
      const i = reverse ? count - 1 - turn : turn;
      for (const { whole, part } of reads) {
        const target = this.#array(part);
        target.set(this.#array(whole).subarray(i * target.length, (i + 1) * target.length));
      }
      this.#run(body);
      for (const { whole, part } of writes) {
        const source = this.#array(part);
        this.#array(whole).set(source, i * source.length);
      }
      for (const { from, to } of carries) this.#array(to).set(this.#array(from));
    }
  }

  // Each place is an array of its own, so that no error of the memory plan can hide here.
  #array(id: number): Float64Array {
    const { place, shape } = this.#plan.buffers[id]!;
    const size = sizeOf(shape);
    if (place.kind === "external") return (this.#slots[place.slot] as ReferenceMemory).data.subarray(0, size);
    let array = this.#places.get(place);
    if (array === undefined || array.length < size) this.#places.set(place, (array = new Float64Array(size)));
    return array.length === size ? array : array.subarray(0, size);
  }
}
