// Losses: closed forms, extreme logits, shapes that fit and shapes that do not, names.
import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { IndexError } from "../../engine/core/index.ts";
import {
  grad,
  jit,
  setDefaultDevice,
  tensor,
  valueAndGrad,
  withDevice,
  type Tensor,
} from "../../engine/tensor/index.ts";
import { sigmoid, softmax } from "./activations.ts";
import { dense } from "./dense.ts";
import { activation, softmax as softmaxLayer } from "./activation-layers.ts";
import { Context } from "./context.ts";
import * as crossEntropies from "./cross-entropy.ts";
import * as losses from "./losses.ts";
import { lossNames, lossSpec, resolveLoss } from "./losses.ts";
import { logitsOf } from "./logits.ts";
import { timeDistributed } from "./wrappers.ts";

setDefaultDevice("reference");

// −0 is 0 here.
const one = (x: Tensor): number[] => [...x.host().toFlat()].map((v) => v + 0);
const {
  sparseCategoricalCrossentropy: sparse,
  categoricalCrossentropy: categorical,
  binaryCrossentropy: binary,
} = crossEntropies;
const row = fc.array(fc.double({ min: -30, max: 30, noNaN: true }), { minLength: 2, maxLength: 6 });

describe("cross-entropy", () => {
  it("of logits is the closed form ln Σ eˣ − x[label], its gradient softmax − one-hot", () => {
    fc.assert(
      fc.property(row, fc.nat(), (x, n) => {
        const label = n % x.length;
        const fn = (logits: Tensor): Tensor =>
          sparse({ fromLogits: true })
            .perSample(tensor([label], { dtype: "int32" }), logits)
            .sum();
        const [loss, slope] = valueAndGrad(fn)(tensor([x], { dtype: "float32" }));
        const top = Math.max(...x);
        const total = x.reduce((a, b) => a + Math.exp(b - top), 0);
        expect(loss.item()).toBeCloseTo(top + Math.log(total) - x[label]!, 5);
        one(slope).forEach((g, i) => expect(g).toBeCloseTo(Math.exp(x[i]! - top) / total - (i === label ? 1 : 0), 6));
      }),
      { numRuns: 30 },
    );
  });
  it("of one-hot targets is that of labels, of two classes that of yes or no", () => {
    fc.assert(
      fc.property(row, fc.nat(), (x, n) => {
        const label = n % x.length;
        const hot = tensor([x.map((_, i) => (i === label ? 1 : 0))]);
        const logits = tensor([x], { dtype: "float32" });
        const expected = sparse({ fromLogits: true })
          .perSample(tensor([label]), logits)
          .item();
        expect(categorical({ fromLogits: true }).perSample(hot, logits).item()).toBeCloseTo(expected, 9);
        const two = tensor([[0, x[0]!]], { dtype: "float32" });
        const yes = binary({ fromLogits: true })
          .perSample(tensor([[1]]), tensor([[x[0]!]]))
          .item();
        expect(
          sparse({ fromLogits: true })
            .perSample(tensor([1]), two)
            .item(),
        ).toBeCloseTo(yes, 6);
      }),
      { numRuns: 30 },
    );
  });
  it.each(["reference", "wasm"] as const)("is exact for logits of ±1e4, through softmax and sigmoid, on %s", (name) => {
    withDevice(name, () => {
      const x = tensor([
        [1e4, -1e4, 0],
        [-1e4, 1e4, 0],
      ]);
      const labels = tensor([1, 1], { dtype: "int32" });
      const hot = tensor([
        [0, 1, 0],
        [0, 1, 0],
      ]);
      for (const fn of [
        (z: Tensor) => sparse({ fromLogits: true }).perSample(labels, z),
        (z: Tensor) => sparse().perSample(labels, softmax(z)),
        (z: Tensor) => categorical().perSample(hot, softmax(z)),
      ]) {
        expect(one(fn(x))).toEqual([2e4, 0]);
        expect(one(grad((z: Tensor) => fn(z).sum())(x))).toEqual([1, -1, 0, 0, 0, 0]);
        expect(one(jit(grad((z: Tensor) => fn(z).sum()))(x))).toEqual([1, -1, 0, 0, 0, 0]);
      }
      const yes = tensor([[0], [1], [1]]);
      const z = tensor([[1e4], [1e4], [-1e4]]);
      const fn = (v: Tensor): Tensor => binary().perSample(yes, sigmoid(v));
      expect(one(fn(z))).toEqual([1e4, 0, 1e4]);
      expect(one(grad((v: Tensor) => fn(v).sum())(z))).toEqual([1, 0, -1]);
    });
  });
  it("without logits clips probabilities at 1e-7", () => {
    const p = tensor([[1, 0]]);
    expect(
      categorical()
        .perSample(tensor([[0, 1]]), p)
        .item(),
    ).toBeCloseTo(-Math.log(1e-7), 9);
    expect(
      binary()
        .perSample(tensor([[0, 1]]), p)
        .item(),
    ).toBeCloseTo(-Math.log(1e-7), 6);
  });
  it("refuses fromLogits behind a softmax", () => {
    expect(() => sparse({ fromLogits: true }).perSample(tensor([0]), softmax(tensor([[1, 2]])))).toThrow(
      /went through softmax\nhint: drop fromLogits/,
    );
  });
  it("refuses labels out of range", () => {
    const fn = (): Tensor => sparse({ fromLogits: true }).perSample(tensor([3]), tensor([[1, 2, 3]]));
    expect(() => fn().item()).toThrow(IndexError);
  });
  it("ignores a class: the mean is over the others", () => {
    const logits = tensor([
      [
        [1, 2],
        [3, 4],
      ],
      [
        [0, 1],
        [2, 2],
      ],
    ]);
    const all = sparse({ fromLogits: true, ignoreClass: -1 });
    const each = one(
      all.perSample(
        tensor([
          [0, -1],
          [1, -1],
        ]),
        logits,
      ),
    );
    const mean = (each[0]! + each[1]!) / 2;
    const [a, b] = [Math.log(1 + Math.E), Math.log(1 + Math.exp(-1))];
    expect(mean).toBeCloseTo((a + b) / 2, 9);
    expect(
      one(
        all.perSample(
          tensor([
            [-1, -1],
            [-1, -1],
          ]),
          logits,
        ),
      ),
    ).toEqual([0, 0]);
  });
  it("smooths labels", () => {
    const loss = categorical({ fromLogits: true, labelSmoothing: 0.2 }).perSample(tensor([[1, 0]]), tensor([[0, 0]]));
    expect(loss.item()).toBeCloseTo(Math.LN2, 9);
    expect(() => categorical({ labelSmoothing: 2 })).toThrow(/`labelSmoothing` must be in \[0, 1\]/);
  });
});

