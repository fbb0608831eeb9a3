// Convolution and pooling on sizes that take the fast paths and are split over threads: the op's float64 meaning, and the same
// bits on any number of threads.
import { describe, expect, it } from "vitest";
import type { Backend, KernelSpec } from "../../src/engine/backend/index.ts";
import type { HostArray, TensorType } from "../../src/engine/core/index.ts";
import {
  add,
  broadcast,
  conv,
  convFilter,
  convInput,
  float,
  fusedElementwise,
  maxPoolScatter,
  tanh,
} from "../../src/engine/ops/index.ts";
import { anyOp, trace, type Op, type SampleInput } from "../../src/engine/program/index.ts";
import { assertClose, drawSamples } from "../../src/testing/index.ts";
import { machineBackends, meaning, nativeVariant, runKernel, runOp, tolerance, variants } from "./one-call.ts";

interface Case {
  readonly x: readonly [number, number, number, number];
  /** Height, width, filters. */
  readonly kernel: readonly [number, number, number];
  readonly stride?: number;
  readonly pad?: readonly [number, number];
  readonly dilation?: number;
  readonly groups?: number;
}

const cases: { readonly [name: string]: Case } = {
  "3x3": { x: [4, 14, 14, 16], kernel: [3, 3, 32] },
  "3x3, odd sizes, channels beside vectors": { x: [3, 11, 12, 21], kernel: [3, 3, 35], pad: [1, 1] },
  "3x3, uneven padding": { x: [2, 9, 10, 16], kernel: [3, 3, 17], pad: [2, 1] },
  "3x3, padding beyond the window": { x: [2, 6, 7, 16], kernel: [3, 3, 16], pad: [3, 4] },
  "3x3 in groups": { x: [2, 9, 9, 40], kernel: [3, 3, 64], pad: [1, 1], groups: 2 },
  "3x3, many channels": { x: [1, 6, 6, 290], kernel: [3, 3, 20], pad: [1, 1] },
  "3x3 on one channel": { x: [8, 15, 28, 1], kernel: [3, 3, 32] },
  "3x3 on three channels": { x: [2, 21, 20, 3], kernel: [3, 3, 20], pad: [1, 1] },
  "7x7, steps of two, three channels": { x: [1, 29, 30, 3], kernel: [7, 7, 36], pad: [3, 3], stride: 2 },
  "5x5": { x: [4, 12, 12, 9], kernel: [5, 5, 14] },
  "5x5 on the whole image": { x: [3, 5, 6, 12], kernel: [5, 5, 20] },
  "3x3, steps of two": { x: [3, 15, 15, 16], kernel: [3, 3, 33], pad: [1, 1], stride: 2 },
  "3x3, dilated": { x: [2, 13, 13, 16], kernel: [3, 3, 16], pad: [2, 2], dilation: 2 },
  "1x1": { x: [3, 13, 13, 40], kernel: [1, 1, 50] },
  "3x3, every channel by itself": { x: [2, 9, 9, 20], kernel: [3, 3, 40], pad: [1, 1], groups: 20 },
};

const calls = Object.entries(cases).flatMap(
  ([name, { x, kernel, stride = 1, pad = [0, 0], dilation = 1, groups = 1 }]) => {
    const [kh, kw, filters] = kernel;
    const attrs = {
      strides: [stride, stride],
      padding: [pad, pad],
      dilation: [dilation, dilation],
      groups,
    } as const;
    const [image, weights] = [float(x), float([kh, kw, x[3] / groups, filters])];
    const y = float(anyOp(conv.op).shape([image, weights] as readonly TensorType[], attrs as never)[0]!.shape);
    return [
      [`conv ${name}`, anyOp(conv.op), [image, weights], attrs],
      [`convInput ${name}`, anyOp(convInput.op), [y, weights], { ...attrs, inputSize: [x[1], x[2]] }],
      [`convFilter ${name}`, anyOp(convFilter.op), [image, y], { ...attrs, kernelSize: [kh, kw] }],
    ] as [string, ReturnType<typeof anyOp>, SampleInput[], object][];
  },
);

