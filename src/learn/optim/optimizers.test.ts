// Every optimizer by one table: it converges, keeps shapes, is the same compiled, takes a new rate through its state.
import { beforeAll, describe, expect, it } from "vitest";
import { full, jit, setDefaultDevice, tensor, valueAndGrad, type Tensor } from "../../engine/tensor/index.ts";
import type { Optimizer, OptimizerState } from "./optimizer.ts";
import { adagrad, adam, adamax, adamw, lion, nadam, optimizers, resolveOptimizer, rmsprop, sgd } from "./optimizers.ts";
import type { Schedule } from "./schedule.ts";
import { cosineDecay } from "./schedules.ts";
import { applyUpdates, type TensorMap } from "./transformation.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

type Step = (params: TensorMap, state: OptimizerState) => { params: TensorMap; state: OptimizerState; loss: Tensor };

// A narrow valley with its lowest point at w = (1, −2), b = 3.
const valley = ({ w, b }: TensorMap): Tensor =>
  w!
    .sub(tensor([1, -2]))
    .square()
    .mul(tensor([1, 10]))
    .sum()
    .add(b!.sub(3).square());

function stepOf(optimizer: Optimizer): Step {
  return (params, state) => {
    const [loss, gradients] = valueAndGrad(valley)(params);
    const next = optimizer.transformation.update(gradients, state, params);
    return { params: applyUpdates(params, next.updates), state: next.state, loss };
  };
}

const start = (): TensorMap => ({ w: tensor([0, 0]), b: tensor(0) });

function run(
  step: Step,
  optimizer: Optimizer,
  steps: number,
): { params: TensorMap; state: OptimizerState; loss: number } {
  let params = start();
  let state = optimizer.transformation.init(params);
  let loss = Infinity;
  for (let t = 0; t < steps; t++) {
    const next = step(params, state);
    ({ params, state } = next);
    loss = next.loss.item();
  }
  return { params, state, loss };
}

const numbers = (params: TensorMap): number[] => Object.values(params).flatMap((p) => p.host().toFlat());

const rate = (learningRate: number | Schedule): { learningRate: number | Schedule; weightDecay: number } => ({
  learningRate,
  weightDecay: 0,
});

const table: { readonly [name: string]: () => Optimizer } = {
  sgd: () => sgd(rate(0.05)),
  "sgd, momentum": () => sgd({ ...rate(0.02), momentum: 0.9 }),
  "sgd, nesterov": () => sgd({ ...rate(0.02), momentum: 0.9, nesterov: true }),
  "sgd, momentum as torch": () => sgd({ ...rate(0.02), momentum: 0.9, convention: "torch" }),
  "sgd, clipped by norm": () => sgd({ ...rate(0.05), globalClipNorm: 5 }),
  adam: () => adam(rate(0.1)),
  "adam as torch": () => adam({ ...rate(0.1), convention: "torch" }),
  adamw: () => adamw(rate(0.1)),
  adamax: () => adamax(rate(0.2)),
  nadam: () => nadam(rate(0.1)),
  rmsprop: () => rmsprop(rate(falling(0.1))),
  "rmsprop, centered, momentum": () => rmsprop({ ...rate(falling(0.02)), centered: true, momentum: 0.5 }),
  "rmsprop as torch": () => rmsprop({ ...rate(falling(0.1)), convention: "torch" }),
  adagrad: () => adagrad(rate(1)),
  "adagrad as torch": () => adagrad({ ...rate(1), convention: "torch" }),
  lion: () => lion(rate(falling(0.1))),
};

// Steps by sign never come to rest by themselves: their rate has to fall.
function falling(initial: number): Schedule {
  return cosineDecay({ initial, decaySteps: 400 });
}

