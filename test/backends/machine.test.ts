// The machine backends as such: memory, conversions, plans with loops, errors, threads, runs off the event loop.
import { describe, expect, it } from "vitest";
import { createNative, type Backend, type KernelSpec } from "../../src/engine/backend/index.ts";
import {
  ArgumentError,
  BackendError,
  HostArray,
  IndexError,
  keyOf,
  sizeOf,
  toBfloat16,
  toFloat16,
  type DType,
  type Shape,
  type TensorType,
} from "../../src/engine/core/index.ts";
import { allOps, float, int } from "../../src/engine/ops/index.ts";
import { Plan, type KernelCall } from "../../src/engine/plan/index.ts";
import { assertClose, drawWeights } from "../../src/testing/index.ts";
import {
  allocateAll,
  meaning,
  nativeBuilt,
  nativeVariant,
  runOp,
  slotPlan,
  tolerance,
  variants,
  wasms,
} from "./one-call.ts";

const backends: [string, () => Backend][] = wasms.map(({ label, open }) => [label, open]);
if (nativeBuilt) backends.unshift(["native", () => createNative({ poison: true })]);

const opOf = (name: string): (typeof allOps)[number] => allOps.find((op) => op.name === name)!;

/** The call of an op whose operands are slots: inputs first, then outputs. */
function callOf(
  backend: Backend,
  name: string,
  slots: { inputs: readonly [number, TensorType][]; outputs: readonly [number, TensorType][]; attrs?: object },
): KernelCall {
  const [inputs, outputs] = [slots.inputs.map(([, type]) => type), slots.outputs.map(([, type]) => type)];
  const spec = backend.lower({ op: opOf(name), attrs: (slots.attrs ?? {}) as never, inputs, outputs }) as KernelSpec;
  return {
    kind: "kernel",
    kernel: spec.kernel,
    op: name,
    inputs: (spec.reads ?? inputs.map((_, i) => i)).map((i) => slots.inputs[i]![0]),
    outputs: slots.outputs.map(([slot]) => slot),
    params: spec.params,
    flops: 0,
  };
}

