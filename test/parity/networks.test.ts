// Four networks against PyTorch: logits and gradients of the first batch, the losses of 100 steps with each optimizer.
import { beforeAll, describe, expect, it } from "vitest";
import type { HostArray } from "../../src/engine/core/index.ts";
import { tensor, valueAndGrad, withDevice, type Tensor } from "../../src/engine/tensor/index.ts";
import { Context, resolveLoss, type Module } from "../../src/learn/nn/index.ts";
import type { Optimizer, TensorMap } from "../../src/learn/optim/index.ts";
import { createState, makeObjective, makeStep, valuesOf } from "../../src/learn/train/index.ts";
import { networks, type Network } from "./networks.ts";
import { distance, optimizers, pixels, readOracle, rowsOfStep, STEPS, type Oracle } from "./oracle.ts";

const objective = makeObjective([resolveLoss({ name: "sparse_categorical_crossentropy", fromLogits: true })]);

describe.each(Object.entries(networks))("%s", (name, network) => {
  let oracle: Oracle;
  let x: HostArray;
  beforeAll(async () => {
    oracle = await readOracle(name);
    x = network.pixels ? pixels(oracle.array("x")) : oracle.array("x");
  });

  it("has PyTorch's logits and gradients on the first batch", () => {
    const check = (tolerance: number): void => {
      const model = build(network, oracle, x);
      const batch = batchOf(x, oracle.array("y"), 0);
      const context = new Context({ training: true });
      const { output } = model.pure(model.tensors(), batch.x, context);
      expect(furthest(output.host(), oracle.array("logits"))).toBeLessThan(tolerance);
      const weights = Object.fromEntries(Object.entries(model.tensors()).filter(([path]) => !path.includes("moving")));
      const [, gradients] = valueAndGrad((p: TensorMap) => {
        return objective(model.pure({ ...model.tensors(), ...p }, batch.x, context).output, batch).loss;
      })(weights);
      for (const [path, gradient] of Object.entries(gradients)) {
        const expected = oracle.array(`grad.${network.nameOf(path)}`);
        expect(furthest(gradient.host(), expected), path).toBeLessThan(tolerance);
      }
    };
    check(1e-5);
    withDevice("reference", () => check(1e-6));
  });

  it.each(Object.entries(optimizers))("has the losses of 100 steps with %s", (optimizer, make) => {
    const { losses, states } = train(network, { oracle, x, optimizer: make() });
    const { first, all } = distance(losses, oracle.losses(optimizer));
    expect(first).toBeLessThan(1e-5);
    expect(all).toBeLessThan(1e-3);
    if (optimizer !== "sgd") return;
    for (const [path, value] of Object.entries(states)) {
      expect(furthest(value.host(), oracle.array(`final.${path}`)), path).toBeLessThan(1e-4);
    }
  });
});

function build({ make, nameOf }: Network, oracle: Oracle, x: HostArray): Module {
  const model = make().init(0, { dtype: x.dtype === "int32" ? "int32" : "float32", shape: [2, ...x.shape.slice(1)] });
  for (const { path, parameter } of model.parameters()) {
    if (parameter.kind === "weight") parameter.value = tensor(oracle.array(nameOf(path)).reshape(parameter.shape));
  }
  return model;
}

function batchOf(x: HostArray, y: HostArray, t: number): { x: Tensor; y: Tensor[] } {
  return { x: tensor(rowsOfStep(x, t)), y: [tensor(rowsOfStep(y, t))] };
}

function train(
  network: Network,
  { oracle, x, optimizer }: { oracle: Oracle; x: HostArray; optimizer: Optimizer },
): { losses: number[]; states: TensorMap } {
  const model = build(network, oracle, x) as Module<never, unknown>;
  const step = makeStep(model, { objective, optimizer, predictions: false });
  let state = createState(model, { optimizer, seed: 0 });
  const losses = Array.from({ length: STEPS }, (_, t) => {
    const [next, outputs] = step(state, batchOf(x, oracle.array("y"), t));
    state = next;
    return outputs.loss.item();
  });
  const moving = Object.entries(valuesOf(state)).filter(([path]) => path.includes("moving"));
  return { losses, states: Object.fromEntries(moving) };
}

function furthest(received: HostArray, expected: HostArray): number {
  expect(received.size).toBe(expected.size);
  let most = 0;
  for (let i = 0; i < received.size; i++) most = Math.max(most, Math.abs(received.get(i) - expected.get(i)));
  return most;
}
