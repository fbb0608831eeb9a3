// Layers: what they refuse and how they say it, running statistics, freezing, dropout, states handed on, regularizers.
import { describe, expect, it } from "vitest";
import { IndexError, ShapeError } from "../../engine/core/index.ts";
import { jit, ones, random, setDefaultDevice, tensor, type Tensor } from "../../engine/tensor/index.ts";
import { activationNames, resolveActivation } from "./activations.ts";
import { Context, inference } from "./context.ts";
import * as nn from "./index.ts";
import { specOf, type Spec } from "./named.ts";

setDefaultDevice("reference");

const flat = (x: Tensor): number[] => [...x.host().toFlat()];
const float = (...shape: number[]): { dtype: "float32"; shape: number[] } => ({ dtype: "float32", shape });
const training = (seed: number = 0): Context => new Context({ training: true, key: random.key(seed) });

describe("layers refuse", () => {
  const cases: readonly (readonly [string, () => unknown, RegExp])[] = [
    [
      "an input without batch",
      () => nn.dense(3).call(tensor([1, 2])),
      /dense: needs input \[batch, …, features\]: received float32\[2\]/,
    ],
    [
      "pictures without channels",
      () => nn.conv2d(8, 3).call(ones([2, 28, 28])),
      /conv2d: needs input \[batch, height, width, channels\]: received float32\[2,28,28\]\nin Conv2D\nhint: .*expandDims\(-1\)/,
    ],
    [
      "a flat input to a recurrent layer",
      () => nn.lstm(3).call(ones([2, 4])),
      /LSTM: needs input \[batch, steps, features\]: received float32\[2,4\]/,
    ],
    [
      "another input size",
      () => {
        const layer = nn.dense(3).init(0, float(1, 4));
        layer.call(ones([1, 5]));
      },
      /kernel: was made for other inputs: it is \[4,3\], this input needs \[5,3\]/,
    ],
    ["zero units", () => nn.dense(0), /dense: `units` must be a whole number ≥ 1: received 0/],
    ["half a filter", () => nn.conv2d(1.5, 3), /`filters` must be a whole number/],
    [
      "three strides",
      () => nn.conv2d(1, 3, { strides: [1, 2, 3] }),
      /`strides` must be one number or two: received \[1,2,3\]/,
    ],
    [
      "an unknown padding",
      () => nn.conv2d(1, 3, { padding: "sane" as "same" }),
      /`padding` must be one of valid, same: received sane\nhint: did you mean "same"\?/,
    ],
    [
      "groups that do not divide",
      () => nn.conv2d(4, 3, { groups: 3 }),
      /`filters` must be a multiple of `groups` = 3: received 4/,
    ],
    [
      "channels that groups do not divide",
      () => nn.conv2d(4, 3, { groups: 2 }).call(ones([1, 5, 5, 3])),
      /2 groups do not divide the channels/,
    ],
    ["a rate of 1", () => nn.dropout(1), /`rate` must be in \[0, 1\): received 1/],
    [
      "an unknown activation",
      () => nn.dense(3, { activation: "rleu" }),
      /there is no activation named "rleu"\nhint: did you mean "relu"\?/,
    ],
    [
      "a shape of another size",
      () => nn.reshape([2, 2]).call(ones([3, 5])),
      /a sample has 5 elements, \[2,2\] another number: received float32\[3,5\]/,
    ],
    ["a permutation that is none", () => nn.permute([1, 1]), /`dims` must hold 1 … 2 once each: received \[1,1\]/],
    ["one input to a merge", () => nn.add().call([ones([1, 2])]), /Add: needs an array of at least two inputs/],
    [
      "inputs that do not broadcast",
      () => nn.add().call([ones([1, 2]), ones([1, 3])]),
      /shapes do not broadcast: received \[1,2\] and \[1,3\]\nin Add/,
    ],
    [
      "parts of different height",
      () => nn.concatenate().call([ones([1, 2, 2]), ones([1, 3, 2])]),
      /inputs may differ along axis 2 only/,
    ],
    [
      "normalisation of the batch axis",
      () => nn.layerNormalization({ axis: 0 }).call(ones([2, 2])),
      /`axis` 0 is the batch/,
    ],
    [
      "states of another width",
      () =>
        nn
          .lstm(3)
          .init(0, float(1, 2, 2))
          .call([ones([1, 2, 2]), ones([1, 2]), ones([1, 2])]),
      /2 states are float32\[1,3\]/,
    ],
    [
      "a mask of another shape",
      () =>
        nn
          .multiHeadAttention(1, 2)
          .init(0, float(1, 3, 2))
          .call([ones([1, 3, 2]), ones([1, 3, 2]), ones([1, 3, 2]), ones([1, 2, 3])]),
      /the mask is \[1, 3, 3\], true where a query may look/,
    ],
    [
      "a bidirectional layer with states",
      () => nn.bidirectional(nn.lstm(2, { returnState: true }) as unknown as nn.LSTM),
      /without `returnState`/,
    ],
    ["a negative penalty", () => nn.l2(-1), /the factor must be ≥ 0/],
    ["a bad name", () => nn.dense(1, { name: "a.b" }), /letters, digits, _ and - make a layer's name/],
  ];
  it.each(cases)("%s", (_, run, message) => expect(run).toThrow(message));

  it("ids out of range, on every device", () => {
    for (const device of ["reference", "wasm"] as const) {
      setDefaultDevice(device);
      try {
        const layer = nn.embedding(4, 2).init(0, { dtype: "int32", shape: [1, 2] });
        expect(() => flat(layer.call(tensor([[0, 4]], { dtype: "int32" })))).toThrow(IndexError);
        expect(() => flat(layer.call(tensor([[0, -1]], { dtype: "int32" })))).toThrow(IndexError);
        expect(layer.call(tensor([[0, 3]])).shape).toEqual([1, 2, 2]);
      } finally {
        setDefaultDevice("reference");
      }
    }
  });
  it("with the place in the model", () => {
    class Net extends nn.Module {
      readonly layers: nn.Dense[] = [nn.dense(2), nn.dense(2)];
      protected forward(x: Tensor, context: Context): Tensor {
        return this.layers.reduce((h, layer) => layer.call(h, context), x);
      }
    }
    const net = new Net().init(0, float(1, 3));
    expect(() => net.pure(net.tensors(), ones([1, 4]), inference)).toThrow(ShapeError);
    expect(() => net.pure(net.tensors(), ones([1, 4]), inference)).toThrow(/in layers\.0/);
  });
});

describe("batch normalisation", () => {
  const x = tensor(
    [
      [1, 10],
      [3, 30],
    ],
    { device: "reference" },
  );
  it("moves its statistics by Keras's rule, with the biased variance", () => {
    const layer = nn.batchNormalization({ momentum: 0.9 }).init(0, x);
    const { states } = layer.pure(layer.tensors(), x, training());
    const expected = { movingMean: [0.2, 2], movingVariance: [0.9 + 0.1, 0.9 + 10] };
    flat(states["movingMean"]!).forEach((v, i) => expect(v).toBeCloseTo(expected.movingMean[i]!, 12));
    flat(states["movingVariance"]!).forEach((v, i) => expect(v).toBeCloseTo(expected.movingVariance[i]!, 12));
  });
  it("uses and keeps them when it or a module above it is frozen", () => {
    class Net extends nn.Module {
      readonly norm: nn.BatchNormalization = nn.batchNormalization();
      protected forward(input: Tensor, context: Context): Tensor {
        return this.norm.call(input, context);
      }
    }
    for (const freeze of [(net: Net) => (net.norm.trainable = false), (net: Net) => (net.trainable = false)]) {
      const net = new Net().init(0, x);
      freeze(net);
      const { output, states } = net.pure(net.tensors(), x, training());
      expect(flat(states["norm.movingMean"]!)).toEqual([0, 0]);
      flat(output).forEach((v, i) => expect(v).toBeCloseTo(flat(x)[i]! / Math.sqrt(1.001), 12));
    }
  });
});

describe("dropout", () => {
  const x = ones([200, 50]);
  it("drops its share, scales the rest, and is a function of the key", () => {
    const layer = nn.dropout(0.3);
    const y = flat(layer.call(x, training(1)));
    const zeros = y.filter((v) => v === 0).length / y.length;
    expect(Math.abs(zeros - 0.3)).toBeLessThan(0.02);
    expect(new Set(y.map((v) => v.toFixed(9)))).toEqual(new Set(["0.000000000", (1 / 0.7).toFixed(9)]));
    expect(flat(layer.call(x, training(1)))).toEqual(y);
    expect(flat(layer.call(x, training(2)))).not.toEqual(y);
    expect(layer.call(x)).toBe(x);
  });
  it("of two layers in one pass differs", () => {
    const context = training(1);
    expect(flat(nn.dropout(0.5).call(x, context))).not.toEqual(flat(nn.dropout(0.5).call(x, context)));
  });
  it("drops whole channels", () => {
    const y = nn.spatialDropout2d(0.5).call(ones([4, 3, 3, 8]), training(3));
    const channels = flat(y.mean({ axis: [1, 2] }));
    expect(channels.every((v) => v === 0 || v === 2)).toBe(true);
    expect(new Set(channels).size).toBe(2);
  });
});

describe("recurrent layers", () => {
  const x = random.normal(random.key(1), [2, 6, 3]);
  const layers = [
    nn.simpleRNN(4, { returnState: true }),
    nn.lstm(4, { returnState: true }),
    nn.gru(4, { returnState: true }),
  ];
  it.each(layers.map((layer) => [layer.kind, layer] as const))(
    "%s: two halves with the states handed on are the whole",
    (_, layer) => {
      const whole = layer.init(0, x);
      const [output, ...states] = whole.call(x) as [Tensor, ...Tensor[]];
      const [, ...middle] = whole.call(x.slice(0, 2, { axis: 1 }));
      const [again, ...last] = whole.call([x.slice(2, 6, { axis: 1 }), ...middle]) as [Tensor, ...Tensor[]];
      flat(again).forEach((v, i) => expect(v).toBeCloseTo(flat(output)[i]!, 12));
      last.forEach((state, s) => flat(state).forEach((v, i) => expect(v).toBeCloseTo(flat(states[s]!)[i]!, 12)));
    },
  );
  it("lstm begins with a forget bias of 1", () => {
    const layer = nn.lstm(2).init(0, x);
    expect(flat(layer.tensors()["bias"]!)).toEqual([0, 0, 1, 1, 0, 0, 0, 0]);
    expect(flat(nn.lstm(2, { unitForgetBias: false }).init(0, x).tensors()["bias"]!)).toEqual(Array(8).fill(0));
  });
  it("backwards is forwards on the reversed sequence", () => {
    const there = nn.gru(3, { returnSequences: true }).init(5, x);
    const back = nn.gru(3, { returnSequences: true, goBackwards: true }).init(5, x);
    const turned = x.take(tensor([5, 4, 3, 2, 1, 0], { dtype: "int32" }), 1);
    flat(back.call(turned)).forEach((v, i) => expect(v).toBeCloseTo(flat(there.call(x))[i]!, 12));
  });
});

describe("attention", () => {
  it("sees no later place when causal", () => {
    const layer = nn.multiHeadAttention(2, 3, { useCausalMask: true }).init(0, float(1, 4, 4));
    const x = random.normal(random.key(2), [1, 4, 4]);
    const cut = x.slice(0, 2, { axis: 1 });
    const [long, short] = [layer.call(x).slice(0, 2, { axis: 1 }), layer.call(cut)];
    flat(short).forEach((v, i) => expect(v).toBeCloseTo(flat(long)[i]!, 12));
  });
  it("is the same through the fused operation and the long way", () => {
    const plain = nn.multiHeadAttention(2, 3).init(0, float(1, 4, 4));
    const x = random.normal(random.key(2), [1, 4, 4]);
    const mask = tensor(
      [
        [
          [1, 1, 0, 0],
          [1, 1, 1, 0],
          [0, 1, 1, 1],
          [1, 0, 0, 1],
        ],
      ],
      { dtype: "bool" },
    );
    const dropping = nn.multiHeadAttention(2, 3, { dropout: 1e-9 });
    dropping.trace([float(1, 4, 4)]);
    dropping.load(plain.tensors());
    const [fused, long] = [plain.call([x, x, x, mask]), dropping.call([x, x, x, mask], training(1))];
    flat(long).forEach((v, i) => expect(v).toBeCloseTo(flat(fused)[i]!, 8));
  });
});

describe("activations", () => {
  it.each(activationNames)("%s: the same by its JSON, finite gradients far out", (name) => {
    const fn = resolveActivation(name);
    const again = resolveActivation(JSON.parse(JSON.stringify(specOf(fn))) as Spec);
    const x = tensor([[-60, -1, 0.3, 2, 60]]);
    expect(flat(again(x))).toEqual(flat(fn(x)));
    expect(flat(jit(fn)(x))).toEqual(flat(fn(x)));
  });
  it("take options by name and refuse others", () => {
    expect(flat(resolveActivation({ name: "relu", maxValue: 1 })(tensor([-1, 3])))).toEqual([0, 1]);
    expect(() => resolveActivation({ name: "relu", max: 1 })).toThrow(
      /`relu` has no option `max`\nhint: its options are negativeSlope, maxValue/,
    );
    expect(() => nn.activation("softmax").call(tensor([1, 2]))).toThrow(/softmax over the batch makes no sense/);
  });
});

describe("regularizers", () => {
  it("add up over a model", () => {
    const layer = nn
      .dense(2, { kernelInitializer: "ones", kernelRegularizer: nn.l2(0.5), biasRegularizer: "l1" })
      .init(0, float(1, 3));
    const values = { ...layer.tensors(), bias: tensor([1, -2]) };
    expect(nn.regularization(layer, values)!.item()).toBeCloseTo(0.5 * 6 + 0.01 * 3, 12);
    expect(nn.regularization(nn.dense(2).init(0, float(1, 3)), {})).toBeUndefined();
    expect(
      nn
        .l1L2({ l1: 1, l2: 2 })(tensor([1, -3]))
        .item(),
    ).toBe(4 + 20);
  });
});
