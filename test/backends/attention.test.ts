// Attention and its gradient on sizes that are split over threads: the op's float64 meaning, and the same bits on any number of them.
import { describe, expect, it } from "vitest";
import type { TensorType } from "../../src/engine/core/index.ts";
import { attention as attend, ones, tensor } from "../../src/engine/tensor/index.ts";
import { attention, attentionGrad, float, type AttentionAttrs } from "../../src/engine/ops/index.ts";
import { anyOp, type SampleInput } from "../../src/engine/program/index.ts";
import { assertClose, drawSamples } from "../../src/testing/index.ts";
import { machineBackends, meaning, nativeVariant, runOp, tolerance, variants } from "./one-call.ts";

const [B, H, G, T, S, D] = [2, 4, 2, 130, 200, 21] as const;
const q = float([B, H, T, D]);
const kv = float([B, G, S, D]);
const mask: SampleInput = { dtype: "bool", shape: [B, 1, T, S], low: 0, high: 1 };
const plain = { causal: true, scale: 0.3 };
const key: SampleInput = { dtype: "uint32", shape: [2], values: [3, 2026] };
const own = float([B, G, T, D]);
// Documents of all lengths; in the second row one comes back.
const ends = [1, 64, 65, 100, T];
const segments: SampleInput = {
  dtype: "int32",
  shape: [B, T],
  values: [0, 1].flatMap((b) =>
    Array.from({ length: T }, (_, t) => (b === 1 && t > 110 ? 1 : ends.findIndex((end) => t < end))),
  ),
};
const [one, grad] = [anyOp(attention.op), anyOp(attentionGrad.op)];
const calls: [string, ReturnType<typeof anyOp>, SampleInput[], AttentionAttrs][] = [
  ["attention", one, [q, kv, kv, mask], plain],
  ["attentionGrad", grad, [q, kv, kv, mask, q, q], plain],
  ["attention with dropout", one, [q, kv, kv, mask, key], { ...plain, rate: 0.3 }],
  ["attentionGrad with dropout", grad, [q, kv, kv, mask, key, q, q], { ...plain, rate: 0.3 }],
  ["attention inside documents", one, [q, own, own, segments], plain],
  ["attentionGrad inside documents", grad, [q, own, own, segments, q, q], plain],
  ["attention inside documents, both ways", one, [q, own, own, segments, key], { ...plain, causal: false, rate: 0.3 }],
  ["attentionGrad inside documents, both ways", grad, [q, own, own, segments, q, q], { ...plain, causal: false }],
];

describe.each(calls)("%s", (_, op, inputs, attrs) => {
  const types: readonly TensorType[] = inputs;
  const arrays = drawSamples(inputs, 0);
  const masked = inputs[3]!.dtype === "bool";
  if (masked) arrays[3]!.data.fill(0, 0, S); // the first query of the first batch may look nowhere
  const numbers = arrays.map(({ data }) => data);
  const expected = meaning(op, types, attrs as never, numbers);

  it.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (__, open) => {
    const actual = runOp(open(), op, { inputs: types, attrs, arrays })!;
    actual.forEach((array, o) => {
      const allowed = tolerance(op, types, { attrs, dtype: array.dtype });
      assertClose(array.toFlat(), expected[o]!, { ...allowed, what: `${op.name} output ${o}` });
    });
    if (masked) expect(actual[0]!.toFlat().slice(0, D)).toEqual(new Array(D).fill(0));
  });

  const here = variants.filter((variant) => nativeVariant(variant, 1) !== undefined);
  it.each(here)("native %s: the same bits on one thread and three", (variant) => {
    const [serial, parallel] = [1, 3].map((threads) =>
      runOp(nativeVariant(variant, threads)!, op, { inputs: types, attrs, arrays }),
    );
    expect(serial!.every((array, i) => array.equals(parallel![i]!))).toBe(true);
  });
});

it("attention of tensors takes a mask of bool alone: whole numbers are documents, and not by mistake", () => {
  const x = ones([1, 1, 2, 4]);
  const numbers = tensor([[1, 1]], { dtype: "int32" });
  expect(() => attend(x, { k: x, v: x, mask: numbers })).toThrow("`mask` is bool: received int32[1,2]");
  expect(() => attend(x, { k: x, v: x, segments: numbers.equal(1) })).toThrow("`segments` is int32");
});
