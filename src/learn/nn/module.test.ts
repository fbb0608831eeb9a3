// Modules: declaration by tracing, initialization by key, pure calls, states, freezing, error paths.
import { beforeAll, describe, expect, it } from "vitest";
import { grad, random, setDefaultDevice, tensor, ones, zeros, type Tensor } from "../../engine/tensor/index.ts";
import { Context, inference } from "./context.ts";
import { Module } from "./module.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

class Linear extends Module {
  readonly units: number;
  constructor(units: number) {
    super();
    this.units = units;
  }
  protected forward(x: Tensor, context: Context): Tensor {
    const kernel = this.param("kernel", [x.shape.at(-1)!, this.units], random.normal);
    const calls = this.state("calls", [], (_, shape) => zeros(shape));
    if (context.training) this.setState("calls", calls.add(1));
    return x.matmul(kernel);
  }
}

class Net extends Module {
  readonly layers = [new Linear(4), new Linear(2)];
  protected forward(x: Tensor, context: Context): Tensor {
    return this.layers.reduce((h, layer) => layer.call(h, context), x);
  }
}

describe("Module", () => {
  it("declares by tracing and initializes by key", () => {
    const a = new Net().init(7, ones([5, 3]));
    const b = new Net().init(7, ones([1, 3]));
    expect(a.parameters().map(({ path }) => path)).toEqual([
      "layers.0.kernel",
      "layers.0.calls",
      "layers.1.kernel",
      "layers.1.calls",
    ]);
    expect(a.tensors()["layers.1.kernel"]!.toNested()).toEqual(b.tensors()["layers.1.kernel"]!.toNested());
    expect(a.count()).toBe(3 * 4 + 4 * 2);
  });
  it("calls purely, with states, and differentiates", () => {
    const net = new Net().init(1, ones([2, 3]));
    const params = net.tensors();
    const { output, states } = net.pure(params, ones([2, 3]), new Context({ training: true }));
    expect(output.shape).toEqual([2, 2]);
    expect(states["layers.0.calls"]!.item()).toBe(1);
    expect(net.tensors()["layers.0.calls"]!.item()).toBe(0);
    const slope = grad((p: typeof params) => net.pure(p, ones([2, 3]), inference).output.sum())(params);
    expect(slope["layers.1.kernel"]!.shape).toEqual([4, 2]);
  });
  it("freezes a subtree", () => {
    const net = new Net().init(1, ones([2, 3]));
    net.layers[0]!.trainable = false;
    expect(
      net
        .parameters()
        .filter((one) => one.trainable)
        .map(({ path }) => path),
    ).toEqual(["layers.1.kernel"]);
  });
  it("says where an error happened", () => {
    const net = new Net().init(1, ones([2, 3]));
    expect(() => net.pure({}, tensor([[1, 2]]), inference)).toThrow(/in layers\.0/);
  });
});
