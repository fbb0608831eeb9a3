// What becomes the end of a contraction on a real backend, and what stays a call of its own.
import { describe, expect, it } from "vitest";
import * as ops from "../../ops/index.ts";
import { trace, type Value } from "../../program/index.ts";
import { device } from "../../runtime/index.ts";

function calls(shapes: readonly (readonly number[])[], fn: (inputs: readonly Value[]) => readonly Value[]): string[] {
  const types = shapes.map((shape) => ({ dtype: "float32" as const, shape }));
  const { plan } = device("wasm").executable(trace(types, fn).program);
  return plan.steps.map((step) => (step.kind === "kernel" ? step.op : "loop"));
}

const dense = [[4, 8], [8, 6], [6]]; // prettier-ignore

describe("epilogue", () => {
  it("takes a bias and an activation, through a change of shape", () => {
    const kernels = calls(dense, ([x, w, b]) => {
      const y = ops.reshape(ops.matmul(x!, w!), [2, 2, 6]);
      return [ops.relu(ops.add(y, ops.broadcast(b!, [2, 2, 6], [2])))];
    });
    expect(kernels).toEqual(["matmul reshape broadcast add maximum"]);
  });

  it("keeps the product where others read it later", () => {
    const kernels = calls(dense, ([x, w, b]) => {
      const y = ops.matmul(x!, w!);
      const bent = ops.tanh(ops.add(y, ops.broadcast(b!, [4, 6], [1])));
      return [bent, ops.matmul(y, bent, { transposeA: true })];
    });
    expect(kernels).toEqual(["matmul broadcast add tanh", "matmul"]);
  });

  it("leaves a product alone that is read before the group", () => {
    const kernels = calls([[4, 8], [8, 4]], ([x, w]) => {
      const y = ops.matmul(x!, w!);
      return [ops.add(y, ops.transpose(ops.softmax(y, 1)))];
    }); // prettier-ignore
    expect(kernels[0]).toBe("matmul");
    expect(kernels.at(-1)).toBe("add");
  });

  it("leaves large groups alone that read more than the product", () => {
    const kernels = calls([[256, 8], [8, 256], [256, 256]], ([x, w, r]) => [ops.add(ops.matmul(x!, w!), r!)]); // prettier-ignore
    expect(kernels).toEqual(["matmul", "add"]);
  });
});