describe("logitsOf", () => {
  const x = tensor([[1, 2, 3]]);
  it("knows them behind activations and layers, until another operation", () => {
    const layer = dense(3, { activation: "softmax" }).init(0, x);
    expect(logitsOf(layer.call(x))?.kind).toBe("softmax");
    expect(logitsOf(activation("sigmoid").call(x))?.logits).toBe(x);
    expect(logitsOf(softmaxLayer().call(x))?.logits).toBe(x);
    expect(logitsOf(softmax(x).mul(1))).toBeUndefined();
    expect(logitsOf(softmaxLayer({ axis: 1 }).call(tensor([[[1, 2]]])))).toBeUndefined();
    const steps = timeDistributed(softmaxLayer()).call(x.reshape([1, 1, 3]));
    expect(logitsOf(steps)?.logits.shape).toEqual([1, 1, 3]);
  });
  it("survives a model call, also compiled", () => {
    const layer = dense(2, { activation: "softmax", kernelInitializer: { name: "constant", value: 1e4 } }).init(0, x);
    const step = jit((values: Record<string, Tensor>, input: Tensor) => {
      const { output } = layer.pure(values, input, new Context({ training: true }));
      return sparse().perSample(tensorConstant(), output);
    });
    const apart = { ...layer.tensors(), bias: tensor([3e4, 0]) };
    expect(one(step(apart, x))).toEqual([3e4]);
  });
});
const tensorConstant = (): Tensor => tensor([1], { dtype: "int32" });