const pools = Object.entries({
  "side by side": { x: [4, 12, 13, 40], window: [2, 2], strides: [2, 2], pad: [0, 0] },
  "with cells between": { x: [4, 14, 14, 20], window: [2, 3], strides: [4, 5], pad: [1, 0] },
  "that overlap": { x: [17, 9, 9, 33], window: [3, 3], strides: [2, 2], pad: [1, 1] },
}).map(([name, { x, window, strides, pad }]) => {
  const attrs = { window, strides, padding: [pad, pad] };
  const image = float(x);
  const y = float([x[0]!, ...[1, 2].map((i) => Math.floor((x[i]! + pad[0]! + pad[1]! - window[i - 1]!) / strides[i - 1]!) + 1), x[3]!]); // prettier-ignore
  return [`maxPoolScatter ${name}`, anyOp(maxPoolScatter.op), [image, y], attrs] as const;
});

// tanh(result + bias of the channel) by the twin of a convolution that ends with a loop program.
function withEnd(
  backend: Backend,
  op: Op,
  { inputs, attrs, arrays }: { inputs: readonly SampleInput[]; attrs: object; arrays: readonly HostArray[] },
): HostArray {
  // prettier-ignore
  const shape = op.shape(inputs, attrs as never)[0]!.shape;
  const [result, bias] = [float(shape), float([shape[3]!])];
  const { program: body } = trace([result, bias], ([x, b]) => [tanh(add(x!, broadcast(b!, shape, [3])))]);
  const kernel = (of: Op, types: readonly TensorType[], how: object): KernelSpec => {
    const lowered = backend.lower({ op: of, attrs: how as never, inputs: types, outputs: [result] });
    expect(lowered).toHaveProperty("params");
    return lowered as KernelSpec;
  };
  const loop = kernel(anyOp(fusedElementwise.op), [result, bias], { body });
  const params = [...kernel(op, inputs, attrs).params, loop.reads!.indexOf(0), 0, ...loop.params];
  const types = [...inputs, bias];
  const call = { op: op.name, inputs: types, outputs: [result], arrays: [...arrays, ...drawSamples([bias], 1)] };
  return runKernel(backend, { kernel: `${op.name}Loop`, params }, call)[0]!;
}

describe.each(calls.filter(([, op]) => op.name !== "convFilter"))(
  "%s, with a loop program at its end",
  (_, op, inputs, attrs) => {
    const arrays = drawSamples(inputs, 0);
    const plain = meaning(
      op,
      inputs,
      attrs as never,
      arrays.map(({ data }) => data),
    )[0]!;
    const channels = op.shape(inputs, attrs as never)[0]!.shape[3]!;
    const bias = drawSamples([float([channels])], 1)[0]!.data;
    const expected = [...plain].map((x, i) => Math.tanh(x + bias[i % channels]!));

    it.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (__, open) => {
      const allowed = tolerance(op, inputs, { attrs, dtype: "float32" });
      assertClose(withEnd(open(), op, { inputs, attrs, arrays }).toFlat(), expected, { ...allowed, what: op.name });
    });

    const here = variants.filter((variant) => nativeVariant(variant, 1) !== undefined);
    it.each(here)("native %s: the same bits on one thread and three", (variant) => {
      const [serial, parallel] = [1, 3].map((threads) =>
        withEnd(nativeVariant(variant, threads)!, op, { inputs, attrs, arrays }),
      );
      expect(serial!.equals(parallel!)).toBe(true);
    });
  },
);

describe.each([...calls, ...pools])("%s", (_, op, inputs, attrs) => {
  const types: readonly TensorType[] = inputs;
  const arrays = drawSamples(inputs, 0);
  const expected = meaning(
    op,
    types,
    attrs as never,
    arrays.map(({ data }) => data),
  );

  it.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (__, open) => {
    const actual = runOp(open(), op, { inputs: types, attrs, arrays })!;
    actual.forEach((array, o) => {
      const allowed = tolerance(op, types, { attrs, dtype: array.dtype });
      assertClose(array.toFlat(), expected[o]!, { ...allowed, what: `${op.name} output ${o}` });
    });
  });

  const here = variants.filter((variant) => nativeVariant(variant, 1) !== undefined);
  it.each(here)("native %s: the same bits on one thread and three", (variant) => {
    const [serial, parallel] = [1, 3].map((threads) =>
      runOp(nativeVariant(variant, threads)!, op, { inputs: types, attrs, arrays }),
    );
    expect(serial!.every((array, i) => array.equals(parallel![i]!))).toBe(true);
  });
});
