// Speed of single kernels: matrix products in all four transposes, convolutions with their gradients, element-wise functions.
//
//   npm run bench -- kernels [--device native|wasm] [--ms 400]
import { HostArray, type Shape } from "chainrule";
import * as ops from "chainrule/ops";
import { trace, type Value } from "chainrule/program";
import { device, type Device, type DeviceName } from "chainrule/runtime";

export const about = "single kernels: GFLOP/s of products and convolutions, elements per ns of functions";

interface Options {
  readonly device?: DeviceName;
  /** Milliseconds to repeat each for. */
  readonly ms?: string;
}

interface Row {
  readonly [column: string]: string | number;
}

export default function measure({ device: name = "native", ms = "400" }: Options): Row[] {
  const on = device(name);
  const time = (shapes: readonly Shape[], fn: (inputs: readonly Value[]) => Value): number =>
    seconds(on, { shapes, fn, ms: Number(ms) });
  const rows: Row[] = [];
  const add = (kernel: string, size: string, columns: Row): void =>
    void rows.push({ device: on.name, threads: on.threads, kernel, size, ...columns });

  for (const [m, n, k] of [
    [1024, 1024, 1024],
    [512, 512, 512],
    [256, 256, 256],
    [64, 64, 64],
    [32, 128, 784],
    [784, 128, 32],
    [1, 4096, 1024],
  ] as const) {
    const rate = (transposeA: boolean, transposeB: boolean): number => {
      const a = transposeA ? [k, m] : [m, k];
      const b = transposeB ? [n, k] : [k, n];
      return (2 * m * n * k) / time([a, b], ([x, y]) => ops.matmul(x!, y!, { transposeA, transposeB })) / 1e9;
    };
    add("matmul", `${m}x${n}x${k}`, {
      "NN/forward": rate(false, false),
      "NT/input": rate(false, true),
      "TN/filter": rate(true, false),
      TT: rate(true, true),
    });
  }
  for (const [n, h, c, f] of [
    [32, 28, 1, 32],
    [32, 14, 32, 64],
    [8, 28, 64, 64],
  ] as const) {
    const [x, w, y] = [
      [n, h, h, c],
      [3, 3, c, f],
      [n, h, h, f],
    ];
    const attrs = {
      padding: [
        [1, 1],
        [1, 1],
      ],
    } as const;
    const rate = (shapes: readonly Shape[], fn: (inputs: readonly Value[]) => Value): number =>
      (2 * n * h * h * f * 9 * c) / time(shapes, fn) / 1e9;
    add("conv 3x3", `${n}x${h}x${h}x${c}->${f}`, {
      "NN/forward": rate([x, w], ([a, b]) => ops.conv(a!, b!, attrs)),
      "NT/input": rate([y, w], ([a, b]) => ops.convInput(a!, b!, { ...attrs, inputSize: [h, h] })),
      "TN/filter": rate([x, y], ([a, b]) => ops.convFilter(a!, b!, { ...attrs, kernelSize: [3, 3] })),
    });
  }
  const n = 1 << 20;
  for (const op of [ops.neg, ops.exp, ops.tanh, ops.erf, ops.sin]) {
    add(op.op.name, String(n), { "elements/ns": n / time([[n]], ([x]) => op(x!)) / 1e9 });
  }
  return rows;
}

// The median of repeated runs; the outputs' memory is reused from run to run.
function seconds(
  on: Device,
  { shapes, fn, ms }: { shapes: readonly Shape[]; fn: (inputs: readonly Value[]) => Value; ms: number },
): number {
  const types = shapes.map((shape) => ({ dtype: "float32" as const, shape }));
  const { program } = trace(types, (inputs) => [fn(inputs)]);
  const executable = on.executable(program);
  const inputs = types.map((type) => {
    const array = new HostArray("float32", type.shape);
    for (let i = 0; i < array.size; i++) array.data[i] = Math.random() - 0.5;
    return on.put(array, type);
  });
  const runs: number[] = [];
  const began = performance.now();
  while (performance.now() - began < ms || runs.length < 5) {
    const start = performance.now();
    const outputs = executable.run(inputs);
    runs.push(performance.now() - start);
    for (const output of outputs) output.dispose();
  }
  for (const input of inputs) input.dispose();
  return runs.sort((a, b) => a - b)[runs.length >> 1]! / 1000;
}
