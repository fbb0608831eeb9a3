// Micro-batches make the step of the large batch, whatever each of them trains on.
import { describe, expect, it } from "vitest";
import { HostArray, keyOf, randomBits, foldIn } from "../../engine/core/index.ts";
import { tensor, withDevice, type Tensor } from "../../engine/tensor/index.ts";
import {
  dense,
  embedding,
  initializers,
  layerNormalization,
  Module,
  sparseCategoricalCrossentropy,
  type Context,
} from "../nn/index.ts";
import { sgd } from "../optim/index.ts";
import { makeObjective, type StepBatch } from "./objective.ts";
import { createState, stateArrays } from "./state.ts";
import { makeStep, type StepOptions } from "./step.ts";
import { tokenObjective } from "./token-objective.ts";

const VOCABULARY = 11;

class Tiny extends Module {
  readonly table: Module = embedding(VOCABULARY, 8);
  readonly norm: Module = layerNormalization();
  readonly up: Module = dense(16, { activation: "gelu", kernelRegularizer: "l2" });
  readonly head: Module = dense(VOCABULARY, { kernelInitializer: initializers.randomNormal({ stddev: 0.3 }) });

  protected forward(ids: Tensor, context: Context): Tensor {
    const h = this.up.call(this.norm.call(this.table.call(ids, context), context), context);
    return this.head.call(h, context);
  }
}

const ROWS = 12;
const TIME = 5;

// Ids and labels of a number; some labels are left out, and all of the rows of `empty`.
function batchOf(number: number, { rows = ROWS, empty = [] }: { rows?: number; empty?: readonly number[] } = {}) {
  const bits = randomBits(foldIn(keyOf(number), 1), 3 * rows * TIME);
  const ids = Int32Array.from({ length: rows * TIME }, (_, i) => bits[i]! % VOCABULARY);
  const labels = Int32Array.from({ length: rows * TIME }, (_, i) =>
    empty.includes(Math.floor(i / TIME)) || bits[rows * TIME + i]! % 3 === 0
      ? -1
      : bits[2 * rows * TIME + i]! % VOCABULARY,
  );
  return {
    x: tensor(new HostArray("int32", [rows, TIME], ids)),
    y: [tensor(new HostArray("int32", [rows, TIME], labels))],
  };
}

/** The state and loss after one step. */
function stepOf(options: Partial<StepOptions>, batch: () => StepBatch) {
  const model = new Tiny();
  model.init(3, { dtype: "int32", shape: [ROWS, TIME] });
  const optimizer = sgd({ learningRate: 1 });
  const step = makeStep(model, { objective: tokenObjective(), optimizer, predictions: false, ...options });
  const [state, { loss, finite }] = step(createState(model, { optimizer, seed: 0 }), batch());
  return { loss: loss.item(), finite: finite.item(), arrays: stateArrays(state) };
}

function largestDifference(a: ReturnType<typeof stepOf>, b: ReturnType<typeof stepOf>): number {
  let most = Math.abs(a.loss - b.loss);
  for (const [path, array] of a.arrays) {
    const other = b.arrays.get(path)!;
    for (let i = 0; i < array.size; i++) most = Math.max(most, Math.abs(Number(array.get(i)) - Number(other.get(i))));
  }
  return most;
}