describe.each(Object.entries(table))("%s", (_, make) => {
  it("finds the lowest point of a valley", () => {
    const { params, loss } = run(jit(stepOf(make())), make(), 400);
    expect(loss).toBeLessThan(1e-3);
    [1, -2, 3].forEach((target, i) => expect(Math.abs(numbers(params)[i]! - target)).toBeLessThan(0.05));
  });

  it("has a state of the shapes of the parameters, and counts", () => {
    const optimizer = make();
    const { state } = run(stepOf(optimizer), optimizer, 2);
    expect(state.count.item()).toBe(2);
    expect(state.count.dtype).toBe("int32");
    const shapes: string[] = [];
    const visit = (node: unknown, path: string): void => {
      const shape = (node as Partial<Tensor>).shape;
      if (shape !== undefined) shapes.push(`${path.split(".").at(-1)} [${shape.join()}]`);
      else for (const [key, child] of Object.entries(node as object)) visit(child, `${path}.${key}`);
    };
    visit(state.inner, "");
    for (const shape of shapes) expect(["w [2]", "b []", "count []", "product []"]).toContain(shape);
  });

  it("computes the same compiled and eagerly", () => {
    const optimizer = make();
    const eager = run(stepOf(optimizer), optimizer, 5);
    const compiled = run(jit(stepOf(optimizer), { donate: [0, 1] }), optimizer, 5);
    expect(numbers(compiled.params)).toEqual(numbers(eager.params));
  });

  it("takes a new rate through its state, without a new compilation", () => {
    const optimizer = make();
    const step = jit(stepOf(optimizer));
    const params = start();
    const state = optimizer.transformation.init(params);
    const stopped = { ...state, learningRate: full([], 0) };
    expect(step.lower(params, stopped)).toBe(step.lower(params, state));
    expect(numbers(step(params, stopped).params)).toEqual([0, 0, 0]);
    expect(numbers(step(params, state).params)).not.toEqual([0, 0, 0]);
  });

  it("comes back from its config", () => {
    const optimizer = make();
    const again = resolveOptimizer(JSON.parse(JSON.stringify(optimizer.config)) as { name: string });
    expect(again.config).toEqual(optimizer.config);
    expect(numbers(run(stepOf(again), again, 3).params)).toEqual(numbers(run(stepOf(optimizer), optimizer, 3).params));
  });
});

