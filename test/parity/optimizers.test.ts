// Every optimizer, in Keras's and in PyTorch's convention, on the classic network: the losses of 100 steps.
import { beforeAll, describe, expect, it } from "vitest";
import { applyUpdates, type Optimizer, type OptimizerState, type TensorMap } from "../../src/learn/optim/index.ts";
import { crossEntropy, jit, tensor, valueAndGrad, withDevice, type Tensor } from "../../src/engine/tensor/index.ts";
import { distance, optimizers, pixels, readOracle, rowsOfStep, STEPS, type Oracle } from "./oracle.ts";

let oracle: Oracle;
beforeAll(async () => {
  oracle = await readOracle("classic");
});

function loss(p: TensorMap, x: Tensor, y: Tensor): Tensor {
  const layer = (h: Tensor, i: number): Tensor => h.matmul(p[`dense${i}.kernel`]!).add(p[`dense${i}.bias`]!);
  return crossEntropy(layer(layer(layer(x, 0).relu(), 1).relu(), 2), y).mean();
}

function train(optimizer: Optimizer, steps: number): number[] {
  const x = pixels(oracle.array("x"));
  const y = oracle.array("y");
  const step = jit(
    (params: TensorMap, state: OptimizerState, batch: { x: Tensor; y: Tensor }) => {
      const [value, gradients] = valueAndGrad((p: TensorMap) => loss(p, batch.x, batch.y))(params);
      const next = optimizer.transformation.update(gradients, state, params);
      return { params: applyUpdates(params, next.updates), state: next.state, loss: value };
    },
    { donate: [0, 1] },
  );
  let params: TensorMap = oracle.weights();
  let state = optimizer.transformation.init(params);
  return Array.from({ length: steps }, (_, t) => {
    const next = step(params, state, { x: tensor(rowsOfStep(x, t)), y: tensor(rowsOfStep(y, t)) });
    ({ params, state } = next);
    return next.loss.item();
  });
}

describe.each(Object.entries(optimizers))("%s", (name, make) => {
  it("has the losses of 100 steps on the default device", () => {
    const { first, all } = distance(train(make(), STEPS), oracle.losses(name));
    expect(first).toBeLessThan(1e-5);
    expect(all).toBeLessThan(1e-3);
  });

  it("has the first losses in float64", () => {
    const received = withDevice("reference", () => train(make(), 3));
    expect(distance(received, oracle.losses(name)).all).toBeLessThan(1e-7);
  });
});
