// The generated test of every layer of the closed table, and of checkModule itself: it must find what is wrong.
import { describe, expect, it } from "vitest";
import type { SampleInput } from "../engine/program/index.ts";
import { defaultDevice, random, type Tensor } from "../engine/tensor/index.ts";
import * as nn from "../learn/nn/index.ts";
import { checkModule, type ModuleCheckOptions } from "./check-module.ts";

type Make = () => nn.Module<never, unknown>;
type Row = readonly [make: Make, inputs: readonly SampleInput[], options?: ModuleCheckOptions];

const float = (...shape: number[]): SampleInput => ({ dtype: "float32", shape });
const distinct = (...shape: number[]): SampleInput => ({ dtype: "float32", shape, distinct: true });
const ids = (...shape: number[]): SampleInput => ({ dtype: "int32", shape, low: 0, high: 4 });

// At least one row for each layer that a file can name.
const rows: { readonly [kind: string]: readonly Row[] } = {
  Dense: [
    [() => nn.dense(3, { activation: "tanh" }), [float(2, 4)], { shape: [2, 3] }],
    [() => nn.dense(2, { useBias: false, kernelRegularizer: "l2" }), [float(2, 3, 4)], { shape: [2, 3, 2] }],
    [() => nn.dense(3, { activation: "softmax", kernelInitializer: "he_normal" }), [float(3, 2)], { shape: [3, 3] }],
  ],
  Embedding: [[() => nn.embedding(5, 3), [ids(2, 4)], { shape: [2, 4, 3] }]],
  Conv1D: [
    [() => nn.conv1d(3, 2, { activation: "gelu" }), [float(2, 5, 2)], { shape: [2, 4, 3] }],
    [() => nn.conv1d(4, 3, { padding: "causal", dilationRate: 2, groups: 2 }), [float(2, 5, 2)], { shape: [2, 5, 4] }],
  ],
  Conv2D: [
    [() => nn.conv2d(2, [2, 3], { strides: 2, padding: "same" }), [float(2, 4, 5, 2)], { shape: [2, 2, 3, 2] }],
    [() => nn.conv2d(2, 2, { dilationRate: 2 }), [float(1, 4, 4, 1)], { shape: [1, 2, 2, 2] }],
  ],
  DepthwiseConv2D: [
    [() => nn.depthwiseConv2d(2, { depthMultiplier: 2 }), [float(2, 3, 3, 2)], { shape: [2, 2, 2, 4] }],
  ],
  SeparableConv2D: [
    [
      () => nn.separableConv2d(3, 2, { depthMultiplier: 2, pointwiseRegularizer: nn.l1(0.1) }),
      [float(2, 3, 3, 2)],
      { shape: [2, 2, 2, 3] },
    ],
  ],
  Conv1DTranspose: [
    [() => nn.conv1dTranspose(2, 3, { strides: 2, padding: "same" }), [float(2, 3, 2)], { shape: [2, 6, 2] }],
  ],
  Conv2DTranspose: [[() => nn.conv2dTranspose(2, 3, { strides: 2 }), [float(2, 2, 3, 2)], { shape: [2, 5, 7, 2] }]],
  MaxPooling1D: [
    [() => nn.maxPooling1d({ poolSize: 3, strides: 2, padding: "same" }), [distinct(2, 5, 2)], { shape: [2, 3, 2] }],
  ],
  MaxPooling2D: [[() => nn.maxPooling2d(), [distinct(2, 4, 5, 2)], { shape: [2, 2, 2, 2] }]],
  AveragePooling1D: [[() => nn.averagePooling1d(), [float(2, 5, 2)], { shape: [2, 2, 2] }]],
  AveragePooling2D: [
    [
      () => nn.averagePooling2d({ poolSize: [2, 3], strides: 1, padding: "same" }),
      [float(2, 3, 3, 1)],
      { shape: [2, 3, 3, 1] },
    ],
  ],
  GlobalMaxPooling1D: [[() => nn.globalMaxPooling1d(), [distinct(2, 4, 3)], { shape: [2, 3] }]],
  GlobalMaxPooling2D: [
    [() => nn.globalMaxPooling2d({ keepDims: true }), [distinct(2, 2, 3, 2)], { shape: [2, 1, 1, 2] }],
  ],
  GlobalAveragePooling1D: [[() => nn.globalAveragePooling1d(), [float(2, 4, 3)], { shape: [2, 3] }]],
  GlobalAveragePooling2D: [[() => nn.globalAveragePooling2d(), [float(2, 2, 3, 2)], { shape: [2, 2] }]],
  BatchNormalization: [
    [() => nn.batchNormalization(), [float(5, 3)], { shape: [5, 3] }],
    [() => nn.batchNormalization({ axis: 1, momentum: 0.5, scale: false }), [float(3, 2, 3)], { shape: [3, 2, 3] }],
    [() => nn.batchNormalization({ trainable: false }), [float(3, 2)], { shape: [3, 2] }],
  ],
  LayerNormalization: [
    [() => nn.layerNormalization(), [float(2, 3, 4)], { shape: [2, 3, 4] }],
    [() => nn.layerNormalization({ axis: [1, 2], center: false }), [float(2, 3, 4)], { shape: [2, 3, 4] }],
  ],
  RMSNormalization: [[() => nn.rmsNormalization(), [float(2, 3, 4)], { shape: [2, 3, 4] }]],
  GroupNormalization: [[() => nn.groupNormalization({ groups: 2 }), [float(2, 3, 4)], { shape: [2, 3, 4] }]],
  UnitNormalization: [[() => nn.unitNormalization(), [float(2, 3)], { shape: [2, 3] }]],
  Activation: [
    [() => nn.activation("sigmoid"), [float(2, 3)], { shape: [2, 3] }],
    [() => nn.activation({ name: "leakyRelu", negativeSlope: 0.4 }), [float(2, 3)], { shape: [2, 3] }],
  ],
  ReLU: [[() => nn.reLU({ negativeSlope: 0.1, maxValue: 1 }), [float(2, 5)], { shape: [2, 5] }]],
  LeakyReLU: [[() => nn.leakyReLU(), [float(2, 5)], { shape: [2, 5] }]],
  ELU: [[() => nn.elu({ alpha: 0.7 }), [float(2, 5)], { shape: [2, 5] }]],
  PReLU: [
    [() => nn.prelu({ alphaInitializer: { name: "constant", value: 0.2 } }), [float(3, 2, 2)], { shape: [3, 2, 2] }],
    [() => nn.prelu({ sharedAxes: [1] }), [float(3, 4, 2)], { shape: [3, 4, 2] }],
  ],
  Softmax: [[() => nn.softmax({ axis: 1 }), [float(2, 3, 2)], { shape: [2, 3, 2] }]],
  Dropout: [
    [() => nn.dropout(0.4), [float(3, 5)], { shape: [3, 5] }],
    [() => nn.dropout(0.4, { noiseShape: [null, 1] }), [float(3, 5)], { shape: [3, 5] }],
  ],
  SpatialDropout1D: [[() => nn.spatialDropout1d(0.4), [float(2, 3, 4)], { shape: [2, 3, 4] }]],
  SpatialDropout2D: [[() => nn.spatialDropout2d(0.4), [float(2, 2, 2, 4)], { shape: [2, 2, 2, 4] }]],
  GaussianNoise: [[() => nn.gaussianNoise(0.3), [float(2, 3)], { shape: [2, 3] }]],
  Flatten: [[() => nn.flatten(), [float(2, 3, 2)], { shape: [2, 6] }]],
  Reshape: [[() => nn.reshape([-1, 3]), [float(2, 3, 2)], { shape: [2, 2, 3] }]],
  Permute: [[() => nn.permute([2, 1]), [float(2, 3, 4)], { shape: [2, 4, 3] }]],
  RepeatVector: [[() => nn.repeatVector(3), [float(2, 4)], { shape: [2, 3, 4] }]],
  ZeroPadding1D: [[() => nn.zeroPadding1d({ padding: [1, 2] }), [float(2, 3, 2)], { shape: [2, 6, 2] }]],
  ZeroPadding2D: [
    [
      () =>
        nn.zeroPadding2d({
          padding: [
            [1, 0],
            [2, 3],
          ],
        }),
      [float(2, 2, 2, 1)],
      { shape: [2, 3, 7, 1] },
    ],
  ],
  UpSampling1D: [[() => nn.upSampling1d({ size: 3 }), [float(2, 2, 2)], { shape: [2, 6, 2] }]],
  UpSampling2D: [[() => nn.upSampling2d(), [float(2, 2, 3, 1)], { shape: [2, 4, 6, 1] }]],
  Add: [[() => nn.add(), [float(2, 3), float(2, 3), float(2, 3)], { shape: [2, 3] }]],
  Subtract: [[() => nn.subtract(), [float(2, 3), float(2, 3)], { shape: [2, 3] }]],
  Multiply: [[() => nn.multiply(), [float(2, 3), float(2, 3)], { shape: [2, 3] }]],
  Average: [[() => nn.average(), [float(2, 3), float(2, 3)], { shape: [2, 3] }]],
  Maximum: [[() => nn.maximum(), [float(2, 3), float(2, 3)], { shape: [2, 3] }]],
  Minimum: [[() => nn.minimum(), [float(2, 3), float(2, 3)], { shape: [2, 3] }]],
  Concatenate: [[() => nn.concatenate({ axis: 1 }), [float(2, 3, 2), float(2, 1, 2)], { shape: [2, 4, 2] }]],
  SimpleRNN: [[() => nn.simpleRNN(3, { returnSequences: true }), [float(2, 3, 2)], { shape: [2, 3, 3] }]],
  LSTM: [
    [() => nn.lstm(2), [float(2, 3, 2)], { shape: [2, 2] }],
    [
      () => nn.lstm(2, { returnSequences: true, goBackwards: true, dropout: 0.3, recurrentDropout: 0.3 }),
      [float(2, 3, 2)],
      { shape: [2, 3, 2] },
    ],
    [
      () => nn.lstm(2, { returnState: true }),
      [float(2, 3, 2), float(2, 2), float(2, 2)],
      {
        shape: [
          [2, 2],
          [2, 2],
          [2, 2],
        ],
      },
    ],
  ],
  GRU: [
    [() => nn.gru(2), [float(2, 3, 2)], { shape: [2, 2] }],
    [
      () => nn.gru(2, { resetAfter: false, returnSequences: true, useBias: false }),
      [float(2, 3, 2)],
      { shape: [2, 3, 2] },
    ],
  ],
  MultiHeadAttention: [
    [
      () => nn.multiHeadAttention(2, 3, { useCausalMask: true }),
      [float(2, 3, 4)],
      { shape: [2, 3, 4], zeroGradient: ["key.bias"] },
    ],
    [
      () => nn.multiHeadAttention(2, 2, { dropout: 0.3, outputDim: 3 }),
      [float(2, 3, 4), float(2, 2, 3)],
      { shape: [2, 3, 3], zeroGradient: ["key.bias"] },
    ],
    [
      () => nn.multiHeadAttention(1, 2, { valueDim: 3, useBias: false }),
      [float(2, 3, 2), float(2, 4, 2), float(2, 4, 2), { dtype: "bool", shape: [2, 3, 4] }],
      { shape: [2, 3, 2] },
    ],
  ],
  Bidirectional: [
    [() => nn.bidirectional(nn.lstm(2, { returnSequences: true })), [float(2, 3, 2)], { shape: [2, 3, 4] }],
    [() => nn.bidirectional(nn.gru(2), { mergeMode: "mul" }), [float(2, 3, 2)], { shape: [2, 2] }],
  ],
  TimeDistributed: [[() => nn.timeDistributed(nn.dense(2)), [float(2, 3, 4)], { shape: [2, 3, 2] }]],
  Sequential: [
    [
      () => nn.stack([nn.dense(3, { activation: "tanh" }), nn.dropout(0.2), nn.dense(2)]),
      [float(2, 4)],
      { shape: [2, 2] },
    ],
  ],
  Functional: [
    [
      residual,
      [float(2, 3), float(2, 3)],
      {
        shape: [
          [2, 3],
          [2, 2],
        ],
      },
    ],
  ],
};

