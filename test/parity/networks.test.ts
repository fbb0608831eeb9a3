// Whole networks made of layers against PyTorch: logits and gradients in float64, the losses of 100 steps of every optimizer.
import { beforeAll, describe, expect, it } from "vitest";
import type { HostArray, Shape } from "../../src/engine/core/index.ts";
import { arange, jit, tensor, valueAndGrad, withDevice, type Tensor } from "../../src/engine/tensor/index.ts";
import * as nn from "../../src/learn/nn/index.ts";
import { applyUpdates, type OptimizerState, type TensorMap } from "../../src/learn/optim/index.ts";
import { assertClose } from "../../src/testing/index.ts";
import { distance, optimizers, pixels, readOracle, rowsOfStep, STEPS, type Oracle } from "./oracle.ts";

class Block extends nn.Module {
  readonly norm0: nn.Layer = nn.layerNormalization({ epsilon: 1e-5 });
  readonly attn: nn.MultiHeadAttention = nn.multiHeadAttention(4, 8);
  readonly norm1: nn.Layer = nn.layerNormalization({ epsilon: 1e-5 });
  readonly up: nn.Dense = nn.dense(64, { activation: "gelu" });
  readonly down: nn.Dense = nn.dense(32);

  protected forward(x: Tensor, context: nn.Context): Tensor {
    const h = x.add(this.attn.call(this.norm0.call(x, context), context));
    return h.add(this.down.call(this.up.call(this.norm1.call(h, context), context), context));
  }
}

class Transformer extends nn.Module {
  readonly embedding: nn.Embedding = nn.embedding(40, 32);
  readonly positions: nn.Embedding = nn.embedding(16, 32);
  readonly block0: Block = new Block();
  readonly block1: Block = new Block();
  readonly norm: nn.Layer = nn.layerNormalization({ epsilon: 1e-5 });
  readonly dense: nn.Dense = nn.dense(6);

  protected forward(ids: Tensor, context: nn.Context): Tensor {
    const places = this.positions.call(arange(ids.shape[1]!).expandDims(0), context);
    const h = this.block1.call(this.block0.call(this.embedding.call(ids, context).add(places), context), context);
    return this.dense.call(this.norm.call(h, context).mean({ axis: 1 }), context);
  }
}

const networks: { readonly [name: string]: () => nn.Module } = {
  cnn: () =>
    nn.stack([
      nn.conv2d(8, 3, { padding: "same", name: "conv0" }),
      nn.batchNormalization({ name: "bn0" }),
      nn.reLU(),
      nn.maxPooling2d(),
      nn.conv2d(16, 3, { activation: "relu", name: "conv1" }),
      nn.globalAveragePooling2d(),
      nn.dense(10, { name: "dense" }),
    ]),
  lstm: () =>
    nn.stack([
      nn.embedding(32, 8, { name: "embedding" }),
      nn.lstm(16, { name: "lstm" }),
      nn.dense(5, { name: "dense" }),
    ]),
  transformer: () => new Transformer(),
};

/** Our path of a weight as the fixture calls it. */
function fixtureName(path: string): string {
  return path
    .replace(/\.embeddings$/, ".table")
    .replace("recurrentKernel", "recurrent")
    .replace("attentionOutput", "output");
}

interface Values {
  readonly params: TensorMap;
  readonly states: TensorMap;
}

/** The stored weights in our shapes (the heads of an attention are an axis of ours), and fresh states. */
function start(module: nn.Module, oracle: Oracle, x: HostArray): Values {
  const first = rowsOfStep(x, 0);
  module.init(0, { dtype: first.dtype === "int32" ? "int32" : "float32", shape: first.shape });
  const own = module.parameters();
  const weights = own.filter(({ parameter }) => parameter.kind === "weight");
  const states = own.filter(({ parameter }) => parameter.kind === "state");
  const stored = (path: string, shape: Shape): Tensor => tensor(oracle.array(fixtureName(path))).reshape(shape);
  return {
    params: Object.fromEntries(weights.map(({ path, parameter }) => [path, stored(path, parameter.shape)])),
    states: Object.fromEntries(states.map(({ path, parameter }) => [path, parameter.value])),
  };
}

const loss = nn.sparseCategoricalCrossentropy({ fromLogits: true });

type Batch = { readonly x: Tensor; readonly y: Tensor };
type Forward = [loss: Tensor, logits: Tensor, states: nn.NamedTensors];

function forward(module: nn.Module, { x, y }: Batch, states: TensorMap): (params: TensorMap) => Forward {
  return (params) => {
    const context = new nn.Context({ training: true });
    const { output, states: next } = module.pure({ ...params, ...states }, x, context);
    return [loss.perSample(y, output).mean(), output, next];
  };
}

describe.each(Object.entries(networks))("%s", (name, make) => {
  let oracle: Oracle;
  let x: HostArray;
  let y: HostArray;
  beforeAll(async () => {
    oracle = await readOracle(name);
    x = name === "cnn" ? pixels(oracle.array("x")) : oracle.array("x");
    y = oracle.array("y");
  });
  const batch = (t: number): Batch => ({ x: tensor(rowsOfStep(x, t)), y: tensor(rowsOfStep(y, t)) });

  it("has the logits and gradients of the first batch in float64", () => {
    withDevice("reference", () => {
      const module = make();
      const { params, states } = start(module, oracle, x);
      const [[, logits], gradients] = valueAndGrad(forward(module, batch(0), states))(params);
      // The picture is rounded to float32 on both sides, the weights are exact: the rest is the order of sums.
      assertClose(logits.host(), oracle.array("logits"), { what: "logits", rtol: 1e-9, atol: 1e-9 });
      for (const [path, gradient] of Object.entries(gradients)) {
        const expected = oracle.array(`grad.${fixtureName(path)}`);
        assertClose(gradient.reshape(expected.shape).host(), expected, { what: path, rtol: 1e-6, atol: 1e-9 });
      }
    });
  });

  it.each(Object.keys(optimizers))("has the losses of 100 steps of %s on the default device", (rule) => {
    const { transformation } = optimizers[rule]!();
    const module = make();
    const step = jit(
      (params: TensorMap, states: TensorMap, optState: OptimizerState, one: Batch) => {
        const [[value, , after], gradients] = valueAndGrad(forward(module, one, states))(params);
        const next = transformation.update(gradients, optState, params);
        return { params: applyUpdates(params, next.updates), states: after, optState: next.state, value };
      },
      { donate: [0, 1, 2] },
    );
    let { params, states } = start(module, oracle, x);
    let optState = transformation.init(params);
    const received = Array.from({ length: STEPS }, (_, t) => {
      const next = step(params, states, optState, batch(t));
      ({ params, states, optState } = next);
      return next.value.item();
    });
    const { first, all } = distance(received, oracle.losses(rule));
    expect(first).toBeLessThan(1e-5);
    expect(all).toBeLessThan(1e-3);
    if (name !== "cnn" || rule !== "sgd") return;
    for (const state of ["bn0.movingMean", "bn0.movingVariance"])
      assertClose(states[state]!.host(), oracle.array(`final.${state}`), { what: state, rtol: 1e-4, atol: 1e-5 });
  });
});