describe("formulas", () => {
  // One parameter, a fixed row of gradients: the recurrences of the papers in plain numbers.
  const gradients = [0.5, -1, 2, 0.125, -0.25]; // exact in float32
  const replay = (optimizer: Optimizer, p0 = 1): number[] => {
    let params: TensorMap = { p: tensor(p0) };
    let state = optimizer.transformation.init(params);
    return gradients.map((g) => {
      const next = optimizer.transformation.update({ p: tensor(g) }, state, params);
      params = applyUpdates(params, next.updates);
      state = next.state;
      return params["p"]!.item();
    });
  };
  const close = (received: readonly number[], expected: readonly number[]): void =>
    received.forEach((x, i) => expect(x).toBeCloseTo(expected[i]!, 12));

  it("adamax", () => {
    let [p, m, u] = [1, 0, 0];
    close(
      replay(adamax({ learningRate: 0.1 })),
      gradients.map((g, i) => {
        m = 0.9 * m + 0.1 * g;
        u = Math.max(0.999 * u, Math.abs(g));
        return (p -= (0.1 / (1 - 0.9 ** (i + 1))) * (m / (u + 1e-7)));
      }),
    );
  });

  it("nadam", () => {
    let [p, m, v, product] = [1, 0, 0, 1];
    const mu = (t: number): number => 0.9 * (1 - 0.5 * 0.96 ** t);
    close(
      replay(nadam({ learningRate: 0.1 })),
      gradients.map((g, i) => {
        const t = i + 1;
        product *= mu(t);
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        const ahead = (mu(t + 1) * m) / (1 - product * mu(t + 1)) + ((1 - mu(t)) * g) / (1 - product);
        return (p -= (0.1 * ahead) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-7));
      }),
    );
  });

  it("rmsprop with momentum and centering, in both conventions", () => {
    for (const convention of ["keras", "torch"] as const) {
      let [p, v, mean, heavy] = [1, 0, 0, 0];
      close(
        replay(rmsprop({ learningRate: 0.1, momentum: 0.8, centered: true, epsilon: 1e-3, convention })),
        gradients.map((g) => {
          v = 0.9 * v + 0.1 * g * g;
          mean = 0.9 * mean + 0.1 * g;
          const spread = v - mean * mean;
          const direction = convention === "torch" ? g / (Math.sqrt(spread) + 1e-3) : g / Math.sqrt(spread + 1e-3);
          heavy = 0.8 * heavy + direction;
          return (p -= 0.1 * heavy);
        }),
      );
    }
  });

  it("decay is decoupled and spares what `noDecay` names", () => {
    const optimizer = adamw({ learningRate: 0.1, weightDecay: 0.5, noDecay: ["bias"] });
    const params = { "a.kernel": tensor(2), "a.bias": tensor(2) };
    const zero = { "a.kernel": tensor(0), "a.bias": tensor(0) };
    const { updates } = optimizer.transformation.update(zero, optimizer.transformation.init(params), params);
    expect(updates["a.kernel"]!.item()).toBeCloseTo(-0.1 * 0.5 * 2, 12);
    expect(updates["a.bias"]!.item()).toBe(-0);
  });

  it("a velocity holds steps in Keras's convention and gradients in PyTorch's", () => {
    const twice = (convention: "keras" | "torch"): number => {
      const optimizer = sgd({ learningRate: 1, momentum: 0.5, convention });
      const params = { p: tensor(0) };
      const first = optimizer.transformation.update({ p: tensor(1) }, optimizer.transformation.init(params), params);
      const slower = { ...first.state, learningRate: full([], 0.1) };
      return optimizer.transformation.update({ p: tensor(1) }, slower, params).updates["p"]!.item();
    };
    expect(twice("keras")).toBeCloseTo(-0.5 - 0.1, 12);
    expect(twice("torch")).toBeCloseTo(-0.1 * 1.5, 12);
  });

  it("reads the rate of the next step on the host", () => {
    const optimizer = sgd({ learningRate: cosineDecay({ initial: 2, decaySteps: 10 }) });
    expect(optimizer.learningRateAt(5, 1)).toBeCloseTo(1, 12);
    expect(sgd().learningRateAt(5, 0.3)).toBe(0.3);
  });
});

describe("resolveOptimizer", () => {
  it("knows every name and its defaults", () => {
    for (const name of Object.keys(optimizers)) expect(resolveOptimizer(name).name).toBe(name);
    expect(resolveOptimizer("sgd").learningRate).toBe(0.01);
    expect(resolveOptimizer("adam").config).toMatchObject({ learningRate: 0.001, epsilon: 1e-7 });
    expect(resolveOptimizer("adamw").config).toMatchObject({ weightDecay: 0.004 });
  });
  it("refuses what does not exist", () => {
    expect(() => resolveOptimizer("adamm")).toThrow(/there is no optimizer "adamm"\nhint: there are: sgd, adam/);
    expect(() => resolveOptimizer("constructor")).toThrow(/no optimizer/);
    expect(() => resolveOptimizer({ name: "sgd", learningRate: { schedule: "toString" } } as never)).toThrow(
      /no schedule/,
    );
    expect(() => resolveOptimizer({ name: "sgd", beta1: 0.5 } as never)).toThrow(
      /has no option `beta1`\nhint: its options are learningRate, momentum/,
    );
    expect(() => sgd({ nesterov: true })).toThrow(/needs momentum/);
    expect(() => adam({ beta1: 1.5 })).toThrow(/`beta1` must be/);
    expect(() => adam({ clipValue: 1, clipNorm: 1 })).toThrow(/at most one/);
  });
});
