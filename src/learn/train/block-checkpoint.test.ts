// Activation checkpointing a block: the same gradients, and the memory of the plan really falls; also nested.
import { describe, expect, it } from "vitest";
import { HostArray } from "../../engine/core/index.ts";
import { checkpoint, tensor, withDevice, type Tensor } from "../../engine/tensor/index.ts";
import { dense, dropout, layerNormalization, Module, type Context } from "../nn/index.ts";
import { sgd } from "../optim/index.ts";
import type { Objective, StepBatch } from "./objective.ts";
import { createState, stateArrays } from "./state.ts";
import { makeStep } from "./step.ts";

const [ROWS, WIDTH, LAYERS] = [256, 32, 8];

class Block extends Module {
  readonly norm: Module = layerNormalization();
  readonly up: Module = dense(4 * WIDTH, { activation: "gelu" });
  readonly drop: Module;
  readonly down: Module = dense(WIDTH);
  constructor(rate: number) {
    super();
    this.drop = dropout(rate);
  }
  protected forward(x: Tensor, context: Context): Tensor {
    const h = this.drop.call(this.up.call(this.norm.call(x, context), context), context);
    return x.add(this.down.call(h, context));
  }
}

/** Blocks one after the other: each by itself, or pairs of them in a checkpoint that holds checkpoints. */
class Stack extends Module {
  readonly blocks: readonly Module[];
  readonly #how: "kept" | "blocks" | "nested";
  constructor(how: "kept" | "blocks" | "nested", rate: number) {
    super();
    this.#how = how;
    this.blocks = Array.from({ length: LAYERS }, () => new Block(rate));
  }
  protected forward(input: Tensor, context: Context): Tensor {
    const run = (x: Tensor, block: Module): Tensor =>
      this.#how === "kept" ? block.call(x, context) : checkpoint((h: Tensor) => block.call(h, context))(x);
    if (this.#how !== "nested") return this.blocks.reduce(run, input);
    const halves = [this.blocks.slice(0, LAYERS / 2), this.blocks.slice(LAYERS / 2)];
    return halves.reduce((x, half) => checkpoint((h: Tensor) => half.reduce(run, h))(x), input);
  }
}

const objective: Objective = (output) => ({ loss: (output as Tensor).square().mean(), parts: [] });

function stepOf(how: "kept" | "blocks" | "nested", rate: number) {
  const model = new Stack(how, rate);
  const shape = [ROWS, WIDTH];
  model.init(1, { dtype: "float32", shape });
  const optimizer = sgd({ learningRate: 1 });
  const step = makeStep(model, { objective, optimizer, predictions: false });
  const x = new HostArray(
    "float32",
    shape,
    Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.sin(i)),
  );
  const batch = (): StepBatch => ({ x: tensor(x), y: [] });
  const fresh = () => createState(model, { optimizer, seed: 0 });
  const bytes = step.lower(fresh(), batch()).plan.arenaBytes;
  const [state, { loss }] = step(fresh(), batch());
  return { bytes, loss: loss.item(), arrays: stateArrays(state) };
}

describe.each([0, 0.3])("blocks whose activations are computed again, dropout %d", (rate) => {
  it.each(["blocks", "nested"] as const)("give the same step in less memory: %s", (how) => {
    withDevice("native", () => {
      const [kept, again] = [stepOf("kept", rate), stepOf(how, rate)];
      expect(again.loss).toBe(kept.loss);
      for (const [path, array] of kept.arrays) {
        const other = again.arrays.get(path)!;
        for (let i = 0; i < array.size; i++)
          expect(Math.abs(Number(array.get(i)) - Number(other.get(i)))).toBeLessThan(1e-6);
      }
      expect(again.bytes).toBeLessThan(0.6 * kept.bytes);
    });
  });
});