describe.each(backends)("%s", (_, open) => {
  it("says what runs", () => {
    expect(open().describe()).toMatch(/thread/);
  });

  it.each<[string, HostArray, DType, number[]]>([
    ["float64", HostArray.of(Float64Array.of(1.5, -2, 1e300)), "float32", [1.5, -2, Infinity]],
    ["uint8", HostArray.of(Uint8Array.of(0, 7, 255)), "float32", [0, 7, 255]],
    ["int16", HostArray.of(Int16Array.of(-3, 4)), "int32", [-3, 4]],
    ["int64", HostArray.of(BigInt64Array.of(-5n, 2n ** 31n - 1n)), "int32", [-5, 2 ** 31 - 1]],
    ["int64", HostArray.of(BigInt64Array.of(3n)), "float32", [3]],
    ["int32", HostArray.of(Int32Array.of(0, -7)), "bool", [0, 1]],
    ["float16", new HostArray("float16", [2], Uint16Array.of(toFloat16(1.5), toFloat16(-2))), "float32", [1.5, -2]],
    ["bfloat16", new HostArray("bfloat16", [1], Uint16Array.of(toBfloat16(3))), "float32", [3]],
    ["bool", new HostArray("bool", [3], Uint8Array.of(0, 1, 5)), "bool", [0, 1, 1]],
    ["bool", new HostArray("bool", [2], Uint8Array.of(0, 1)), "float32", [0, 1]],
  ])("takes %s: %s as %s", (__, array, dtype, expected) => {
    const backend = open();
    const type: TensorType = { dtype, shape: array.shape };
    const [memory] = allocateAll(backend, [type], [array]);
    expect(backend.read(memory!, type).toFlat()).toEqual(expected);
    expect(backend.read(memory!, type).dtype).toBe(dtype);
  });

  it("converts arrays longer than a piece", () => {
    const backend = open();
    const array = HostArray.of(Uint8Array.from({ length: 100_003 }, (__, i) => i % 251));
    const type: TensorType = { dtype: "float32", shape: array.shape };
    const [memory] = allocateAll(backend, [type], [array]);
    expect(backend.read(memory!, type).toFlat()).toEqual(array.toFlat());
  });

  it("refuses numbers that do not fit, arrays of another size, and memory that was freed", () => {
    const backend = open();
    const memory = backend.allocate(int([1], 0, 0));
    const big = HostArray.of(BigInt64Array.of(2n ** 31n));
    expect(() => backend.write(memory, { dtype: "int32", shape: [1] }, big)).toThrow(ArgumentError);
    expect(() => backend.write(memory, float([1]), HostArray.of(new Float32Array(2)))).toThrow(ArgumentError);
    backend.free(memory);
    backend.free(memory);
    expect(() => backend.read(memory, float([1]))).toThrow(BackendError);
  });

  it("shows memory that was never written as NaN, in fresh allocations and in the arena", () => {
    const backend = open();
    const type = float([5]);
    expect(backend.read(backend.allocate(type), type).toFlat()).toEqual([NaN, NaN, NaN, NaN, NaN]);
    const call = callOf(backend, "copy", { inputs: [[0, type]], outputs: [[1, type]] });
    const plan = new Plan({
      buffers: [
        { ...type, place: { kind: "arena", offset: 64 } },
        { ...type, place: { kind: "external", slot: 0 } },
      ],
      steps: [call],
      arenaBytes: 128,
      inputs: [],
      outputs: [],
      donations: [],
      constants: [],
    });
    const [out] = allocateAll(backend, [type], [HostArray.of(new Float32Array(5))]);
    backend.load(plan).run([out!]);
    expect(backend.read(out!, type).toFlat()).toEqual([NaN, NaN, NaN, NaN, NaN]);
  });

  it("names a kernel it does not have", () => {
    const call: KernelCall = {
      kind: "kernel",
      kernel: "warp",
      op: "warp",
      inputs: [],
      outputs: [],
      params: [],
      flops: 0,
    };
    expect(() => open().load(slotPlan([], [call]))).toThrow(/no kernel `warp`/);
  });

  it("stops at an index out of range and names op and call, on and off the event loop", async () => {
    const backend = open();
    const types = [float([4, 2]), int([3], 0, 0), float([3, 2]), float([3, 2])];
    const steps = [
      callOf(backend, "neg", { inputs: [[2, types[2]!]], outputs: [[3, types[3]!]] }),
      callOf(backend, "gather", {
        inputs: [
          [0, types[0]!],
          [1, types[1]!],
        ],
        outputs: [[2, types[2]!]],
        attrs: { axis: 0 },
      }),
    ];
    const arrays = [HostArray.of(new Float32Array(8), [4, 2]), HostArray.of(Int32Array.of(0, 4, 9))];
    const memory = allocateAll(backend, types, arrays);
    const loaded = backend.load(slotPlan(types, steps));
    expect(() => loaded.run(memory)).toThrow(IndexError);
    expect(() => loaded.run(memory)).toThrow(/gather: index 4 is out of range \[0, 4\)[^]*call 1/);
    await expect(loaded.runAsync(memory)).rejects.toThrow(IndexError);
    // The plan is as good as before once the index is.
    backend.write(memory[1]!, types[1]!, HostArray.of(Int32Array.of(0, 3, 1)));
    await loaded.runAsync(memory);
    expect(backend.read(memory[2]!, types[2]!).toFlat()).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it.each([false, true])("runs loops within loops (reverse %s)", (reverse) => {
    // total ← total + row, inside: row ← row + x each of 3 turns; ys[i] = total.
    const backend = open();
    const row = float([2]);
    const types = [float([4, 2]), row, row, row, float([4, 2])]; // xs, x, total, sum, ys
    const add = (a: number, b: number, to: number): KernelCall =>
      callOf(backend, "add", {
        inputs: [
          [a, row],
          [b, row],
        ],
        outputs: [[to, row]],
      });
    const plan = slotPlan(types, [
      {
        kind: "loop",
        count: 4,
        reverse,
        reads: [{ whole: 0, part: 1 }],
        body: [
          {
            kind: "loop",
            count: 3,
            reverse: false,
            reads: [],
            body: [add(2, 1, 3)],
            writes: [],
            carries: [{ from: 3, to: 2 }],
          },
        ],
        writes: [{ whole: 4, part: 2 }],
        carries: [],
      },
    ]);
    const xs = HostArray.of(Float32Array.of(1, 10, 2, 20, 3, 30, 4, 40), [4, 2]);
    const memory = allocateAll(backend, types, [xs, undefined, HostArray.of(new Float32Array(2))]);
    backend.load(plan).run(memory);
    const expected = reverse ? [30, 300, 27, 270, 21, 210, 12, 120] : [3, 30, 9, 90, 18, 180, 30, 300];
    expect(backend.read(memory[4]!, types[4]!).toFlat()).toEqual(expected);
  });

  it("runs one plan several times at once, each on its own memory", async () => {
    const backend = open();
    const n = 300;
    const types = [float([n, n]), float([n, n])];
    const call = callOf(backend, "matmul", {
      inputs: [
        [0, types[0]!],
        [0, types[0]!],
      ],
      outputs: [[1, types[1]!]],
      attrs: { transposeA: false, transposeB: true },
    });
    const loaded = backend.load(slotPlan(types, [call]));
    const inputs = [1, 2, 3].map((seed) => HostArray.of(Float32Array.from(drawWeights(n * n, keyOf(seed))), [n, n]));
    const memories = inputs.map((array) => allocateAll(backend, types, [array]));
    await Promise.all(memories.map((memory) => loaded.runAsync(memory)));
    const results = memories.map((memory) => backend.read(memory[1]!, types[1]!));
    memories.forEach((memory, i) => {
      loaded.run(memory);
      expect(backend.read(memory[1]!, types[1]!).equals(results[i]!)).toBe(true);
    });
    loaded.dispose();
    loaded.dispose();
    expect(() => loaded.run(memories[0]!)).toThrow(/disposed/);
  });

  it("refuses more than eight axes that do not merge", () => {
    const shape = new Array<number>(9).fill(2);
    const outputs = [float(shape)];
    const attrs = { permutation: [8, 7, 6, 5, 4, 3, 2, 1, 0] };
    const lower = (): unknown =>
      open().lower({ op: opOf("transpose"), attrs: attrs as never, inputs: [float(shape)], outputs });
    expect(lower).toThrow(BackendError);
    expect(lower).toThrow(/9 axes/);
  });
});

it.skipIf(!nativeBuilt)("native leaves the event loop free", async () => {
  const backend = createNative();
  const n = 1024;
  const types = [float([n, n]), float([n, n])];
  const inputs = [0, 0].map((slot): [number, TensorType] => [slot, types[0]!]);
  const attrs = { transposeA: false, transposeB: false };
  const calls = Array.from({ length: 8 }, () =>
    callOf(backend, "matmul", { inputs, outputs: [[1, types[1]!]], attrs }),
  );
  const memory = allocateAll(backend, types, [HostArray.of(new Float32Array(n * n).fill(0.5), [n, n])]);
  const loaded = backend.load(slotPlan(types, calls));
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await loaded.runAsync(memory);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(3);
});

it.skipIf(!nativeBuilt)("refuses a variant or a number of threads that cannot be", () => {
  expect(() => createNative({ threads: 0 })).toThrow(ArgumentError);
  expect(() => createNative({ threads: 1.5 })).toThrow(ArgumentError);
  expect(nativeVariant("vax", 1)).toBeUndefined();
});

// Shapes large enough to be split over threads and into blocks, with tails everywhere.
const large: [string, readonly [Shape, DType?][], object][] = [
  ...[false, true].flatMap((transposeA) =>
    [false, true].map((transposeB): (typeof large)[number] => [
      "matmul",
      [[transposeA ? [301, 259] : [259, 301]], [transposeB ? [147, 301] : [301, 147]]],
      { transposeA, transposeB },
    ]),
  ),
  ["matmul", [[[3, 70, 65]], [[3, 65, 531]]], { transposeA: false, transposeB: false }],
  ["matmul", [[[1, 1200]], [[700, 1200]]], { transposeA: false, transposeB: true }],
  ["matmul", [[[900, 333]], [[333, 1]]], { transposeA: false, transposeB: false }],
  ["matmul", [[[1, 601]], [[601, 1030]]], { transposeA: false, transposeB: false }],
  ["matmul", [[[602, 7]], [[602, 1030]]], { transposeA: true, transposeB: false }],
  ["matmul", [[[603, 4]], [[333, 603]]], { transposeA: true, transposeB: true }],
  ["sum", [[[300_001]]], { axes: [0] }],
  ["sum", [[[3, 90_001]]], { axes: [1] }],
  ["sum", [[[40_001, 7]]], { axes: [0] }],
  ["sum", [[[5000, 77]]], { axes: [0] }],
  ["sum", [[[20, 33, 41, 10]]], { axes: [0, 2] }],
  ["max", [[[300, 700]]], { axes: [1] }],
  ["transpose", [[[300, 257, 5]]], { permutation: [1, 0, 2] }],
  ["transpose", [[[517, 601]]], { permutation: [1, 0] }],
  ["broadcast", [[[1, 300]]], { shape: [700, 300], axes: [0, 1] }],
  ["exp", [[[199_999]]], {}],
  ["softmax", [[[300, 517]]], { axis: 1 }],
  ["softmax", [[[31, 50, 67]]], { axis: 1 }],
  ["cumsum", [[[31, 50, 67]]], { axis: 1, reverse: true }],
  ["argmax", [[[60, 5000]]], { axis: 1 }],
  ["argmin", [[[60, 5003]]], { axis: 1 }],
  ["sort", [[[7, 3001]]], { axis: 1, descending: false }],
  ["layerNorm", [[[500, 131]], [[131]], [[131]]], { epsilon: 1e-5 }],
  ["layerNormGrad", [[[500, 131]], [[131]], [[500, 131]]], { epsilon: 1e-5 }],
  ...(["conv", "convInput", "convFilter"] as const).flatMap((name): (typeof large)[number][] => {
    const strided = { strides: [2, 1], dilation: [1, 2], groups: 1 };
    const padding = [
      [1, 2],
      [2, 0],
    ];
    const shapes = { x: [6, 21, 23, 10], w: [3, 3, 10, 37], y: [6, 11, 21, 37] };
    const list = { conv: ["x", "w"], convInput: ["y", "w"], convFilter: ["x", "y"] } as const;
    const wide = { x: [5, 20, 20, 24], w: [5, 5, 1, 24], y: [5, 20, 20, 24] };
    const around = { strides: [1, 1], dilation: [1, 1], groups: 24 };
    const repeated = { x: [5, 20, 20, 11], w: [3, 3, 1, 33], y: [5, 20, 20, 33] };
    const one = { x: [7, 30, 29, 1], w: [3, 3, 1, 33], y: [7, 30, 29, 33] };
    const few = { x: [3, 61, 43, 3], w: [5, 4, 3, 20], y: [3, 20, 15, 20] };
    const sparse = { x: [3, 61, 43, 2], w: [2, 3, 2, 20], y: [3, 16, 11, 20] };
    const plain = { strides: [1, 1], dilation: [1, 1], groups: 1 };
    const same = [
      [1, 1],
      [1, 1],
    ];
    const even = [
      [2, 2],
      [2, 2],
    ];
    const sizes = (kernel: readonly number[], input: readonly number[]): object => ({
      inputSize: input.slice(1, 3),
      kernelSize: kernel.slice(0, 2),
    });
    return [
      [name, list[name].map((k) => [shapes[k]]), { ...strided, padding, ...sizes(shapes.w, shapes.x) }],
      [name, list[name].map((k) => [wide[k]]), { ...around, padding: even, ...sizes(wide.w, wide.x) }],
      [
        name,
        list[name].map((k) => [repeated[k]]),
        { ...around, groups: 11, padding: same, ...sizes(repeated.w, repeated.x) },
      ],
      [name, list[name].map((k) => [one[k]]), { ...plain, padding: same, ...sizes(one.w, one.x) }],
      [
        name,
        list[name].map((k) => [few[k]]),
        {
          ...plain,
          strides: [3, 3],
          dilation: [1, 2],
          padding: [
            [2, 0],
            [5, 1],
          ],
          ...sizes(few.w, few.x),
        },
      ],
      [
        name,
        list[name].map((k) => [sparse[k]]),
        {
          ...plain,
          strides: [4, 4],
          padding: [
            [3, 0],
            [0, 0],
          ],
          ...sizes(sparse.w, sparse.x),
        },
      ],
    ];
  }),
];

describe("large shapes", () => {
  it.each(large)("%s %j %j: right on all backends, the same bits on one thread and four", (name, operands, attrs) => {
    const op = opOf(name);
    const inputs = operands.map(([shape, dtype = "float32"]): TensorType => ({ dtype, shape }));
    const numbers = inputs.map(({ shape }, i) => drawWeights(sizeOf(shape), keyOf(i)).map((x) => Math.fround(x)));
    const arrays = numbers.map((list, i) => HostArray.of(list, inputs[i]!.shape));
    const expected = meaning(op, inputs, attrs as never, numbers);
    const check = (backend: Backend): HostArray[] => {
      const results = runOp(backend, op, { inputs, attrs, arrays })!;
      results.forEach((array, o) => {
        const allowed = tolerance(op, inputs, { attrs, dtype: array.dtype });
        assertClose(array.toFlat(), expected[o]!, { ...allowed, what: `${backend.describe()}, output ${o}` });
      });
      return results;
    };
    for (const { open } of wasms) check(open());
    for (const variant of variants) {
      if (nativeVariant(variant, 1) === undefined) continue;
      const one = check(nativeVariant(variant, 1)!);
      const four = check(nativeVariant(variant, 4)!);
      expect(one.every((array, o) => array.equals(four[o]!))).toBe(true);
    }
  });
});
