// The matrix product on sizes that meet every path of the kernel: one and few rows, edges of tiles, several panels and
// blocks, rows a power of two apart, empty sums, batches. Held to the op's float64 meaning, and to the same bits on any threads.
import { describe, expect, it } from "vitest";
import type { Backend, KernelSpec } from "../../src/engine/backend/index.ts";
import type { HostArray } from "../../src/engine/core/index.ts";
import { add, broadcast, float, fusedElementwise, matmul, tanh } from "../../src/engine/ops/index.ts";
import { anyOp, trace, type Op } from "../../src/engine/program/index.ts";
import { assertClose, drawSamples } from "../../src/testing/index.ts";
import { machineBackends, meaning, nativeVariant, runKernel, runOp, tolerance, variants } from "./one-call.ts";

const op = anyOp(matmul.op);

// batch, m, n, k
const sizes = [
  [1, 1, 37, 50],
  [1, 3, 131, 70],
  [1, 7, 200, 33],
  [1, 129, 4, 65],
  [1, 33, 10, 64],
  [1, 32, 128, 784],
  [1, 13, 65, 17],
  [1, 50, 70, 0],
  [1, 97, 193, 401],
  [1, 64, 64, 1024],
  [1, 300, 132, 40],
  [1, 700, 300, 20],
  [3, 65, 47, 29],
] as const;
const flags = [false, true];
const cases = sizes.flatMap(([batch, m, n, k]) =>
  flags.flatMap((transposeA) =>
    flags.map((transposeB) => {
      const inputs = [
        float(transposeA ? [batch, k, m] : [batch, m, k]),
        float(transposeB ? [batch, n, k] : [batch, k, n]),
      ];
      const attrs = { transposeA, transposeB };
      const arrays = drawSamples(inputs, m + n + k);
      const numbers = arrays.map(({ data }) => data);
      return { inputs, attrs, arrays, expected: meaning(op, inputs, attrs as never, numbers)[0]! };
    }),
  ),
);

// tanh(product + bias) as one call of the twin that ends with a loop program, the product in the result's memory.
const group = anyOp(fusedElementwise.op);
function withEnd(backend: Backend, { inputs, attrs, arrays }: (typeof cases)[number]): HostArray {
  const [batch, m, n] = op.shape(inputs, attrs as never)[0]!.shape as [number, number, number];
  const product = float([batch, m, n]);
  const bias = float([n]);
  const { program: body } = trace([product, bias], ([x, b]) => [tanh(add(x!, broadcast(b!, [batch, m, n], [2])))]);
  const kernel = (of: Op, types: typeof inputs, how: object): KernelSpec => {
    const lowered = backend.lower({ op: of, attrs: how as never, inputs: types, outputs: [product] });
    expect(lowered).toHaveProperty("params");
    return lowered as KernelSpec;
  };
  const loop = kernel(group, [product, bias], { body });
  const params = [...kernel(op, inputs, attrs).params, loop.reads!.indexOf(0), 0, ...loop.params];
  const types = [...inputs, bias];
  const biases = drawSamples([bias], n);
  const call = { op: "matmulLoop", inputs: types, outputs: [product], arrays: [...arrays, ...biases] };
  return runKernel(backend, { kernel: "matmulLoop", params }, call)[0]!;
}
function expectedWithEnd({ inputs, attrs, expected }: (typeof cases)[number]): number[] {
  const n = op.shape(inputs, attrs as never)[0]!.shape[2]!;
  const bias = drawSamples([float([n])], n)[0]!.data;
  return [...expected].map((x, i) => Math.tanh(x + bias[i % n]!));
}

const nameOf = ({ inputs, attrs }: (typeof cases)[number]): string =>
  `${inputs.map(({ shape }) => shape.join("x")).join(" @ ")} ${JSON.stringify(attrs)}`;

describe("matmul", () => {
  it.each(machineBackends().map(({ label, open }) => [label, open] as const))("%s", (_, open) => {
    const backend = open();
    for (const one of cases) {
      const [actual] = runOp(backend, op, one)!;
      const allowed = tolerance(op, one.inputs, { attrs: one.attrs, dtype: "float32" });
      assertClose(actual!.toFlat(), one.expected, { ...allowed, what: nameOf(one) });
      const both = { rtol: allowed.rtol! + 1.3e-6, atol: allowed.atol! + 1e-5 }; // of an empty sum the loop rounds too
      assertClose(withEnd(backend, one).toFlat(), expectedWithEnd(one), { ...both, what: `${nameOf(one)} + loop` });
    }
  });

  const here = variants.filter((variant) => nativeVariant(variant, 1) !== undefined);
  it.each(here)("native %s: the same bits on one thread and three", (variant) => {
    const [serial, parallel] = [1, 3].map((threads) => {
      const backend = nativeVariant(variant, threads)!;
      return cases.flatMap((one) => [runOp(backend, op, one)![0]!, withEnd(backend, one)]);
    });
    serial!.forEach((array, i) => expect(array.equals(parallel![i]!), nameOf(cases[i >> 1]!)).toBe(true));
  });
});