function residual(): nn.Graph {
  const [a, b] = [nn.input({ shape: [3] }), nn.input({ shape: [3], name: "side" })];
  const shared = nn.dense(3, { activation: "tanh", name: "shared" });
  const sum = nn.add().apply([a, shared.apply(a), shared.apply(b)]);
  return new nn.Graph({ inputs: [a, b], outputs: [sum, nn.dense(2, { activation: "softmax" }).apply(sum)] });
}

describe("checkModule passes", () => {
  it("for at least one sample of every layer", () => {
    expect(Object.keys(rows).sort()).toEqual(Object.keys(nn.layers).sort());
  });
  for (const [kind, samples] of Object.entries(rows)) {
    samples.forEach(([make, inputs, options], i) => {
      it(`${kind} ${i}`, () => {
        expect((make() as nn.AnyLayer).kind).toBe(kind);
        checkModule(make, inputs, { ...options, device: defaultDevice() });
      });
    });
  }
});

const constant: nn.Initializer = nn.resolveInitializer("glorot_uniform");

class Plain extends nn.Layer {
  readonly kind: string = "Dense";
  readonly config: nn.JsonObject = { units: 2 };
  protected forward(x: Tensor, _context: nn.Context): Tensor {
    return x.matmul(this.param("kernel", [x.shape[1]!, 2], constant)).add(this.param("bias", [2], constant));
  }
}

