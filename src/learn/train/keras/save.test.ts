// Saved models: they come back with weights, compilation and optimizer; what a file may not name is refused. And summary().
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { setDefaultDevice } from "../../../engine/tensor/index.ts";
import { add, batchNormalization, concatenate, dense, dropout, embedding, input, lstm } from "../../nn/index.ts";
import { accuracy } from "../../metrics/index.ts";
import { adamw, cosineDecay } from "../../optim/index.ts";
import { hashState } from "../state.ts";
import type { BaseModel } from "./base-model.ts";
import { loadModel } from "./load-model.ts";
import { Model } from "./model.ts";
import { Sequential } from "./sequential.ts";

let folder = "";
beforeAll(() => {
  setDefaultDevice("reference");
  folder = mkdtempSync(join(tmpdir(), "chainrule-save-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const X = Array.from({ length: 24 }, (_, i) => [Math.sin(i), Math.cos(2 * i), Math.sin(3 * i)]);
const Y = X.map(([a]) => (a! > 0 ? 1 : 0));
const IDS = X.map((_, i) => [i % 5, (i * 2) % 5, (i * 3) % 5]);

function graph(): Model {
  const x = input({ shape: [3], name: "x" });
  const shared = dense(4, { activation: "relu", name: "shared" });
  const h = shared.apply(x);
  const sum = add().apply([h, dense(4).apply(h)]);
  return new Model({
    inputs: x,
    outputs: dense(2, { activation: "softmax", name: "out" }).apply(concatenate().apply([sum, h])),
    name: "graph",
  });
}

const models: { readonly [name: string]: { make: () => Sequential | Model; x: number[][] } } = {
  "a Sequential": {
    x: X,
    make: () =>
      new Sequential([
        dense(5, { activation: "relu", inputShape: [3], kernelRegularizer: "l2" }),
        batchNormalization(),
        dropout(0.2),
        dense(2, { activation: "softmax", name: "out" }),
      ]),
  },
  "a Sequential without inputShape": {
    x: X,
    make: () => new Sequential([dense(5), dense(2, { activation: "softmax" })]),
  },
  "a recurrent one": {
    x: IDS,
    make: () => new Sequential([embedding(5, 3, { inputShape: [3] }), lstm(4), dense(2, { activation: "softmax" })]),
  },
  "one inside another": {
    x: X,
    make: () =>
      new Sequential([new Sequential([dense(4, { inputShape: [3] }), dense(3)]), dense(2, { activation: "softmax" })]),
  },
  "a graph": { x: X, make: graph },
};

describe.each(Object.entries(models))("%s", (name, { make, x }) => {
  const path = (): string => join(folder, name.replaceAll(" ", "-"));
  it("comes back and goes on as if it had stayed", async () => {
    const model = make();
    model.compile({
      optimizer: adamw({ learningRate: cosineDecay({ initial: 0.01, decaySteps: 50 }), noDecay: ["bias"] }),
      loss: "sparse_categorical_crossentropy",
      metrics: ["accuracy"],
      seed: 5,
    });
    await model.fit(x, Y, { epochs: 2, batchSize: 8, verbose: 0 });
    await model.save(path());
    const loaded: BaseModel = await loadModel(path());
    expect(loaded.config).toEqual(model.config);
    expect(hashState(loaded.trainState!)).toBe(hashState(model.trainState!));
    expect(await loaded.predict(x)).toEqual(await model.predict(x));
    expect(await loaded.evaluate(x, Y)).toEqual(await model.evaluate(x, Y));
    const more = await loaded.fit(x, Y, { epochs: 2, batchSize: 8, verbose: 0 });
    expect(more).toEqual(await model.fit(x, Y, { epochs: 2, batchSize: 8, verbose: 0 }));
    expect(hashState(loaded.trainState!)).toBe(hashState(model.trainState!));
  });
});

describe("save", () => {
  it("writes weights of a model that is not compiled, and replaces an older save", async () => {
    const path = join(folder, "plain");
    const model = new Sequential([dense(2, { inputShape: [3] })]);
    await model.save(path);
    expect(readdirSync(path).sort()).toEqual(["config.json", "model.safetensors"]);
    model.layers[0]!.trainable = false;
    await model.save(path);
    const loaded = (await loadModel(path)) as Sequential;
    expect(loaded.layers[0]!.trainable).toBe(false);
    expect(loaded.getWeights()).toEqual(model.getWeights());
    expect(readdirSync(folder).filter((one) => one.startsWith("."))).toEqual([]);
  });

  it("leaves folders alone that hold something else", async () => {
    const path = join(folder, "other");
    mkdirSync(path);
    writeFileSync(join(path, "thesis.txt"), "years of work");
    await expect(new Sequential([dense(2, { inputShape: [3] })]).save(path)).rejects.toThrow(
      /is no saved model, and is left alone/,
    );
    expect(existsSync(join(path, "thesis.txt"))).toBe(true);
  });

  it("refuses functions of your own, with the way out", async () => {
    const path = join(folder, "own");
    await expect(
      new Sequential([dense(2, { inputShape: [3], activation: (x) => x.mul(2) })]).save(path),
    ).rejects.toThrow(/a function of your own/);
    const model = new Sequential([dense(2, { inputShape: [3], activation: "softmax" })]);
    model.compile({ loss: "sparse_categorical_crossentropy", metrics: [accuracy()] });
    await expect(model.save(path)).rejects.toThrow(/metric object "accuracy"/);
    await model.save(path, { compile: false });
    expect(((await loadModel(path)) as Sequential).compileOptions).toBeUndefined();
  });
});

describe("loadModel", () => {
  async function changed(
    edit: (config: { model: { layer: string; config: { layers: { layer: string; config: object }[] } } }) => void,
  ): Promise<string> {
    const path = join(folder, "changed");
    rmSync(path, { recursive: true, force: true });
    await new Sequential([dense(2, { inputShape: [3] })]).save(path);
    const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as Parameters<typeof edit>[0];
    edit(config);
    writeFileSync(join(path, "config.json"), JSON.stringify(config));
    return path;
  }
  it("makes layers of the closed table only", async () => {
    for (const layer of ["Lambda", "constructor", "__proto__", "os.system"]) {
      await expect(loadModel(await changed(({ model }) => (model.config.layers[0]!.layer = layer)))).rejects.toThrow(
        /there is no layer named/,
      );
    }
    await expect(loadModel(await changed(({ model }) => (model.layer = "Dense")))).rejects.toThrow(
      /has no option|must be|is a layer, not a model/,
    );
    await expect(
      loadModel(await changed(({ model }) => Object.assign(model.config.layers[0]!.config, { units: 5 }))),
    ).rejects.toThrow(/expected float32\[5\]/);
    await expect(loadModel(await changed((config) => Object.assign(config, { format: "pickle" })))).rejects.toThrow(
      /no configuration of a model/,
    );
    await expect(loadModel(join(folder, "nowhere"))).rejects.toThrow(/is no saved model/);
  });
});

describe("summary", () => {
  it("shows shapes, parameters, memory and arithmetic", () => {
    const model = new Sequential([
      dense(128, { activation: "relu", inputShape: [784] }),
      dense(64, { activation: "relu" }),
      dense(10, { activation: "softmax" }),
    ]);
    model.layers[0]!.trainable = false;
    model.compile({ optimizer: "adam", loss: "mse" });
    let text = "";
    const summary = model.summary({ print: (line) => (text += line) });
    expect(summary.parameters).toEqual({ total: 109386, trainable: 8906, frozen: 100480 });
    // Adam remembers two numbers for each trained one, and two counts and a rate.
    expect(summary.memory).toEqual({ weights: 4 * 109386, gradients: 4 * 8906, optimizer: 4 * (2 * 8906 + 3) });
    expect(text).toContain("│ dense (Dense)   │ (None, 128)  │ 100,480 │ no        │");
    expect(text).toContain(" Total params: 109,386 (427.29 KB)");
    expect(model.parameters().every(({ parameter }) => !parameter.ready)).toBe(true);
  });

  it("counts the arithmetic of the compiled plan", () => {
    setDefaultDevice("wasm");
    const model = new Sequential([dense(128, { inputShape: [784] }), dense(10)]);
    const { flops } = model.summary({ print: () => {} });
    const products = 2 * (784 * 128 + 128 * 10);
    expect(flops).toBeGreaterThanOrEqual(products);
    expect(flops).toBeLessThan(products * 1.01);
    setDefaultDevice("reference");
  });

  it("shows every output of a graph", () => {
    let text = "";
    graph().summary({ print: (line) => (text += line) });
    expect(text).toMatch(/Model: "graph"/);
    expect(text).toMatch(/concatenate \(Concatenate\) │ \(None, 8\)/);
  });
});
