// Muon: singular values go where the scalar iteration sends them; matrices by Muon, the rest by AdamW; groups of parameters.
import { describe, expect, it, beforeAll } from "vitest";
import type { HostArray } from "../../engine/core/index.ts";
import { jit, random, setDefaultDevice, tensor, valueAndGrad, type Tensor } from "../../engine/tensor/index.ts";
import { matcher } from "./groups.ts";
import { muon, orthogonalize } from "./muon.ts";
import { adamw, resolveOptimizer, sgd } from "./optimizers.ts";
import type { Optimizer } from "./optimizer.ts";
import { applyUpdates, type TensorMap } from "./transformation.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

/** Columns of length 1 at right angles: Gram–Schmidt in float64. */
function orthonormal(n: number, seed: number): number[][] {
  const rows: number[][] = [];
  for (let i = 0; i < n; i++) {
    let row = Array.from({ length: n }, (_, j) => Math.sin(seed + 7 * i * i + 3 * j + i * j));
    for (const other of rows) {
      const dot = row.reduce((sum, x, j) => sum + x * other[j]!, 0);
      row = row.map((x, j) => x - dot * other[j]!);
    }
    const norm = Math.hypot(...row);
    rows.push(row.map((x) => x / norm));
  }
  return rows;
}

describe("orthogonalize", () => {
  it.each([
    [4, 7],
    [7, 4],
    [5, 5],
  ])("sends each singular value of a %i × %i matrix through the iteration", (n, m) => {
    const [u, v] = [orthonormal(n, 1), orthonormal(m, 2)];
    const values = [3, 1, 0.5, 0.2].slice(0, Math.min(n, m));
    const matrix = u.map((_, i) => v.map((_, j) => values.reduce((sum, s, k) => sum + s * u[k]![i]! * v[k]![j]!, 0)));
    const norm = Math.hypot(...values);
    const expected = values.map((s) => {
      let x = s / (norm + 1e-7);
      for (let i = 0; i < 5; i++) x = 3.4445 * x - 4.775 * x ** 3 + 2.0315 * x ** 5;
      return x;
    });
    const result = orthogonalize(tensor(matrix)).toNested() as number[][];
    const along = (a: number, b: number): number =>
      u[a]!.reduce((sum, x, i) => sum + x * v[b]!.reduce((part, y, j) => part + y * result[i]![j]!, 0), 0);
    for (let a = 0; a < values.length; a++)
      for (let b = 0; b < values.length; b++) expect(along(a, b)).toBeCloseTo(a === b ? expected[a]! : 0, 5);
    for (const value of expected) expect(Math.abs(value - 1)).toBeLessThan(0.35);
  });
  it("takes more axes as a matrix of rows, and zeros as they are", () => {
    const x = random.normal(random.key(1), [2, 3, 4]);
    expect(orthogonalize(x).shape).toEqual([2, 3, 4]);
    expect(orthogonalize(x).toNested()).toEqual(
      orthogonalize(x.reshape([6, 4]))
        .reshape([2, 3, 4])
        .toNested(),
    );
    expect(orthogonalize(x.mul(0)).sum().item()).toBe(0);
  });
});

const start = (): TensorMap => ({
  "embedding.table": random.normal(random.key(0), [5, 3]),
  "up.kernel": random.normal(random.key(1), [3, 8]),
  "up.bias": random.normal(random.key(2), [8]),
  "down.kernel": random.normal(random.key(3), [8, 2]),
});
const loss = (p: TensorMap): Tensor => {
  const h = p["embedding.table"]!.matmul(p["up.kernel"]!).add(p["up.bias"]!).tanh();
  return h
    .matmul(p["down.kernel"]!)
    .sub(tensor([0.3, -0.2]))
    .square()
    .mean();
};

function steps(optimizer: Optimizer, count: number): { losses: number[]; params: TensorMap; paths: string[] } {
  const step = jit((params: TensorMap, state: ReturnType<Optimizer["transformation"]["init"]>) => {
    const [value, gradients] = valueAndGrad(loss)(params);
    const next = optimizer.transformation.update(gradients, state, params);
    return { value, params: applyUpdates(params, next.updates), state: next.state };
  });
  let params = start();
  let state = optimizer.transformation.init(params);
  const losses: number[] = [];
  for (let i = 0; i < count; i++) {
    const next = step(params, state);
    losses.push(next.value.item());
    ({ params, state } = next);
  }
  return { losses, params, paths: Object.keys((state.inner as never as { m: object }[])[0]!) };
}