describe.each(["reference", "native"] as const)("accumulation on %s", (device) => {
  const most = device === "reference" ? 1e-7 : 1e-6;
  it.each([2, 3, 4, 5, 7, 12, 100])("in %i parts equals the large batch", (accumulate) => {
    withDevice(device, () => {
      for (let number = 0; number < 4; number++) {
        const whole = stepOf({}, () => batchOf(number));
        const parts = stepOf({ accumulate }, () => batchOf(number));
        expect(largestDifference(whole, parts)).toBeLessThan(most);
      }
    });
  });
  it("weighs parts by their trained tokens, also none", () => {
    withDevice(device, () => {
      const empty = [0, 1, 2, 3, 7]; // the first part of four has no token at all
      const whole = stepOf({}, () => batchOf(9, { empty }));
      expect(
        largestDifference(
          whole,
          stepOf({ accumulate: 4 }, () => batchOf(9, { empty })),
        ),
      ).toBeLessThan(most);
      // Parts weighed alike would be another step.
      const alike = makeObjectiveAlike();
      expect(
        largestDifference(
          whole,
          stepOf({ accumulate: 4, objective: alike }, () => batchOf(9, { empty })),
        ),
      ).toBeGreaterThan(1e-3);
    });
  });
  it("goes on without a single trained token: only penalties move the weights", () => {
    withDevice(device, () => {
      const empty = Array.from({ length: ROWS }, (_, i) => i);
      const parts = stepOf({ accumulate: 3 }, () => batchOf(1, { empty }));
      expect(parts.finite).toBe(1);
      expect(
        largestDifference(
          stepOf({}, () => batchOf(1, { empty })),
          parts,
        ),
      ).toBeLessThan(most);
    });
  });
  it("takes weights of tokens and of samples", () => {
    withDevice(device, () => {
      const weights = [new HostArray("float32", [ROWS, TIME]), new HostArray("float32", [ROWS])].map((array) => {
        for (let i = 0; i < array.size; i++) array.data[i] = (i % 4) / 3;
        return array;
      });
      for (const each of weights) {
        const batch = () => ({ ...batchOf(2), weights: [tensor(each)] });
        expect(largestDifference(stepOf({}, batch), stepOf({ accumulate: 5 }, batch))).toBeLessThan(most);
      }
    });
  });
  it("follows makeObjective: means of samples, and sums", () => {
    withDevice(device, () => {
      const loss = sparseCategoricalCrossentropy({ fromLogits: true });
      for (const reduction of ["mean", "sum"] as const) {
        const objective = makeObjective([{ ...loss, perSample: (t, p) => loss.perSample(t.maximum(0), p) }], {
          reduction,
        });
        const whole = stepOf({ objective }, () => batchOf(4));
        expect(
          largestDifference(
            whole,
            stepOf({ objective, accumulate: 5 }, () => batchOf(4)),
          ),
        ).toBeLessThan(10 * most);
      }
    });
  });
});

// The objective of tokens without its count.
function makeObjectiveAlike(): StepOptions["objective"] {
  const objective = tokenObjective();
  return (output, batch) => {
    const { loss, parts } = objective(output, batch);
    return { loss, parts };
  };
}

describe("accumulation", () => {
  it("needs the memory of one part", () => {
    const arena = (accumulate: number): number => {
      const model = new Tiny();
      model.init(3, { dtype: "int32", shape: [256, TIME] });
      const optimizer = sgd({ learningRate: 1 });
      const step = makeStep(model, { objective: tokenObjective(), optimizer, predictions: false, accumulate });
      return step.lower(createState(model, { optimizer, seed: 0 }), batchOf(1, { rows: 256 })).plan.arenaBytes;
    };
    expect(withDevice("native", () => arena(16))).toBeLessThan(withDevice("native", () => arena(1)) / 8);
  });
  it("refuses what makes no sense", () => {
    const options = { objective: tokenObjective(), optimizer: sgd() };
    expect(() => makeStep(new Tiny(), { ...options, accumulate: 0 })).toThrow("whole number ≥ 1");
    expect(() => makeStep(new Tiny(), { ...options, accumulate: 2, predictions: true })).toThrow("no predictions");
  });
});

describe("tokenObjective", () => {
  const options = { labelSmoothing: 0.1, zLoss: 0.01 };
  it("is smoothed and kept near Z = 0 by its formula", () => {
    withDevice("reference", () => {
      const logits = [1, -2, 0.5, 3];
      const batch = { x: tensor([0]), y: [tensor(new HostArray("int32", [1, 2], Int32Array.of(3, -1)))] };
      const { loss, count } = tokenObjective(options)(tensor([[logits, logits]]), batch);
      const z = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
      const mean = logits.reduce((a, b) => a + b) / 4;
      expect(loss.item()).toBeCloseTo(0.9 * (z - 3) + 0.1 * (z - mean) + 0.01 * z * z, 6);
      expect((count as Tensor).item()).toBe(1);
    });
  });
  it("is the same in parts", () => {
    withDevice("native", () => {
      const objective = tokenObjective(options);
      const whole = stepOf({ objective }, () => batchOf(3));
      expect(
        largestDifference(
          whole,
          stepOf({ objective, accumulate: 5 }, () => batchOf(3)),
        ),
      ).toBeLessThan(1e-6);
    });
  });
});
