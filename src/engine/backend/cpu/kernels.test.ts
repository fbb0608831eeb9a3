// Every kernel of the lowering table against the op's float64 meaning, from the op's own samples: native in all its
// variants and thread counts, and wasm. Plans are made by hand: one call, every operand an external slot.
import { describe, expect, it } from "vitest";
import { assertClose } from "../../../testing/all-close.ts";
import { drawSamples } from "../../../testing/sample.ts";
import { HostArray, type TensorType } from "../../core/index.ts";
import { allOps } from "../../ops/index.ts";
import { Plan, type PlanBuffer } from "../../plan/index.ts";
import { trace, type Op, type Program, type Sample, type Value } from "../../program/index.ts";
import type { Backend, Lowered } from "../backend.ts";
import { createNative } from "../native/native.ts";
import { createWasm } from "../wasm/wasm.ts";
import { loweringTable } from "./kernels/index.ts";

/** A native backend of one variant; undefined where this processor has no such variant. */
function nativeVariant(variant: string, threads: number): Backend | undefined {
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

/** The op's meaning in float64: its evaluation, or that of its decomposition. */
function meaning(op: Op, types: readonly TensorType[], attrs: never, arrays: readonly Float64Array[]): Float64Array[] {
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

/** Runs one op on a backend; returns its outputs, or `undefined` where the table leaves this sample to the decomposition. */
function runOne(
  backend: Backend,
  op: Op,
  { inputs, attrs }: Sample<never>,
  arrays: readonly HostArray[],
): HostArray[] | undefined {
  const outputs = op.shape(inputs, attrs);
  const lowered: Lowered | undefined = backend.lower({ op, attrs, inputs, outputs });
  if (lowered === undefined) {
    expect(op.decompose, `${op.name} has neither kernel nor decomposition`).toBeDefined();
    return undefined;
  }
  if ("view" in lowered) {
    const memory = backend.allocate(inputs[lowered.view]!);
    backend.write(memory, inputs[lowered.view]!, arrays[lowered.view]!);
    return [backend.read(memory, outputs[0]!)];
  }
  const types = [...inputs, ...outputs, ...(lowered.scratch ?? [])];
  const buffers = types.map(({ dtype, shape }, slot): PlanBuffer => ({
    dtype,
    shape,
    place: { kind: "external", slot },
  }));
  const ids = types.map((_, i) => i);
  const plan = new Plan({
    buffers,
    steps: [
      {
        kind: "kernel",
        kernel: lowered.kernel,
        op: op.name,
        inputs: lowered.reads ?? ids.slice(0, inputs.length),
        outputs: ids.slice(inputs.length),
        params: lowered.params,
        flops: lowered.flops ?? 0,
      },
    ],
    arenaBytes: 0,
    inputs: ids.slice(0, inputs.length),
    outputs: ids.slice(inputs.length),
    donations: [],
    constants: [],
  });
  const memory = types.map((type) => backend.allocate(type));
  inputs.forEach((type, i) => backend.write(memory[i]!, type, arrays[i]!));
  const loaded = backend.load(plan);
  try {
    loaded.run(memory);
    return outputs.map((type, o) => backend.read(memory[inputs.length + o]!, type));
  } finally {
    loaded.dispose();
    memory.forEach((m) => backend.free(m));
  }
}

const covered = allOps.filter((op) => loweringTable.has(op.name));
const wasm = createWasm({ poison: true });

function compare(backend: Backend, op: Op): HostArray[] {
  const results = op.samples.flatMap((sample, index) => {
    const arrays = drawSamples(sample.inputs, index);
    const types = sample.inputs;
    const expected = meaning(
      op,
      types,
      sample.attrs,
      arrays.map(({ data }) => data),
    );
    const actual = runOne(backend, op, sample, arrays) ?? [];
    actual.forEach((array, o) => {
      const exact = array.dtype !== "float32";
      const growth = Math.sqrt(op.terms?.(types, sample.attrs) ?? 1);
      const tolerance = exact ? { rtol: 0, atol: 0 } : { rtol: 1.3e-6 * growth, atol: 1e-5 * growth };
      assertClose(array.toFlat(), expected[o]!, { ...tolerance, what: `${op.name} sample ${index} output ${o}` });
    });
    return actual;
  });
  expect(results.length, `${op.name} ran`).toBeGreaterThan(0);
  return results;
}

it("the table names only ops that exist", () => {
  const names = new Set(allOps.map((op) => op.name));
  expect([...loweringTable.keys()].filter((name) => !names.has(name))).toEqual([]);
});

describe.each(["avx512", "avx2", "baseline"])("native %s", (variant) => {
  it.each(covered.map((op) => [op.name, op] as const))("%s", (_, op) => {
    const one = nativeVariant(variant, 1);
    if (one === undefined) return;
    const serial = compare(one, op);
    const parallel = compare(nativeVariant(variant, 3)!, op);
    expect(serial.every((array, i) => array.equals(parallel[i]!))).toBe(true);
  });
});

describe("wasm", () => {
  it.each(covered.map((op) => [op.name, op] as const))("%s", (_, op) => {
    compare(wasm, op);
  });
});
