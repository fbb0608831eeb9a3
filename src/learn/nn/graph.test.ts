// Graphs: shapes at once, several inputs and outputs, shared layers, names, JSON, and the closed table of layers.
import { describe, expect, it } from "vitest";
import { concat, ones, random, setDefaultDevice, tensor, type Tensor } from "../../engine/tensor/index.ts";
import { inference } from "./context.ts";
import * as nn from "./index.ts";
import { logitsOf } from "./logits.ts";

setDefaultDevice("reference");

const flat = (x: Tensor): number[] => [...x.host().toFlat()];

describe("Graph", () => {
  it("knows shapes as soon as layers are applied", () => {
    const x = nn.input({ shape: [28, 28, 1] });
    const h = nn.maxPooling2d().apply(nn.conv2d(8, 3, { activation: "relu" }).apply(x));
    expect(h.shape).toEqual([null, 13, 13, 8]);
    expect(nn.flatten().apply(h).shape).toEqual([null, 1352]);
    expect(() => nn.dense(1).apply(nn.input({ shape: [] }))).toThrow(/needs input \[batch, …, features\]/);
    expect(() => nn.conv2d(8, 3).apply(nn.input({ shape: [28, 28] }))).toThrow(
      /needs input \[batch, height, width, channels\]/,
    );
  });
  it("computes what its layers compute", () => {
    const [a, b] = [nn.input({ shape: [3] }), nn.input({ shape: [2] })];
    const [first, last] = [nn.dense(4, { activation: "tanh" }), nn.dense(2, { activation: "softmax", name: "out" })];
    const joined = nn.concatenate().apply([first.apply(a), b]);
    const graph = new nn.Graph({ inputs: [a, b], outputs: [last.apply(joined), joined] }).init(3);
    expect(graph.parameters().map(({ path }) => path)).toEqual([
      "dense.kernel",
      "dense.bias",
      "out.kernel",
      "out.bias",
    ]);
    const [x, y] = [random.normal(random.key(1), [5, 3]), random.normal(random.key(2), [5, 2])];
    const [probabilities, middle] = graph.call([x, y]) as [Tensor, Tensor];
    const expected = concat([first.call(x), y], 1);
    expect(flat(middle)).toEqual(flat(expected));
    expect(flat(probabilities)).toEqual(flat(last.call(expected)));
    expect(logitsOf(probabilities)?.kind).toBe("softmax");
  });
  it("counts a shared layer once, and sums its gradient", () => {
    const [a, b] = [nn.input({ shape: [3] }), nn.input({ shape: [3] })];
    const shared = nn.dense(2, { name: "twin" });
    const graph = new nn.Graph({ inputs: [a, b], outputs: nn.add().apply([shared.apply(a), shared.apply(b)]) }).init(0);
    expect(graph.count()).toBe(8);
    const x = ones([1, 3]);
    expect(flat(graph.call([x, x.mul(2)]) as Tensor)).toEqual(flat(shared.call(x).add(shared.call(x.mul(2)))));
  });
  it("runs modules that are no layers, and states of several results", () => {
    class Scale extends nn.Module {
      protected forward(x: Tensor): Tensor {
        return x.mul(this.param("factor", [], nn.initializers.ones()));
      }
    }
    const x = nn.input({ shape: [4, 2] });
    const [output, h] = nn.lstm(3, { returnState: true }).apply(x) as readonly [nn.SymbolicTensor, nn.SymbolicTensor];
    const graph = new nn.Graph({ inputs: x, outputs: [nn.connect(new Scale(), output), h] }).init(0);
    expect(graph.parameters().map(({ path }) => path)).toContain("scale.factor");
    const [scaled, state] = graph.call(ones([1, 4, 2])) as [Tensor, Tensor];
    expect(flat(scaled)).toEqual(flat(state));
    expect(() => graph.config).toThrow(/"scale" is a module of your own, which no file can hold/);
  });
  it("nests", () => {
    const x = nn.input({ shape: [3] });
    const inner = new nn.Graph({ inputs: x, outputs: nn.dense(4).apply(x), name: "encoder" });
    const z = nn.input({ shape: [3] });
    const outer = new nn.Graph({ inputs: z, outputs: nn.dense(1).apply(inner.apply(z)) }).init(0);
    expect(outer.parameters().map(({ path }) => path)).toEqual([
      "encoder.dense.kernel",
      "encoder.dense.bias",
      "dense.kernel",
      "dense.bias",
    ]);
    const again = nn.layerFromJson(JSON.parse(JSON.stringify(nn.layerToJson(outer)))) as nn.Graph;
    again.load(outer.tensors());
    expect(flat(again.call(ones([2, 3])) as Tensor)).toEqual(flat(outer.call(ones([2, 3])) as Tensor));
  });
  it("refuses what is no graph", () => {
    const [x, y] = [nn.input({ shape: [3] }), nn.input({ shape: [3], name: "other" })];
    const out = nn.add().apply([x, y]);
    expect(() => new nn.Graph({ inputs: x, outputs: out })).toThrow(
      /the outputs need the input "other" \[,3\], which is not among `inputs`/,
    );
    expect(() => new nn.Graph({ inputs: [x, y], outputs: nn.flatten().apply(x) })).toThrow(
      /input 1 leads to no output/,
    );
    expect(() => new nn.Graph({ inputs: [], outputs: out })).toThrow(
      /`inputs` must be symbolic tensors: received none/,
    );
    expect(() => nn.dense(1).apply(ones([1, 3]) as unknown as nn.SymbolicTensor)).toThrow(
      /numbers go through call\(\)/,
    );
    const twins = nn.add().apply([nn.dense(1, { name: "a" }).apply(x), nn.dense(1, { name: "a" }).apply(x)]);
    expect(() => new nn.Graph({ inputs: x, outputs: twins })).toThrow(/two layers of a model have the name "a"/);
    const graph = new nn.Graph({ inputs: [x, y], outputs: out });
    expect(() => graph.call(ones([1, 3]))).toThrow(/has 2 inputs: received 1/);
    expect(() => graph.call([ones([1, 3]), ones([1, 4])])).toThrow(
      /input "other" is \[batch,3\]: received float32\[1,4\]/,
    );
    class Mixed extends nn.Module {
      protected forward(v: Tensor): Tensor {
        return v.sum({ axis: 0 });
      }
    }
    expect(() => nn.connect(new Mixed(), x)).toThrow(/the first axis is the batch and must stay as it is/);
  });
});

