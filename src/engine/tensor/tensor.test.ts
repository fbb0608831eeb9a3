// Tensors end to end on the reference device: eager calls, jit, grad, scan, checkpoint, captured arrays, donation.
import { beforeAll, describe, expect, it } from "vitest";
import {
  checkpoint,
  crossEntropy,
  grad,
  jit,
  matmul,
  ones,
  random,
  relu,
  scan,
  setDefaultDevice,
  tensor,
  valueAndGrad,
  where,
  type DeviceName,
  type Tensor,
} from "./index.ts";

const name = (process.env["CHAINRULE_DEVICE"] ?? "reference") as DeviceName;
beforeAll(() => {
  setDefaultDevice(name);
});

describe("eager", () => {
  it("broadcasts and promotes", () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(
      x
        .add(tensor([10, 20, 30]))
        .mul(2)
        .toNested(),
    ).toEqual([
      [22, 44, 66],
      [28, 50, 72],
    ]);
    expect(tensor([1, 2], { dtype: "int32" }).mul(2).dtype).toBe("int32");
    expect(tensor([1, 2], { dtype: "int32" }).mul(0.5).toNested()).toEqual([0.5, 1]);
    expect(x.mean({ axis: 0 }).toNested()).toEqual([2.5, 3.5, 4.5]);
    expect(where(x.greater(2), x, 0).toNested()).toEqual([
      [0, 0, 3],
      [4, 5, 6],
    ]);
  });
  it("multiplies vectors, matrices and batches", () => {
    expect(matmul([[1, 2]], [[3], [4]]).toNested()).toEqual([[11]]);
    expect(matmul([1, 2], [3, 4]).item()).toBe(11);
    expect(matmul(ones([2, 3, 4]), ones([4, 5])).shape).toEqual([2, 3, 5]);
    expect(matmul(ones([2, 3, 4]), ones([4])).shape).toEqual([2, 3]);
  });
});

describe("grad", () => {
  it("differentiates trees and composes", () => {
    const f = (p: { w: Tensor; b: Tensor }, x: Tensor): Tensor => x.mul(p.w).add(p.b).square().sum();
    const [value, slope] = valueAndGrad(f)({ w: tensor(2), b: tensor(1) }, tensor([1, 2]));
    expect(value.item()).toBe(9 + 25);
    expect(slope.w.item()).toBe(2 * 3 * 1 + 2 * 5 * 2);
    expect(slope.b.item()).toBe(16);
    const cube = (x: Tensor): Tensor => x.mul(x).mul(x);
    expect(grad(grad(cube))(tensor(2)).item()).toBe(12);
    expect(grad(grad(grad(cube)))(tensor(2)).item()).toBe(6);
  });
  it("gives relu a zero gradient at zero", () => {
    expect(grad((x: Tensor) => relu(x).sum())(tensor([-1, 0, 2])).toNested()).toEqual([0, 0, 1]);
  });
  it("works inside jit, through checkpoint, with captured arrays", () => {
    const w = random.normal(random.key(1), [3, 4]);
    const loss = (x: Tensor): Tensor =>
      checkpoint((y: Tensor) => y.matmul(w).tanh())(x)
        .square()
        .sum();
    const plain = (x: Tensor): Tensor => x.matmul(w).tanh().square().sum();
    const x = random.normal(random.key(2), [2, 3]);
    const expected = grad(plain)(x).toNested();
    expect(grad(loss)(x).toNested()).toEqual(expected);
    expect(jit(grad(loss))(x).toNested()).toEqual(expected);
  });
});

describe("jit", () => {
  it("donates", () => {
    const step = jit((p: Tensor, g: Tensor) => p.sub(g.mul(0.5)), { donate: [0] });
    const p = tensor([1, 2]);
    expect(step(p, tensor([2, 2])).toNested()).toEqual([0, 1]);
    expect(() => p.toNested()).toThrow(/is gone: it was donated/);
  });
  it("returns inputs and constants as outputs of their own", () => {
    const x = tensor([1, 2]);
    const [a, b, c] = jit((y: Tensor) => [y, y, tensor2()] as const)(x);
    expect([a.toNested(), b.toNested(), c.toNested()]).toEqual([
      [1, 2],
      [1, 2],
      [7, 8],
    ]);
  });
  it("runs off the event loop", async () => {
    expect((await jit((x: Tensor) => x.mul(3)).run(tensor([1, 2]))).toNested()).toEqual([3, 6]);
  });
  it("refuses numbers of traced values", () => {
    expect(() => jit((x: Tensor) => tensor(x.item()))(tensor(1))).toThrow(/has no numbers/);
  });
});

function tensor2(): Tensor {
  return ones([2])
    .mul(0)
    .add(where([true, false], 7, 8));
}

describe("scan", () => {
  it("loops, and differentiates", () => {
    const f = (x: Tensor): Tensor =>
      scan((c: Tensor, v: Tensor) => [c.mul(v), c] as const, { init: tensor(1), xs: x }).carry;
    expect(f(tensor([2, 3, 4])).item()).toBe(24);
    expect(grad(f)(tensor([2, 3, 4])).toNested()).toEqual([12, 8, 6]);
    const { carry, ys } = jit((x: Tensor) =>
      scan((c: Tensor, v: Tensor) => [c.add(v), c] as const, { init: tensor(0), xs: x, reverse: true }),
    )(tensor([1, 2, 3]));
    expect(carry.item()).toBe(6);
    expect(ys.toNested()).toEqual([5, 3, 0]);
    // A swap of carries must not overwrite one before the other is read.
    const swap = jit(
      (x: Tensor) =>
        scan((c: readonly Tensor[], v: Tensor) => [[c[1]!, c[0]!.add(v)], null] as const, {
          init: [tensor(1), tensor(10)],
          xs: x,
        }).carry,
    );
    expect(swap(tensor([1, 2, 3])).map((t) => t.item())).toEqual([12, 5]);
  });
});

describe("a network", () => {
  it("has the gradient finite differences have", () => {
    const w = random.normal(random.key(0), [3, 2]);
    const x = random.normal(random.key(1), [5, 3]);
    const labels = tensor([0, 1, 1, 0, 1], { dtype: "int32" });
    const loss = (p: Tensor): Tensor => crossEntropy(x.matmul(p), labels).mean();
    const slope = grad(loss)(w).host();
    const base = w.host();
    for (let i = 0; i < base.size; i++) {
      const at = (d: number): number => {
        const moved = base.cast("float64").rows(0, 3);
        moved.set(i, base.get(i) + d);
        return loss(tensor(moved)).item();
      };
      expect((at(1e-6) - at(-1e-6)) / 2e-6).toBeCloseTo(slope.get(i), 7);
    }
  });
});
