// Fusion on a real backend: what becomes one kernel, what stays apart, and that the numbers stay the same.
import { describe, expect, it } from "vitest";
import { HostArray } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import { trace, type Program, type Value } from "../../program/index.ts";
import { device } from "../../runtime/index.ts";

const matrix = { dtype: "float32", shape: [2, 3] } as const;
const row = { dtype: "float32", shape: [3] } as const;

function calls(program: Program): string[] {
  const { plan } = device("wasm").executable(program);
  return plan.steps.map((step) => (step.kind === "kernel" ? step.op : "loop"));
}

function build(fn: (inputs: readonly Value[]) => readonly Value[]): Program {
  return trace([matrix, matrix, row], fn).program;
}

describe("fuse", () => {
  it("makes one kernel of a bias and an activation", () => {
    const program = build(([x, , b]) => [ops.relu(ops.add(x!, ops.broadcast(b!, [2, 3], [1])))]);
    expect(calls(program)).toEqual(["broadcast add maximum"]);
    const [x, y, b] = [
      HostArray.from([
        [1, -2, 3],
        [-4, 5, -6],
      ]),
      HostArray.from([
        [0, 0, 0],
        [0, 0, 0],
      ]),
      HostArray.from([1, 1, 1]),
    ];
    const on = device("wasm");
    const [result] = on.executable(program).run([on.put(x, matrix), on.put(y, matrix), on.put(b, row)]);
    expect(result!.read().toNested()).toEqual([
      [2, 0, 4],
      [0, 6, 0],
    ]);
  });

  it("stores what others read as further results", () => {
    const program = build(([x, y]) => {
      const sum = ops.add(x!, y!);
      return [sum, ops.exp(ops.tanh(sum))];
    });
    expect(calls(program)).toEqual(["add tanh exp"]);
    const on = device("wasm");
    const put = (value: number): ReturnType<typeof on.put> =>
      on.put(HostArray.of(new Float32Array(6).fill(value), [2, 3]), matrix);
    const [sum, bent] = on.executable(program).run([put(1), put(-1), on.put(HostArray.from([0, 0, 0]), row)]);
    expect([sum!.read().get(5), bent!.read().get(5)]).toEqual([0, 1]);
  });

  it("does not reach over a product, nor from one size to another", () => {
    const program = build(([x, y, b]) => {
      const product = ops.matmul(ops.tanh(x!), ops.tanh(y!), { transposeB: true });
      return [ops.exp(ops.neg(product)), ops.exp(ops.neg(b!))];
    });
    const kernels = calls(program);
    expect(kernels.filter((name) => name.startsWith("tanh"))).not.toHaveLength(0);
    expect(kernels.filter((name) => name.includes("neg exp")).sort()).toEqual(["matmul neg exp", "neg exp"]);
  });

  it("adds up at the end of a group, and lets nothing in the group read the sum", () => {
    const program = build(([x, y]) => {
      const product = ops.mul(x!, y!);
      const total = ops.sum(product, [0]);
      return [product, total, ops.add(product, ops.broadcast(total, [2, 3], [1]))];
    });
    expect(calls(program)).toEqual(["mul sum", "broadcast add"]);
  });

  it("keeps updates apart that share a rate only", () => {
    const program = build(([x, y, b]) => {
      const rate = ops.broadcast(ops.sum(b!, [0]), [2, 3], []);
      return [x!, y!].map((value) => ops.exp(ops.mul(value, rate)));
    });
    expect(calls(program)).toEqual(["sum", "mul exp", "mul exp"]);
  });

  it("leaves a single op and a broadcast alone", () => {
    expect(calls(build(([x, y]) => [ops.add(x!, y!)]))).toEqual(["add"]);
    expect(calls(build(([, , b]) => [ops.broadcast(b!, [2, 3], [1])]))).toEqual(["broadcast"]);
  });

  it("finds an update and the choice behind it together, though the choice needs all gradients first", () => {
    const program = build(([g, p]) => {
      const updated = ops.sub(p!, ops.mul(g!, ops.full(0.1, g!)));
      const other = ops.matmul(g!, p!, { transposeB: true });
      const finite = ops.isFinite(ops.sum(other, [0, 1]));
      return [ops.where(ops.broadcast(finite, [2, 3], []), updated, p!)];
    });
    expect(calls(program).at(-1)).toMatch(/mul sub .*where/);
  });

  it("writes a product the other way round, and adds rows where they belong", () => {
    const turned = build(([x, y]) => [ops.transpose(ops.matmul(x!, y!, { transposeB: true }))]);
    expect(calls(turned)).toEqual(["matmul"]);
    const table = build(([x, y, b]) => {
      const rows = ops.scatterAdd(ops.cast(b!, "int32"), ops.mul(x!, y!), { axis: 1, size: 3 });
      return [ops.add(ops.tanh(x!), rows)];
    });
    expect(calls(table)).toContain("scatterAddTo");
  });
});
