// Attention and its gradient on sizes that are split over threads: the op's float64 meaning, and the same bits on any number of them.
import { describe, expect, it } from "vitest";
import type { TensorType } from "../../src/engine/core/index.ts";
import { attention, attentionGrad, float } from "../../src/engine/ops/index.ts";
import { anyOp, type SampleInput } from "../../src/engine/program/index.ts";
import { assertClose, drawSamples } from "../../src/testing/index.ts";
import { machineBackends, meaning, nativeVariant, runOp, tolerance, variants } from "./one-call.ts";

const [B, H, G, T, S, D] = [2, 4, 2, 130, 200, 21] as const;
const q = float([B, H, T, D]);
const kv = float([B, G, S, D]);
const mask: SampleInput = { dtype: "bool", shape: [B, 1, T, S], low: 0, high: 1 };
const attrs = { causal: true, scale: 0.3 };
const calls: [string, ReturnType<typeof anyOp>, SampleInput[]][] = [
  ["attention", anyOp(attention.op), [q, kv, kv, mask]],
  ["attentionGrad", anyOp(attentionGrad.op), [q, kv, kv, mask, q, q]],
];

describe.each(calls)("%s", (_, op, inputs) => {
  const types: readonly TensorType[] = inputs;
  const arrays = drawSamples(inputs, 0);
  arrays[3]!.data.fill(0, 0, S); // the first query of the first batch may look nowhere
  const numbers = arrays.map(({ data }) => data);
  const expected = meaning(op, types, attrs as never, numbers);

  it.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (__, open) => {
    const actual = runOp(open(), op, { inputs: types, attrs, arrays })!;
    actual.forEach((array, o) => {
      const allowed = tolerance(op, types, { attrs, dtype: array.dtype });
      assertClose(array.toFlat(), expected[o]!, { ...allowed, what: `${op.name} output ${o}` });
    });
    expect(actual[0]!.toFlat().slice(0, D)).toEqual(new Array(D).fill(0));
  });

  const here = variants.filter((variant) => nativeVariant(variant, 1) !== undefined);
  it.each(here)("native %s: the same bits on one thread and three", (variant) => {
    const [serial, parallel] = [1, 3].map((threads) =>
      runOp(nativeVariant(variant, threads)!, op, { inputs: types, attrs, arrays }),
    );
    expect(serial!.every((array, i) => array.equals(parallel![i]!))).toBe(true);
  });
});
