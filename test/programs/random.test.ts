// Random programs: what the compiler makes of them (passes, memory plan, donation) computes what the program says, on every device.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HostArray, keyOf, foldIn, sizeOf, type Shape } from "../../src/engine/core/index.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { Program, trace, type Numbers, type Value } from "../../src/engine/program/index.ts";
import { device, type Device, type DeviceName } from "../../src/engine/runtime/index.ts";
import { vjp } from "../../src/engine/transform/index.ts";
import { drawSample, mismatch } from "../../src/testing/index.ts";

/** One random choice after another. */
type Choose = (count: number) => number;

const ROWS = 3;
const COLUMNS = 4;
const MATRIX: Shape = [ROWS, COLUMNS];

// Every step takes matrices [3, 4] and gives one, whatever shapes it passes through, so that any order of steps fits.
const steps: readonly ((x: Value, y: Value, choose: Choose) => Value)[] = [
  (x, y) => ops.add(x, y),
  (x, y) => ops.sub(x, y),
  (x, y) => ops.mul(ops.tanh(x), ops.sin(y)),
  (x, y) => ops.maximum(x, y),
  (x, y) => ops.where(ops.less(x, y), x, ops.neg(y)),
  (x) => ops.relu(x),
  (x) => ops.transpose(ops.transpose(x, [1, 0]), [1, 0]),
  (x) => ops.reshape(ops.transpose(ops.reshape(x, [COLUMNS, ROWS]), [1, 0]), MATRIX),
  (x) => ops.reshape(ops.tanh(ops.reshape(x, [2, 6])), MATRIX),
  (x) => ops.reverse(x, [1]),
  (x) => ops.broadcast(ops.sum(ops.tanh(x), [0]), MATRIX, [1]),
  (x) => ops.broadcast(ops.max(x, [1]), MATRIX, [0]),
  (x, y) => ops.slice(ops.concat([x, y], 0), [1, 0], [1 + ROWS, COLUMNS]),
  (x) =>
    ops.slice(ops.pad(x, { low: [1, 0], high: [0, 2], interior: [0, 0], value: 0.5 }), [0, 1], [ROWS, 1 + COLUMNS]),
  (x, y) => ops.tanh(ops.matmul(ops.matmul(x, ops.transpose(y, [1, 0])), y)),
  (x, y) => ops.tanh(ops.matmul(y, ops.matmul(x, y, { transposeA: true }))),
  (x) => ops.add(x, ops.full(0.25, x)),
  (x) => ops.mul(ops.cast(ops.greater(x, ops.zerosLike(x)), "float32"), x),
  (x) => ops.softmax(x),
  (x, y) => ops.barrier(ops.add(x, y)),
  (x, y, choose) => {
    // A loop over rows with two carries, one of them swapped through, and the outer y as a constant.
    const reverse = choose(2) === 1;
    const row = ops.slice(y, [0, 0], [1, COLUMNS]);
    const start = ops.reshape(row, [COLUMNS]);
    const turn = ops.scan(
      ([a, b], [v]) => ({ carries: [b!, ops.tanh(ops.add(a!, ops.mul(v!, start)))], ys: [ops.sub(a!, b!)] }),
      [start, ops.zerosLike(start)],
      { xs: [x], reverse },
    );
    return ops.add(turn.ys[0]!, ops.broadcast(turn.carries[choose(2)]!, MATRIX, [1]));
  },
];

function build(choices: readonly number[], inputs: number, outputs: number): Program {
  const queue = [...choices];
  const choose: Choose = (count) => (queue.shift() ?? 0) % count;
  const types = Array.from({ length: inputs }, () => ({ dtype: "float32" as const, shape: MATRIX }));
  return trace(types, (args) => {
    const pool = [...args];
    while (queue.length > 0)
      pool.push(steps[choose(steps.length)]!(pool[choose(pool.length)]!, pool[choose(pool.length)]!, choose));
    // Inputs and repeated values may be outputs too.
    return Array.from(
      { length: outputs },
      (_, i) => pool[i < 2 ? pool.length - 1 - i * 2 : (i * 7) % pool.length] ?? pool[0]!,
    );
  }).program;
}

