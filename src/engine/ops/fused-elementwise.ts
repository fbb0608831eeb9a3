// A group of element-wise ops as one step: what the compiler's fusion makes, and a kernel runs in one pass over memory.
import { sizeOf, VerifyError } from "../core/index.ts";
import { inline, type OpRecord, type Program, type Value } from "../program/index.ts";
import { add, exp, mul } from "./arith.ts";
import { greater, where } from "./compare.ts";
import { expectBody, programSample } from "./control.ts";
import { bind, bool, float, int, withOp, type OpFunction } from "./define.ts";
import { broadcast, sum } from "./layout.ts";
import { tanh } from "./math.ts";

type GroupAttrs = { readonly body: Program };

const groupOp: OpRecord<GroupAttrs> = {
  name: "fusedElementwise",
  doc: "A program of element-wise ops and broadcasts whose results have equally many elements, and sums of them: `y = body(x)`.",
  traits: { kind: "fused", recompute: "cheap" },
  shape: (types, { body }) => {
    expectBody("fusedElementwise", body, types);
    const sums = new Set(body.equations.filter(({ op }) => op === (sum.op as never)).map(({ outputs }) => outputs[0]));
    const sizes = new Set(body.outputs.flatMap((output) => (sums.has(output) ? [] : [sizeOf(output.shape)])));
    if (sizes.size > 1)
      throw new VerifyError(
        "fusedElementwise",
        `results differ in size: received ${body.outputs.map(String).join(", ")}`,
      );
    return body.outputs.map(({ dtype, shape }) => ({ dtype, shape }));
  },
  decompose: (inputs, { body }) => inline(body, inputs),
  terms: (_, { body }) =>
    Math.max(
      1,
      ...body.equations.flatMap(({ op, inputs, outputs }) =>
        op === (sum.op as never) ? [sizeOf(inputs[0]!.shape) / sizeOf(outputs[0]!.shape)] : [],
      ),
    ),
  samples: [
    programSample([float([3, 37]), float([37])], ([x, b]) => [tanh(add(x!, broadcast(b!, [3, 37], [1])))]),
    programSample([float([5, 4]), float([5])], ([x, s]) => [mul(x!, broadcast(s!, [5, 4], [0]))]),
    programSample([float([2, 3, 5]), float([3, 1])], ([x, s]) => [exp(mul(x!, broadcast(s!, [2, 3, 5], [1, 2])))]),
    programSample([float([700]), float([700])], ([x, y]) => [
      where(greater(x!, y!), exp(x!), mul(x!, y!)),
      add(x!, y!),
    ]),
    programSample([bool([3]), int([4, 3], -9, 9), int([4, 3], -9, 9)], ([c, x, y]) => [
      where(broadcast(c!, [4, 3], [1]), add(x!, y!), x!),
    ]),
    programSample([float([0, 3])], ([x]) => [exp(mul(x!, x!))]),
    programSample([float([5, 7])], ([x]) => [sum(exp(x!), [0])]),
    programSample([float([300, 70]), float([300, 70])], ([x, y]) => {
      const z = mul(x!, y!);
      return [z, sum(z, [0]), sum(add(z, y!), [0])];
    }),
    programSample([float([301, 10])], ([x]) => [sum(mul(x!, x!), [1])]),
    programSample([float([2, 3, 700]), float([700])], ([x, b]) => [sum(mul(x!, broadcast(b!, [2, 3, 700], [2])), [2])]),
    programSample([float([130, 131])], ([x]) => [mul(x!, x!), sum(mul(x!, x!), [0, 1])]),
  ],
  errors: [
    { ...programSample([float([3])], ([x]) => [exp(x!)]), inputs: [float([4])], message: "the body takes float32[3]" },
  ],
};

/** A program of element-wise ops as one step. */
export const fusedElementwise: OpFunction<(body: Program, inputs: readonly Value[]) => readonly Value[], GroupAttrs> =
  withOp(groupOp, (body, inputs) => bind(groupOp, inputs, { body }));

/**
 * How a broadcast repeats its input: element `i` of the result is element `⌊i / inner⌋ mod period` of the input;
 * `undefined` where the axes that are repeated lie between others.
 */
export function repetition(
  from: readonly number[],
  shape: readonly number[],
  axes: readonly number[],
): { inner: number; period: number } | undefined {
  const kept = axes.filter((_, i) => from[i] !== 1);
  const first = kept[0];
  const last = kept.at(-1);
  if (first === undefined || last === undefined) return { inner: sizeOf(shape), period: 1 };
  if (shape.some((n, axis) => axis > first && axis < last && n !== 1 && !kept.includes(axis))) return undefined;
  return { inner: sizeOf(shape.slice(last + 1)), period: sizeOf(shape.slice(first, last + 1)) };
}
