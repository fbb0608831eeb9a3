// Running one kernel at a time on the machine backends, on plans made by hand: every operand is an external slot.
import { existsSync } from "node:fs";
import type { HostArray, StorageDType, TensorType } from "../../src/engine/core/index.ts";
import {
  createNative,
  createWasm,
  type Backend,
  type KernelSpec,
  type Memory,
} from "../../src/engine/backend/index.ts";
import { Plan, type PlanBuffer, type PlanStep } from "../../src/engine/plan/index.ts";
import { trace, type Op, type Program, type Value } from "../../src/engine/program/index.ts";
import type { Tolerance } from "../../src/testing/index.ts";

/** Variants of the native kernels, for whatever processor. */
export const variants = ["avx512", "avx2", "baseline"] as const;

/** Whether a compiler built the native backend; without it its tests are skipped, and the build has said so. */
export const nativeBuilt: boolean = existsSync(new URL("../../dist/native/chainrule.node", import.meta.url));

/** A native backend of one variant; undefined where this processor has no such variant, or nothing was built. */
export function nativeVariant(variant: string, threads: number): Backend | undefined {
  if (!nativeBuilt) return undefined;
  const before = process.env["CHAINRULE_VARIANT"];
  process.env["CHAINRULE_VARIANT"] = variant;
  try {
    return createNative({ threads, poison: true });
  } catch (error) {
    if (String(error).includes("no variant")) return undefined;
    throw error;
  } finally {
    if (before === undefined) delete process.env["CHAINRULE_VARIANT"];
    else process.env["CHAINRULE_VARIANT"] = before;
  }
}

/** The WebAssembly backends of this engine. */
export const wasms: readonly { readonly label: string; readonly open: () => Backend }[] = [
  { label: "wasm", open: () => createWasm({ poison: true }) },
  { label: "wasm relaxed", open: () => createWasm({ poison: true, relaxed: true }) },
];

/** Every machine backend of this machine: each native variant on one thread, and each wasm. */
export function machineBackends(): { readonly label: string; readonly open: () => Backend }[] {
  const native = variants
    .filter((variant) => nativeVariant(variant, 1) !== undefined)
    .map((variant) => ({ label: `native ${variant}`, open: () => nativeVariant(variant, 1)! }));
  return [...native, ...wasms];
}

/** A plan whose buffers are all external slots, in the order of `types`. */
export function slotPlan(types: readonly TensorType[], steps: readonly PlanStep[]): Plan {
  const buffers = types.map(({ dtype, shape }, slot): PlanBuffer => ({
    dtype,
    shape,
    place: { kind: "external", slot },
  }));
  return new Plan({ buffers, steps, arenaBytes: 0, inputs: [], outputs: [], donations: [], constants: [] });
}

/** Memory of these types, filled from arrays where there are any. */
export function allocateAll(
  backend: Backend,
  types: readonly TensorType[],
  arrays: readonly (HostArray | undefined)[],
): Memory[] {
  return types.map((type, i) => {
    const memory = backend.allocate(type);
    const array = arrays[i];
    if (array !== undefined) backend.write(memory, type, array);
    return memory;
  });
}

/** Runs one kernel; returns what `outputs` hold then. */
export function runKernel(
  backend: Backend,
  spec: KernelSpec,
  {
    op,
    inputs,
    outputs,
    arrays,
  }: {
    readonly op: string;
    readonly inputs: readonly TensorType[];
    readonly outputs: readonly TensorType[];
    readonly arrays: readonly HostArray[];
  },
): HostArray[] {
  const types = [...inputs, ...outputs, ...(spec.scratch ?? [])];
  const ids = types.map((_, i) => i);
  const step: PlanStep = {
    kind: "kernel",
    kernel: spec.kernel,
    op,
    inputs: spec.reads ?? ids.slice(0, inputs.length),
    outputs: ids.slice(inputs.length),
    params: spec.params,
    flops: spec.flops ?? 0,
  };
  const memory = allocateAll(backend, types, arrays);
  const loaded = backend.load(slotPlan(types, [step]));
  try {
    loaded.run(memory);
    return outputs.map((type, o) => backend.read(memory[inputs.length + o]!, type));
  } finally {
    loaded.dispose();
    memory.forEach((m) => backend.free(m));
  }
}

/** Runs one op by its rule in the table; `undefined` where the table leaves it to the decomposition. */
export function runOp(
  backend: Backend,
  op: Op,
  {
    inputs,
    attrs,
    arrays,
  }: {
    readonly inputs: readonly TensorType[];
    readonly attrs: object;
    readonly arrays: readonly HostArray[];
  },
): HostArray[] | undefined {
  const outputs = op.shape(inputs, attrs as never);
  const lowered = backend.lower({ op, attrs: attrs as never, inputs, outputs });
  if (lowered === undefined) return undefined;
  if (!("view" in lowered)) return runKernel(backend, lowered, { op: op.name, inputs, outputs, arrays });
  const memory = backend.allocate(inputs[lowered.view]!);
  backend.write(memory, inputs[lowered.view]!, arrays[lowered.view]!);
  const result = backend.read(memory, outputs[0]!);
  backend.free(memory);
  return [result];
}

/** The op's meaning in float64: its evaluation, or that of its decomposition. */
export function meaning(
  op: Op,
  types: readonly TensorType[],
  attrs: never,
  arrays: readonly Float64Array[],
): Float64Array[] {
  const outputs = op.shape(types, attrs);
  if (op.evaluate !== undefined) return [...op.evaluate(arrays, attrs, { inputs: types, outputs })];
  return interpret(trace(types, (values) => op.decompose!(values, attrs)).program, arrays);
}

function interpret(program: Program, args: readonly Float64Array[]): Float64Array[] {
  const env = new Map<Value, Float64Array>();
  program.inputs.forEach((input, i) => env.set(input, args[i]!));
  for (const { op, inputs, attrs, outputs } of program.equations) {
    const arrays = inputs.map((input) => env.get(input)!);
    meaning(op, inputs, attrs, arrays).forEach((result, i) => env.set(outputs[i]!, result));
  }
  return program.outputs.map((output) => env.get(output)!);
}

/** How far float32 may be from float64: growing with the root of the number of terms; integers are exact. */
export function tolerance(
  op: Op,
  types: readonly TensorType[],
  { attrs, dtype }: { readonly attrs: object; readonly dtype: StorageDType },
): Tolerance {
  if (dtype !== "float32") return { rtol: 0, atol: 0 };
  const growth = Math.sqrt(op.terms?.(types, attrs as never) ?? 1);
  return { rtol: 1.3e-6 * growth, atol: 1e-5 * growth };
}
