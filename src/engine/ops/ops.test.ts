// Every op against itself: types, decomposition, first and second gradients by central differences, refused inputs. All from its samples.
import { describe, expect, it } from "vitest";
import { assertClose } from "../../testing/all-close.ts";
import { drawSamples, drawWeights } from "../../testing/sample.ts";
import { foldIn as hostFoldIn, isFloat, keyOf, sizeOf, type HostKey, type TensorType } from "../core/index.ts";
import { bind, trace, verifyProgram, type Op, type Program, type Sample, type Value } from "../program/index.ts";
import { vjp } from "../transform/index.ts";
import * as ops from "./index.ts";
import { allOps } from "./index.ts";

const weightsKey: HostKey = keyOf(7);

/** Runs one op in float64: its evaluation, or that of its decomposition. */
function evaluate(
  op: Op,
  inputs: readonly Value[],
  attrs: never,
  arrays: readonly Float64Array[],
): readonly Float64Array[] {
  const outputs = op.shape(inputs, attrs);
  if (op.evaluate !== undefined) return op.evaluate(arrays, attrs, { inputs, outputs });
  const { decompose } = op;
  if (decompose === undefined) throw new Error(`${op.name} has no meaning`);
  return interpret(trace(inputs, (values) => decompose(values, attrs)).program, arrays);
}

function interpret(program: Program, args: readonly Float64Array[]): Float64Array[] {
  const env = new Map<Value, Float64Array>();
  program.inputs.forEach((input, i) => env.set(input, args[i]!));
  for (const { op, inputs, attrs, outputs } of program.equations) {
    const results = evaluate(
      op,
      inputs,
      attrs,
      inputs.map((input) => env.get(input)!),
    );
    outputs.forEach((output, i) => env.set(output, results[i]!));
  }
  return program.outputs.map((output) => env.get(output)!);
}