const host = (params: TensorMap, path: string): HostArray => params[path]!.host();

describe("muon", () => {
  it.each(["moonlight", "jordan"] as const)("converges, scaled as %s", (scale) => {
    const { losses } = steps(muon({ learningRate: 0.02, scale, adamRate: 0.5 }), 60);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 10);
  });
  it("treats tables and vectors as AdamW does", () => {
    const options = { learningRate: 0.01, weightDecay: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
    const mixed = steps(muon(options), 1).params;
    const adam = steps(adamw({ ...options, convention: "torch" }), 1).params;
    for (const path of ["embedding.table", "up.bias"]) expect(host(mixed, path)).toEqual(host(adam, path));
    expect(host(mixed, "up.kernel")).not.toEqual(host(adam, "up.kernel"));
  });
  it("makes updates of one size: 0.2 √max(n, m) in root mean square over the larger side", () => {
    const before = start();
    const after = steps(muon({ learningRate: 1, momentum: 0, nesterov: false }), 1).params;
    const update = before["up.kernel"]!.sub(after["up.kernel"]!);
    // Three singular values near 1 of a 3 × 8 matrix: RMS = 0.2 √8 · √(3 / 24) = 0.2.
    expect(update.square().mean().sqrt().item()).toBeCloseTo(0.2, 1);
  });
  it("is made from its config, and refuses what it does not know", () => {
    const made = muon({
      learningRate: 0.01,
      adamFor: "up.*",
      weightDecay: 0.1,
      groups: [{ match: "*.bias", learningRate: 2 }],
    });
    expect(resolveOptimizer(made.config).config).toEqual(made.config);
    expect(() => resolveOptimizer(muon({ adamFor: () => true }).config)).toThrow("found by a function");
    expect(() => muon({ steps: 0 })).toThrow("whole number");
  });
});

describe("groups", () => {
  const moved = (optimizer: Optimizer): { [path: string]: number } => {
    const [before, after] = [start(), steps(optimizer, 1).params];
    return Object.fromEntries(
      Object.keys(before).map((path) => [path, before[path]!.sub(after[path]!).square().sum().sqrt().item()]),
    );
  };
  it("have their own learning rate and decay; the first that matches counts", () => {
    const plain = moved(sgd({ learningRate: 0.1 }));
    const groups = [
      { match: "up.*", learningRate: 3 },
      { match: "*", learningRate: 0 },
    ];
    const own = moved(sgd({ learningRate: 0.1, groups }));
    expect(own["up.kernel"]).toBeCloseTo(3 * plain["up.kernel"]!, 5);
    expect(own["up.bias"]).toBeCloseTo(3 * plain["up.bias"]!, 5);
    expect(own["down.kernel"]).toBe(0);
  });
  it("decay matrices only, where asked", () => {
    const none = steps(adamw({ learningRate: 0.1, weightDecay: 0 }), 1).params;
    const all = steps(adamw({ learningRate: 0.1, weightDecay: 0.5 }), 1).params;
    const some = steps(
      adamw({
        learningRate: 0.1,
        weightDecay: 0.5,
        decayMatricesOnly: true,
        groups: [{ match: "embedding.*", weightDecay: 0 }],
      }),
      1,
    ).params;
    expect(host(some, "up.kernel")).toEqual(host(all, "up.kernel"));
    expect(host(some, "up.bias")).toEqual(host(none, "up.bias"));
    expect(host(some, "embedding.table")).toEqual(host(none, "embedding.table"));
  });
  it("are found by whole paths", () => {
    const found = (match: string, path: string): boolean => matcher(match)(path, tensor([0]));
    expect(found("*.bias|norm*", "blocks.0.bias")).toBe(true);
    expect(found("*.bias|norm*", "norm1.gamma")).toBe(true);
    expect(found("bias", "blocks.bias")).toBe(false);
    expect(found("a.b", "axb")).toBe(false);
  });
});
