// Reading programs: slices, z, affine parts, probes.
import { expect, it } from "vitest";
import { trace, verifyProgram, type Program, type Value } from "../../engine/program/index.ts";
import { Tensor, gelu, softmax } from "../../engine/tensor/index.ts";
import { withProbes } from "./probe.ts";
import { isAffine, isElementwise, lastMeeting, operationNames, sliceOf } from "./slice.ts";

const f32 = (...shape: number[]): { dtype: "float32"; shape: number[] } => ({ dtype: "float32", shape });

// x, kernel, bias → what `fn` makes of the three.
function layer(fn: (x: Tensor, w: Tensor, b: Tensor) => Tensor): {
  program: Program;
  x: Value;
  w: Value;
  b: Value;
  y: Value;
} {
  const { program } = trace([f32(1, 3), f32(3, 2), f32(2)], (values) => {
    const [x, w, b] = values.map((value) => new Tensor(value)) as [Tensor, Tensor, Tensor];
    return [fn(x, w, b).content as Value];
  });
  const [x, w, b] = program.inputs as [Value, Value, Value];
  return { program, x, w, b, y: program.outputs[0]! };
}

it("finds z where the last parameter enters", () => {
  const { program, x, w, b, y } = layer((v, k, c) => v.matmul(k).add(c).tanh().mul(2));
  const z = lastMeeting(program, { inputs: [x], parameters: [w, b], output: y })!;
  expect(operationNames(sliceOf(program, [x, w, b], z).equations)).toEqual(["matmul", "broadcast", "add"]);
  expect(sliceOf(program, [z], y).reached).toEqual(new Set([z]));
  expect(isAffine(program, { input: x, kernel: w, bias: b, z })).toBe(true);
  expect(isElementwise(sliceOf(program, [z], y).equations, z)).toBe(true);
});

it("has no z where the input enters again behind it", () => {
  const { program, x, w, b, y } = layer((v, k, c) => v.matmul(k).add(c).add(v.sum()));
  expect(lastMeeting(program, { inputs: [x], parameters: [w, b], output: y })).toBeUndefined();
});

it.each([
  ["a scaled product", (v: Tensor, k: Tensor, c: Tensor) => v.matmul(k).mul(2).add(c)],
  ["a bias that is subtracted", (v: Tensor, k: Tensor, c: Tensor) => v.matmul(k).sub(c)],
  ["a squared kernel", (v: Tensor, k: Tensor, c: Tensor) => v.matmul(k.square()).add(c)],
  ["a squared input", (v: Tensor, k: Tensor, c: Tensor) => v.square().matmul(k).add(c)],
  ["two sums", (v: Tensor, k: Tensor, c: Tensor) => v.matmul(k).add(c).add(c)],
])("is not x W + b: %s", (_, fn) => {
  const { program, x, w, b, y } = layer(fn);
  expect(isAffine(program, { input: x, kernel: w, bias: b, z: y })).toBe(false);
});

it("tells functions of each element from others", () => {
  const of = (fn: (x: Tensor) => Tensor): boolean => {
    const { program } = trace([f32(2, 3)], ([v]) => [fn(new Tensor(v!)).content as Value]);
    return isElementwise(program.equations, program.inputs[0]!);
  };
  expect(of((x) => x.sigmoid().mul(x))).toBe(true);
  expect(of((x) => gelu(x))).toBe(true);
  expect(of((x) => softmax(x))).toBe(false);
  expect(of((x) => x.sub(x.mean()))).toBe(false);
});

it("puts probes in front of all readers", () => {
  const { program } = trace([f32(2)], ([v]) => {
    const y = new Tensor(v!).exp();
    return [y.mul(y).content as Value, y.content as Value];
  });
  const y = program.outputs[1]!;
  const probed = withProbes(program, [y]);
  verifyProgram(probed);
  expect(probed.inputs).toHaveLength(2);
  expect(operationNames(probed.equations)).toEqual(["exp", "add", "mul"]);
  const [, sum] = probed.equations;
  expect(probed.equations[2]!.inputs).toEqual([sum!.outputs[0], sum!.outputs[0]]);
  expect(probed.outputs[1]).toBe(sum!.outputs[0]);
});