function programOf(op: Op, { inputs, attrs }: Sample<never>): Program {
  return trace(inputs, (values) => bind(op, values, attrs)).program;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((total, x, i) => total + x * b[i]!, 0);

/**
 * Holds the pullback of `program` with random cotangents against central differences, at up to 24 elements of each input.
 * Returns the program of the gradient, so that it can be checked in turn.
 */
function checkGradient(
  program: Program,
  args: readonly Float64Array[],
  wrt: readonly number[],
): { gradient: Program; all: Float64Array[] } {
  const floats = program.outputs.flatMap((output, i) => (output.dtype === "float32" ? [i] : []));
  const weights = floats.map((i) => drawWeights(sizeOf(program.outputs[i]!.shape), weightsKey));
  const joint = vjp(program, wrt);
  verifyProgram(joint);
  const gradient = trace(joint.inputs, (values) => inlineFrom(joint, values, program.outputs.length)).program;
  const all = [...args, ...weights];
  const found = interpret(gradient, all);
  const loss = (moved: readonly Float64Array[]): number => {
    const outputs = interpret(program, moved);
    return floats.reduce((total, i, k) => total + dot(outputs[i]!, weights[k]!), 0);
  };
  wrt.forEach((input, k) => {
    const x = args[input]!;
    expect(found[k]!.length).toBe(x.length);
    const step = Math.max(1, Math.ceil(x.length / 24));
    const picked = Array.from({ length: Math.ceil(x.length / step) }, (_, i) => i * step);
    const expected = picked.map((i) => {
      const at = (delta: number): number =>
        loss(args.map((array, j) => (j === input ? array.with(i, array[i]! + delta) : array)));
      return (at(1e-6) - at(-1e-6)) / 2e-6;
    });
    assertClose(
      picked.map((i) => found[k]![i]!),
      expected,
      { rtol: 1e-3, atol: 1e-5, what: `gradient of input ${input}` },
    );
  });
  return { gradient, all };
}

// The outputs of a program from number `from` on.
function inlineFrom(program: Program, args: readonly Value[], from: number): Value[] {
  const env = new Map<Value, Value>();
  program.inputs.forEach((input, i) => env.set(input, args[i]!));
  for (const { op, inputs, attrs, outputs } of program.equations) {
    bind(
      op,
      inputs.map((input) => env.get(input)!),
      attrs,
    ).forEach((result, i) => env.set(outputs[i]!, result));
  }
  return program.outputs.slice(from).map((output) => env.get(output)!);
}

const floatInputs = ({ inputs, wrt }: Sample<never>): readonly number[] =>
  wrt ?? inputs.flatMap((input, i) => (input.dtype === "float32" ? [i] : []));

it("names every op once, with a sentence and samples", () => {
  expect(allOps.length).toBeGreaterThan(60);
  expect(new Set(allOps.map((op) => op.name)).size).toBe(allOps.length);
  expect(allOps.filter((op) => op.samples.length === 0 || op.doc.length < 10).map((op) => op.name)).toEqual([]);
});

describe.each(allOps.map((op) => ({ name: op.name, op })))("$name", ({ op }) => {
  it("evaluates to the types it says, as its decomposition does", () => {
    op.samples.forEach((sample, index) => {
      const program = programOf(op, sample);
      const args = drawSamples(sample.inputs, index).map(({ data }) => data);
      sample.inputs.forEach(({ dtype }, i) => expect(isFloat(dtype) || args[i]!.every(Number.isInteger)).toBe(true));
      const results = interpret(program, args);
      program.outputs.forEach(({ dtype, shape }, i) => {
        const numbers = results[i]!;
        expect(numbers).toBeInstanceOf(Float64Array);
        expect(numbers.length).toBe(sizeOf(shape));
        const [low, high] =
          dtype === "bool" ? [0, 1] : dtype === "int32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
        if (!isFloat(dtype)) expect(numbers.every((x) => Number.isInteger(x) && x >= low && x <= high)).toBe(true);
      });
      if (op.evaluate !== undefined && op.decompose !== undefined) {
        const { decompose } = op;
        const parts = trace(sample.inputs, (values) => decompose(values, sample.attrs)).program;
        verifyProgram(parts);
        interpret(parts, args).forEach((numbers, i) =>
          assertClose(numbers, results[i]!, { rtol: 1e-9, atol: 1e-9, what: `decomposition of sample ${index}` }),
        );
      }
    });
  });

  it("refuses what it must", () => {
    op.errors.forEach((bad, index) => {
      const args = drawSamples(bad.inputs, index).map(({ data }) => data);
      expect(() => interpret(programOf(op, bad as Sample<never>), args)).toThrow(bad.message);
    });
  });

  if (op.nondifferentiable === true) return;
  it("has the gradient of central differences, and that one too", () => {
    op.samples.forEach((sample, index) => {
      const wrt = floatInputs(sample);
      const args = drawSamples(sample.inputs, index).map(({ data }) => data);
      const program = programOf(op, sample);
      if (wrt.length === 0 || !program.outputs.some((output) => output.dtype === "float32")) return;
      const { gradient, all } = checkGradient(program, args, wrt);
      const size = all.reduce((total, array) => total + array.length, 0);
      if (size <= 150)
        checkGradient(
          gradient,
          all,
          [...wrt, ...all.keys()].filter(
            (i, at, list) => list.indexOf(i) === at && (wrt.includes(i) || i >= args.length),
          ),
        );
    });
  });
});

/** The numbers a function of values gives. */
function run(
  types: readonly TensorType[],
  fn: (inputs: readonly Value[]) => readonly Value[],
  ...args: readonly number[][]
): number[][] {
  const { program } = trace(types, fn);
  return interpret(
    program,
    args.map((numbers) => Float64Array.from(numbers)),
  ).map((numbers) => [...numbers]);
}
const f = (...shape: number[]): TensorType => ({ dtype: "float32", shape });
const i32 = (...shape: number[]): TensorType => ({ dtype: "int32", shape });
const keyType: TensorType = { dtype: "uint32", shape: [2] };

describe("values worked out by hand", () => {
  it("searches, sorts and ranks with ties and NaN as documented", () => {
    const x = [3, NaN, 3, -Infinity, 1];
    expect(run([f(5)], ([v]) => [ops.argmax(v!), ops.argmin(v!), ops.max(v!), ops.min(v!)], x)).toEqual([
      [1],
      [1],
      [NaN],
      [NaN],
    ]);
    expect(run([f(4)], ([v]) => [ops.argmax(v!), ops.argmin(v!)], [2, 5, 5, 2])).toEqual([[1], [0]]);
    expect(run([f(5)], ([v]) => ops.sort(v!), x)).toEqual([
      [-Infinity, 1, 3, 3, NaN],
      [3, 4, 0, 2, 1],
    ]);
    expect(run([f(5)], ([v]) => ops.sort(v!, { descending: true }), x)).toEqual([
      [3, 3, 1, -Infinity, NaN],
      [0, 2, 4, 3, 1],
    ]);
    expect(run([f(5)], ([v]) => ops.topK(v!, 2), x)).toEqual([
      [3, 3],
      [0, 2],
    ]);
  });

  it("scans and reduces", () => {
    const x = [1, 2, 3, 4, 5, 6];
    expect(run([f(2, 3)], ([v]) => [ops.cumsum(v!, 1), ops.cumsum(v!, 0, { reverse: true })], x)).toEqual([
      [1, 3, 6, 4, 9, 15],
      [5, 7, 9, 4, 5, 6],
    ]);
    expect(run([f(2, 3)], ([v]) => [ops.prod(v!, 0), ops.prod(v!), ops.logSumExp(v!, [])], x)).toEqual([
      [4, 10, 18],
      [720],
      x,
    ]);
    expect(run([f(2, 2)], ([v]) => [ops.logSumExp(v!, 1)], [-Infinity, -Infinity, 1000, 1000])).toEqual([
      [-Infinity, 1000 + Math.LN2],
    ]);
    expect(run([f(2, 0)], ([v]) => [ops.logSumExp(v!, 1), ops.prod(v!, 1)], [])).toEqual([
      [-Infinity, -Infinity],
      [1, 1],
    ]);
    expect(run([i32(3)], ([v]) => [ops.prod(v!), ops.mul(v!, v!)], [65537, 65537, 65537])).toEqual([
      [196609],
      [131073, 131073, 131073],
    ]);
  });

  it("shares the gradient of max among ties, keeps that of prod at zeros and of logSumExp at nothing but −∞", () => {
    const gradient = (fn: (x: Value) => Value, x: number[]): number[] => {
      const program = vjp(trace([f(x.length)], ([v]) => [fn(v!)]).program, [0]);
      return [...interpret(program, [Float64Array.from(x), Float64Array.of(1)])[1]!];
    };
    expect(gradient((x) => ops.max(x), [1, 4, 4, 0])).toEqual([0, 0.5, 0.5, 0]);
    expect(gradient((x) => ops.prod(x), [2, 0, 3])).toEqual([0, 6, 0]);
    expect(gradient((x) => ops.prod(x), [0, 0, 3])).toEqual([0, 0, 0]);
    expect(gradient((x) => ops.logSumExp(x), [-Infinity, -Infinity])).toEqual([0, 0]);
    expect(gradient((x) => ops.sum(ops.pow(x, ops.fullLike(0, x))), [0, 2])).toEqual([0, 0]);
    expect(gradient((x) => ops.sum(ops.pow(ops.fullLike(2, x), x)), [0, 3])).toEqual([Math.LN2, 8 * Math.LN2]);
  });

  it("gathers rows and adds them back", () => {
    const rows = run(
      [f(3, 2), i32(2)],
      ([x, i]) => [ops.gather(x!, i!), ops.gather(x!, ops.slice(i!, [0], [1]), 1)],
      [1, 2, 3, 4, 5, 6],
      [1, 0],
    );
    expect(rows).toEqual([
      [3, 4, 1, 2],
      [2, 4, 6],
    ]);
    expect(
      run([i32(3), f(3, 2)], ([i, u]) => [ops.scatterAdd(i!, u!, { axis: 0, size: 3 })], [2, 0, 2], [1, 2, 3, 4, 5, 6]),
    ).toEqual([[3, 4, 0, 0, 6, 8]]);
    expect(run([f(2, 3), i32(2, 1)], ([x, i]) => [ops.takeAlongAxis(x!, i!, 1)], [1, 2, 3, 4, 5, 6], [2, 0])).toEqual([
      [3, 4],
    ]);
  });

  it("pads as Keras does", () => {
    expect([28, 5, 7].map((size) => ops.samePadding(size, 3, 2, 1))).toEqual([
      [0, 1],
      [1, 1],
      [1, 1],
    ]);
    expect(ops.samePadding(10, 3, 1, 2)).toEqual([2, 2]);
    expect(ops.samePadding(4, 2, 1, 1)).toEqual([0, 1]);
    expect(ops.convOutputSize(28, 3, { stride: 2, padding: [0, 1] })).toBe(14);
    expect(ops.convOutputSize(2, 3)).toBe(0);
  });

  it("pools", () => {
    const image = Array.from({ length: 9 }, (_, i) => i);
    const options = {
      window: [2, 2],
      strides: [2, 2],
      padding: [
        [0, 1],
        [0, 1],
      ],
    } as const;
    expect(run([f(1, 3, 3, 1)], ([x]) => [ops.maxPool(x!, options)], image)).toEqual([[4, 5, 7, 8]]);
    expect(run([f(1, 3, 3, 1)], ([x]) => [ops.avgPool(x!, options)], image)).toEqual([[2, 3.5, 6.5, 8]]);
    expect(run([f(1, 3, 3, 1)], ([x]) => [ops.avgPool(x!, { ...options, countPadding: true })], image)).toEqual([
      [2, 1.75, 3.25, 2],
    ]);
  });
});

describe("conv", () => {
  it("is the sum its formula says", () => {
    ops.conv.op.samples.forEach((sample, index) => {
      const [x, w] = drawSamples(sample.inputs, index) as [
        ReturnType<typeof drawSamples>[0],
        ReturnType<typeof drawSamples>[0],
      ];
      const { strides, padding, dilation, groups } = sample.attrs;
      const [[, height, width, channels], [kh, kw, per, filters]] = [x.shape, w.shape] as [number[], number[]];
      const [{ shape }] = ops.conv.op.shape(sample.inputs, sample.attrs) as [TensorType];
      const at = (n: number, y: number, z: number, c: number): number =>
        y < 0 || y >= height! || z < 0 || z >= width! ? 0 : x.data[((n * height! + y) * width! + z) * channels! + c]!;
      const expected = Array.from({ length: sizeOf(shape) }, (_, flat) => {
        const filter = flat % filters!;
        const column = Math.floor(flat / filters!) % shape[2]!;
        const row = Math.floor(flat / filters! / shape[2]!) % shape[1]!;
        const n = Math.floor(flat / filters! / shape[2]! / shape[1]!);
        const group = Math.floor(filter / (filters! / groups));
        let total = 0;
        for (let p = 0; p < kh!; p++)
          for (let q = 0; q < kw!; q++)
            for (let c = 0; c < per!; c++) {
              const value = at(
                n,
                row * strides[0] + p * dilation[0] - padding[0][0],
                column * strides[1] + q * dilation[1] - padding[1][0],
                group * per! + c,
              );
              total += value * w.data[((p * kw! + q) * per! + c) * filters! + filter]!;
            }
        return total;
      });
      const [found] = interpret(programOf(ops.conv.op as unknown as Op, sample as Sample<never>), [x.data, w.data]);
      assertClose(found!, expected, { rtol: 1e-12, atol: 1e-12 });
    });
  });
});

describe("random", () => {
  const count = 20000;
  const draw = (fn: (key: Value) => Value, key: number[] = [0, 42]): number[] =>
    run([keyType], ([k]) => [fn(k!)], key)[0]!;

  it("gives Threefry's known bits", () => {
    // Threefry-2x32-20 of counter 0 under key 0 (Random123, known-answer tests).
    expect(draw((k) => ops.randomBits(k, [3]), [0, 0]).slice(0, 2)).toEqual([0x6b200159, 0x99ba4efe]);
    expect(draw((k) => ops.splitKey(k, 3)).slice(4)).toEqual([...hostFoldIn([0, 42], 2)]);
    expect(draw((k) => ops.foldIn(k, ops.full(2, i32())))).toEqual([...hostFoldIn([0, 42], 2)]);
  });

  it("draws uniform float32 numbers below 1", () => {
    const u = draw((k) => ops.uniform(k, [count]));
    expect(u.every((x) => x >= 0 && x < 1 && Math.fround(x) === x)).toBe(true);
    expect(Math.abs(u.reduce((a, b) => a + b) / count - 0.5)).toBeLessThan(4 / Math.sqrt(12 * count));
  });

  it("draws normal numbers with the first four moments", () => {
    const z = draw((k) => ops.normal(k, [count]));
    const moment = (p: number): number => z.reduce((a, x) => a + x ** p, 0) / count;
    // Four standard errors each: the variance of zᵖ is 1, 2, 15, 96.
    [
      [1, 0, 1],
      [2, 1, 2],
      [3, 0, 15],
      [4, 3, 96],
    ].forEach(([p, mean, variance]) => {
      expect(Math.abs(moment(p!) - mean!)).toBeLessThan(4 * Math.sqrt(variance! / count));
    });
    expect(draw((k) => ops.normal(k, [3, 5]))).toHaveLength(15);
  });

  it("draws classes as often as softmax says, and never an impossible one", () => {
    const logits = [0, Math.log(3), -Infinity, Math.log(6)];
    const classes = run(
      [f(1, 4), keyType],
      ([x, k]) => [ops.categorical(ops.broadcast(x!, [count, 4]), k!)],
      logits,
      [0, 7],
    )[0]!;
    const share = (c: number): number => classes.filter((x) => x === c).length / count;
    [0.1, 0.3, 0, 0.6].forEach((p, c) =>
      expect(Math.abs(share(c) - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / count)),
    );
  });

  it("draws truth with probability p, and permutations", () => {
    const heads = draw((k) => ops.bernoulli(k, ops.full(0.3, f(count))));
    expect(Math.abs(heads.reduce((a, b) => a + b) / count - 0.3)).toBeLessThan(4 * Math.sqrt(0.21 / count));
    const order = draw((k) => ops.permutation(k, 500));
    expect(order).not.toEqual(order.toSorted((a, b) => a - b));
    expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });
});