class Mixing extends nn.Module {
  protected forward(x: Tensor): Tensor {
    return x.sub(x.mean({ axis: 0 })).mul(this.param("w", [3], constant));
  }
}
class Unused extends nn.Module {
  protected forward(x: Tensor): Tensor {
    this.param("idle", [3], constant);
    return x.mul(this.param("w", [3], constant));
  }
}
class AlwaysRandom extends nn.Module {
  protected forward(x: Tensor, context: nn.Context): Tensor {
    return x.add(random.normal(context.key(), x.shape));
  }
}
class Counting extends nn.Module {
  protected forward(x: Tensor): Tensor {
    const calls = this.state("calls", [], nn.initializers.zeros());
    this.setState("calls", calls.add(1));
    return x;
  }
}
class Cut extends nn.Module {
  protected forward(x: Tensor): Tensor {
    const w = this.param("w", [3], constant);
    // A gradient that is not the derivative: the rounding has none.
    return x.mul(w).add(w.mul(8).cast("int32").cast("float32").mul(x).mul(x));
  }
}

describe("checkModule finds", () => {
  const on = (make: Make): void => checkModule(make, [float(2, 3)], { seed: 4 });
  it("a wrong shape", () => {
    expect(() => checkModule(() => nn.dense(3), [float(2, 3)], { shape: [2, 4] })).toThrow(
      /expected \[2,4\]: received float32\[2,3\]/,
    );
  });
  it("samples that see each other", () => expect(() => on(() => new Mixing())).toThrow(/sample 0 alone/));
  it("a weight without gradient", () => expect(() => on(() => new Unused())).toThrow(/no gradient reaches idle/));
  it("random numbers outside training", () => expect(() => on(() => new AlwaysRandom())).toThrow(/has no key/));
  it("a state that changes outside training", () =>
    expect(() => on(() => new Counting())).toThrow(/states outside training/));
  it("a layer whose file makes another one", () => expect(() => on(() => new Plain())).toThrow(/its JSON changes/));
  it("weights that a seed does not fix", () => {
    let n = 0;
    const make = (): nn.Module => nn.dense(4, { kernelInitializer: { name: "constant", value: n++ } });
    expect(() => on(make)).toThrow(/the same seed again/);
  });
  it("nothing wrong with a step function, whose derivative is 0", () => on(() => new Cut()));
});