describe("other losses", () => {
  const [t, p] = [
    tensor(
      [
        [0, 2],
        [3, 1],
      ],
      { device: "reference" },
    ),
    tensor(
      [
        [1, 2],
        [1, 3],
      ],
      { device: "reference" },
    ),
  ];
  it("have their closed forms", () => {
    expect(one(losses.meanSquaredError().perSample(t, p))).toEqual([0.5, 4]);
    expect(one(losses.meanAbsoluteError().perSample(t, p))).toEqual([0.5, 2]);
    expect(one(losses.huber().perSample(t, p))).toEqual([0.25, 1.5]);
    expect(one(losses.hinge().perSample(tensor([[0, 1]]), tensor([[0.5, 0.25]])))).toEqual([(1.5 + 0.75) / 2]);
    expect(one(losses.hinge().perSample(tensor([[-1, 1]]), tensor([[0.5, 0.25]])))).toEqual([(1.5 + 0.75) / 2]);
    expect(
      losses
        .cosineSimilarity()
        .perSample(tensor([[3, 4]]), tensor([[6, 8]]))
        .item(),
    ).toBeCloseTo(-1, 12);
    expect(
      losses
        .klDivergence()
        .perSample(tensor([[0.5, 0.5]]), tensor([[0.25, 0.75]]))
        .item(),
    ).toBeCloseTo(0.5 * Math.log(2) + 0.5 * Math.log(2 / 3), 6);
    expect(
      losses
        .logCosh()
        .perSample(tensor([[0]]), tensor([[1e4]]))
        .item(),
    ).toBeCloseTo(1e4 - Math.LN2, 6);
  });
  it("have finite gradients at the corners", () => {
    const zero = tensor([[0, 0]], { dtype: "float32" });
    for (const name of lossNames) {
      const loss = resolveLoss(name);
      const target = name.startsWith("sparse") ? tensor([0]) : zero;
      const slope = grad((x: Tensor) => loss.perSample(target, x).sum())(zero);
      expect(
        one(slope).filter((g) => !Number.isFinite(g)),
        name,
      ).toEqual([]);
    }
  });
  it("take a missing last axis of size 1 on either side, and never broadcast", () => {
    const mse = losses.meanSquaredError();
    expect(one(mse.perSample(tensor([1, 2, 3]), tensor([[1], [1], [1]])))).toEqual([0, 1, 4]);
    expect(one(mse.perSample(tensor([[1], [2]]), tensor([1, 1])))).toEqual([0, 1]);
    expect(() => mse.perSample(tensor([[1, 2, 3]]), tensor([[1]]))).toThrow(
      /targets and predictions differ in shape: received float32\[1,3\] and float32\[1,1\]/,
    );
    expect(() => binary().perSample(tensor([[1, 0]]), tensor([[1], [0]]))).toThrow(/differ in shape/);
    expect(() =>
      categorical().perSample(
        tensor([1, 0]),
        tensor([
          [1, 0],
          [0, 1],
        ]),
      ),
    ).toThrow(/integer labels go with sparse_categorical_crossentropy/);
    expect(() =>
      sparse().perSample(
        tensor([
          [1, 0],
          [0, 1],
        ]),
        tensor([
          [1, 0],
          [0, 1],
        ]),
      ),
    ).toThrow(/one-hot targets go with categorical_crossentropy/);
  });
});

describe("resolveLoss", () => {
  it("knows Keras's names in both spellings, and goes through JSON", () => {
    expect(resolveLoss("meanSquaredError").name).toBe("mean_squared_error");
    expect(resolveLoss("MAE").name).toBe("mean_absolute_error");
    for (const name of lossNames) {
      const spec = JSON.parse(JSON.stringify(lossSpec(resolveLoss(name)))) as ReturnType<typeof lossSpec>;
      expect(lossSpec(resolveLoss(spec))).toEqual(lossSpec(resolveLoss(name)));
    }
    const own = { name: "own", perSample: (_: Tensor, yPred: Tensor) => yPred.mean({ axis: 1 }) };
    expect(resolveLoss(own)).toBe(own);
    expect(() => lossSpec(own)).toThrow(/a loss of your own/);
  });
  it("refuses others with the nearest", () => {
    expect(() => resolveLoss("sparse_categorical_crossentrop")).toThrow(
      /did you mean "sparse_categorical_crossentropy"\?/,
    );
    expect(() => resolveLoss("zzz")).toThrow(/known are: sparse_categorical_crossentropy/);
    expect(() => resolveLoss({ name: "huber", detla: 1 })).toThrow(/`huber` has no option `detla`/);
    expect(() => resolveLoss(3 as unknown as string)).toThrow(/must be a name or an object with perSample/);
  });
});