describe("names", () => {
  it("are Keras's, numbered from the second on, given ones kept", () => {
    expect(["MaxPooling2D", "LSTM", "Conv2DTranspose", "BatchNormalization", "ReLU"].map(nn.snakeCase)).toEqual([
      "max_pooling2d",
      "lstm",
      "conv2d_transpose",
      "batch_normalization",
      "re_lu",
    ]);
    const modules = [nn.dense(1), nn.dense(1, { name: "dense_1" }), nn.dense(1), nn.flatten()];
    expect(nn.uniqueNames(modules)).toEqual(["dense", "dense_1", "dense_2", "flatten"]);
  });
});

describe("the closed table", () => {
  const json = nn.layerToJson(nn.dense(3, { name: "a", inputShape: [2], trainable: false }));
  it("keeps name, input shape and freezing", () => {
    const layer = nn.layerFromJson(JSON.parse(JSON.stringify(json)));
    expect([layer.name, layer.inputShape, layer.trainable]).toEqual(["a", [2], false]);
    expect(nn.layerToJson(layer)).toEqual(json);
  });
  const cases: readonly (readonly [string, unknown, RegExp])[] = [
    ["a class outside it", { ...json, layer: "Dens" }, /there is no layer named "Dens"\nhint: did you mean "Dense"\?/],
    ["a name of the prototype", { ...json, layer: "constructor" }, /there is no layer named "constructor"/],
    ["__proto__", JSON.parse('{"layer":"__proto__","config":{}}'), /there is no layer named "__proto__"/],
    [
      "an unknown option",
      { ...json, config: { ...json.config, unitz: 3 } },
      /Dense: has no option `unitz`\nhint: its options are units, activation/,
    ],
    ["an unknown entry", { ...json, code: "x" }, /has no entry `code`/],
    [
      "an option of another kind",
      { ...json, config: { units: "3" } },
      /`units` must be a whole number ≥ 1: received 3/,
    ],
    [
      "a truth that is none",
      { ...json, config: { units: 3, useBias: "no" } },
      /`useBias` must be true or false: received no/,
    ],
    ["a name in the options", { ...json, config: { units: 3, name: "b" } }, /`name` stands beside `config`, not in it/],
    ["no options", { layer: "Dense" }, /`config` must be an object/],
    ["a list", [], /layer: must be an object/],
    ["a trainable that is none", { ...json, trainable: 1 }, /`trainable` must be true or false/],
    [
      "a layer inside that is none",
      { layer: "TimeDistributed", config: { layer: 3 } },
      /must be an object: received 3/,
    ],
    [
      "directions that are not recurrent",
      { layer: "Bidirectional", config: { layer: json, backwardLayer: json } },
      /`layer` must be a recurrent layer/,
    ],
    [
      "a function of a file",
      { ...json, config: { units: 1, activation: "custom:evil" } },
      /there is no activation named "custom:evil"/,
    ],
    [
      "a graph with loose ends",
      {
        layer: "Functional",
        config: {
          inputs: [{ shape: [1], dtype: "float32" }],
          singleInput: true,
          layers: [],
          calls: [],
          outputs: [4, 0],
        },
      },
      /nothing stands at \[4,0\]/,
    ],
    [
      "a graph of unknown layers",
      {
        layer: "Functional",
        config: { inputs: [], singleInput: false, layers: [], calls: [{ layer: "x", inputs: [] }], outputs: [] },
      },
      /calls\.0 names no layer/,
    ],
  ];
  it.each(cases)("refuses %s", (_, bad, message) => expect(() => nn.layerFromJson(bad)).toThrow(message));

  it("knows a Sequential inside another model as a stack", () => {
    const config = { layers: [nn.layerToJson(nn.dense(2))], sampleShape: [3] };
    const made = nn.layerFromJson({ layer: "Sequential", name: "block", config });
    expect(made).toBeInstanceOf(nn.Stack);
    expect(nn.layerToJson(made)).toEqual({ layer: "Sequential", name: "block", config });
    expect(() => nn.layerFromJson({ layer: "Sequential", config: { layers: 3 } })).toThrow(/has `layers`, a list/);
  });
  it("holds no functions of your own, and says so when saving", () => {
    const own = nn.dense(1, { activation: (x) => x.mul(2) });
    expect(() => nn.layerToJson(own)).toThrow(/`activation` is a function of your own, which no file can hold/);
    expect(() => nn.layerToJson(nn.dense(1, { kernelRegularizer: (w) => w.sum() }))).toThrow(/`kernelRegularizer`/);
    expect(flat(own.init(0, tensor([[1]])).call(tensor([[1]]), inference))).toHaveLength(1);
  });
});