// The meaning of a program without compiler or plan: each op's own evaluation, loops turn by turn.
function interpret(program: Program, inputs: readonly Numbers[]): Numbers[] {
  const env = new Map<Value, Numbers>(program.inputs.map((input, i) => [input, inputs[i]!]));
  for (const { op, inputs: args, attrs, outputs } of program.equations) {
    const numbers = args.map((arg) => env.get(arg)!);
    const loop = op.loop?.(attrs);
    let results: readonly Numbers[];
    if (loop !== undefined) {
      const { body, consts, carries, length, reverse } = loop;
      let carry = numbers.slice(consts, consts + carries);
      const ys = outputs.slice(carries).map((y) => new Float64Array(sizeOf(y.shape)));
      for (let t = 0; t < length; t++) {
        const i = reverse ? length - 1 - t : t;
        const slices = numbers
          .slice(consts + carries)
          .map((x) => x.subarray((i * x.length) / length, ((i + 1) * x.length) / length));
        const turn = interpret(body, [...numbers.slice(0, consts), ...carry, ...slices]);
        carry = turn.slice(0, carries);
        turn.slice(carries).forEach((y, k) => ys[k]!.set(y, i * y.length));
      }
      results = [...carry, ...ys];
    } else if (op.evaluate !== undefined) results = op.evaluate(numbers, attrs, { inputs: args, outputs });
    else {
      const decompose = op.decompose!;
      results = interpret(trace(args, (values) => decompose(values, attrs)).program, numbers);
    }
    outputs.forEach((output, i) => env.set(output, results[i]!));
  }
  return program.outputs.map((output) => env.get(output)!);
}

function run(program: Program, on: Device, arrays: readonly HostArray[], donate: readonly number[]): HostArray[] {
  const inputs = program.inputs.map((type, i) => on.put(arrays[i]!, type));
  return on
    .executable(program, donate)
    .run(inputs)
    .map((output) => output.read());
}

const cases = fc.record({
  choices: fc.array(fc.nat(1000), { minLength: 3, maxLength: 40 }),
  inputs: fc.integer({ min: 1, max: 3 }),
  outputs: fc.integer({ min: 1, max: 4 }),
  seed: fc.nat(1000),
  donate: fc.boolean(),
});

const tolerances = {
  reference: { rtol: 1e-12, atol: 1e-12 },
  native: { rtol: 2e-5, atol: 2e-5 },
  wasm: { rtol: 2e-5, atol: 2e-5 },
};

describe.each(["reference", "native", "wasm"] as const)("random programs on %s", (name: DeviceName) => {
  const check = (transform: (program: Program) => Program, runs: number): void => {
    fc.assert(
      fc.property(cases, ({ choices, inputs, outputs, seed, donate }) => {
        const program = transform(build(choices, inputs, outputs));
        const arrays = program.inputs.map((type, i) =>
          drawSample({ ...type, low: -1, high: 1 }, foldIn(keyOf(seed), i)),
        );
        const expected = interpret(
          program,
          arrays.map(({ data }) => data),
        );
        const actual = run(program, device(name), arrays, donate ? program.inputs.map((_, i) => i) : []);
        actual.forEach((array, i) => {
          const worst = mismatch(
            array,
            new HostArray("float64", array.shape, Float64Array.from(expected[i]!)),
            tolerances[name],
          );
          expect(worst, `output ${i} of\n${program.toString()}`).toBeUndefined();
        });
      }),
      { numRuns: runs, seed: 2026 },
    );
  };
  it("compute what they say", () => check((program) => program, 150));
  it("and so do their gradients", () => check((program) => vjp(program, [0]), 60));
});
