// remake: what the gradient keeps of a smooth activation is the one array all of it comes from.
import { expect, test } from "vitest";
import { HostArray, type TensorType } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import { trace, type Program } from "../../program/index.ts";
import { device, type Device } from "../../runtime/index.ts";
import { valueAndGrad } from "../../transform/index.ts";
import { optimize } from "../pipeline.ts";

const { float } = ops;

// The gradient of a layer: gelu between two products.
function gradient(n: number): Program {
  const types = [float([n, n]), float([n, n]), float([n, n])];
  const { program } = trace(types, ([x, w, v]) => [ops.sum(ops.matmul(ops.gelu(ops.matmul(x!, w!)), v!))]);
  return valueAndGrad(program, [1, 2]);
}

function count(program: Program, name: string): number {
  const { equations } = optimize(program, device("wasm").backend);
  const bodies = equations.map(({ op, attrs }) => (op.name === name ? 1 : inside(attrs, name)));
  return bodies.reduce((sum, k) => sum + k, 0);
}

function inside(attrs: { readonly body?: Program }, name: string): number {
  return (attrs.body?.equations ?? []).filter(({ op }) => op.name === name).length;
}

test("the gradient of gelu computes erf again where keeping it would cost memory", () => {
  expect(count(gradient(256), "erf")).toBe(2);
  expect(count(gradient(16), "erf")).toBe(1); // fits into the cache
});

test("the arena keeps one array of the activation instead of three", () => {
  const [small, large] = [128, 256].map((n) => device("wasm").executable(gradient(n)).plan.arenaBytes / (4 * n * n));
  expect(small! - large!).toBe(0); // 64 KiB an array: three against one is enough
  expect(large!).toBeLessThanOrEqual(4);
});

test("the gradients are those of the reference", () => {
  const program = gradient(160);
  const run = (on: Device): Float64Array[] => {
    const inputs = program.inputs.map((type: TensorType, k) => {
      const array = new HostArray("float32", type.shape);
      for (let i = 0; i < array.size; i++) array.data[i] = Math.sin(i * (k + 1)) * 0.3;
      return on.put(array, type);
    });
    const [, ...outputs] = on.executable(program).run(inputs);
    return outputs.map((output) => Float64Array.from(output.read().toFlat()));
  };
  const expected = run(device("reference"));
  run(device("wasm")).forEach((values, o) => {
    const scale = Math.max(...expected[o]!.map(Math.abs));
    const error = Math.max(...values.map((x, i) => Math.abs(x - expected[o]![i]!)));
    expect(error / scale).toBeLessThan(1e-5);
  });
});
