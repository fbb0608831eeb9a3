// Every kernel of the lowering table against the op's float64 meaning, from the op's own samples: native in all its
// variants and thread counts, and wasm.
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/engine/backend/index.ts";
import { loweringTable } from "../../src/engine/backend/cpu/kernels/index.ts";
import { HostArray, IndexError, type TensorType } from "../../src/engine/core/index.ts";
import { allOps } from "../../src/engine/ops/index.ts";
import type { Op } from "../../src/engine/program/index.ts";
import { assertClose, drawSamples } from "../../src/testing/index.ts";
import { machineBackends, meaning, nativeVariant, runOp, tolerance, variants } from "./one-call.ts";

const covered = allOps.filter((op) => loweringTable.has(op.name));

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
    const actual = runOp(backend, op, { ...sample, arrays });
    if (actual === undefined) {
      expect(op.decompose, `${op.name} has neither kernel nor decomposition`).toBeDefined();
      return [];
    }
    actual.forEach((array, o) => {
      const allowed = tolerance(op, types, { attrs: sample.attrs, dtype: array.dtype });
      assertClose(array.toFlat(), expected[o]!, { ...allowed, what: `${op.name} sample ${index} output ${o}` });
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

describe.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (_, open) => {
  it.each(covered.map((op) => [op.name, op] as const))("%s", (__, op) => {
    compare(open(), op);
  });

  const refusing = covered.flatMap((op) =>
    op.errors.flatMap((sample) => (refusedByShape(op, sample) ? [] : [[op.name, op, sample] as const])),
  );
  it.each(refusing)("%s refuses an index out of range", (__, op, sample) => {
    const arrays = drawSamples(sample.inputs, 0);
    expect(() => runOp(open(), op, { ...sample, arrays })).toThrow(IndexError);
    expect(() => runOp(open(), op, { ...sample, arrays })).toThrow(sample.message);
  });
});

describe.each(variants)("native %s: the same bits on one thread and three", (variant) => {
  // Skipped, not passed, where the processor has no such variant.
  const there = nativeVariant(variant, 1) !== undefined;
  it.skipIf(!there).each(covered.map((op) => [op.name, op] as const))("%s", (_, op) => {
    const serial = compare(nativeVariant(variant, 1)!, op);
    const parallel = compare(nativeVariant(variant, 3)!, op);
    expect(serial.every((array, i) => array.equals(parallel[i]!))).toBe(true);
  });
});

it("a long row's argmax is its first NaN, else the first of equals", () => {
  const row = new Array<number>(203).fill(-1);
  const rows = [
    { row: row.with(150, 7).with(77, 7), place: 77 },
    { row: row.with(202, 7), place: 202 },
    { row: row.with(10, 7).with(120, NaN).with(190, NaN), place: 120 },
  ];
  const arrays = [HostArray.of(Float32Array.from(rows.flatMap((r) => r.row)), [3, 203])];
  const inputs: TensorType[] = [{ dtype: "float32", shape: [3, 203] }];
  const argmax = allOps.find((op) => op.name === "argmax")!;
  for (const backend of machineBackends().map(({ open }) => open())) {
    const [places] = runOp(backend, argmax, { inputs, attrs: { axis: 1 }, arrays })!;
    expect(places!.toFlat(), backend.describe()).toEqual(rows.map((r) => r.place));
  }
});

// Whether a refused case is refused by its types alone, before any number is looked at.
function refusedByShape(op: Op, { inputs, attrs }: { inputs: readonly TensorType[]; attrs: never }): boolean {
  try {
    op.shape(inputs, attrs);
    return false;
  } catch {
    return true;
  }
}
