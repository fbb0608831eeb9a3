// Sequential: layers one after the other.
import { ArgumentError, type HostArray, type Shape, type TensorType } from "../../../engine/core/index.ts";
import type { Tensor } from "../../../engine/tensor/index.ts";
import {
  layerToJson,
  outputTypes,
  uniqueNames,
  type Context,
  type JsonObject,
  type Layer,
  type Module,
} from "../../nn/index.ts";
import { BaseModel } from "./base-model.ts";
import type { Port } from "./prepare.ts";

/** A layer of a Sequential: one Tensor in, one out. */
export type SequentialLayer = Layer;

/**
 * A model of layers one after the other, with Keras's methods.
 *
 * @example
 * const model = new Sequential([dense(16, { activation: "relu", inputShape: [4] }), dense(3, { activation: "softmax" })]);
 * model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"] });
 * await model.fit(x, y, { epochs: 5 });
 */
export class Sequential extends BaseModel<Tensor, Tensor> {
  readonly kind: string = "Sequential";
  readonly #layers: SequentialLayer[] = [];
  #names: readonly string[] = [];
  #sampleShape: Shape | undefined;
  #output: TensorType | undefined;

  constructor(
    layers: readonly SequentialLayer[] = [],
    options: { readonly name?: string; readonly inputShape?: Shape } = {},
  ) {
    super(options.name === undefined ? {} : { name: options.name });
    this.#sampleShape = options.inputShape;
    for (const layer of layers) this.#push(layer);
  }

  /** The layers, in order. */
  get layers(): readonly SequentialLayer[] {
    return this.#layers;
  }

  get config(): JsonObject {
    return {
      layers: this.#layers.map((layer) => layerToJson(layer)),
      ...(this.#sampleShape === undefined ? {} : { sampleShape: this.#sampleShape }),
    };
  }

  /** Appends a layer. A compiled model has to be compiled again. */
  add(layer: SequentialLayer): void {
    if (this.compileOptions !== undefined)
      throw new ArgumentError("add", "the model is compiled already", { hint: "add all layers before compile()" });
    this.#push(layer);
  }

  /** The layer of this name. */
  getLayer(name: string): SequentialLayer {
    const found = this.#layers[this.#names.indexOf(name)];
    if (found === undefined)
      throw new ArgumentError("getLayer", `there is no layer "${name}"`, {
        hint: `there are: ${this.#names.join(", ")}`,
      });
    return found;
  }

  #push(layer: SequentialLayer): void {
    if (this.#layers.includes(layer))
      throw new ArgumentError("Sequential", "a layer can be in a Sequential once", {
        hint: "share layers in a functional Model",
      });
    this.#layers.push(layer);
    this.#names = uniqueNames(this.#layers);
    const first = this.#layers[0]!;
    this.#sampleShape ??= first instanceof Sequential ? first.#sampleShape : first.inputShape;
    this.#output = undefined;
  }

  /** Layers by name: `dense`, `dense_1`, …: parameters are `dense.kernel`. */
  override children(): [string, Module<never, unknown>][] {
    return this.#layers.map((layer, i) => [this.#names[i]!, layer]);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    return this.#layers.reduce((h, layer) => layer.call(h, context), x);
  }

  protected outputNames(): readonly string[] {
    return ["output"];
  }

  protected ports(like?: readonly HostArray[]): { inputs: readonly Port[]; outputs: readonly Port[] } {
    if (this.#layers.length === 0) throw new ArgumentError("Sequential", "has no layers");
    this.#sampleShape ??= like?.[0]?.shape.slice(1);
    if (this.#sampleShape === undefined) {
      throw new ArgumentError("Sequential", "does not know the shape of its input yet", {
        hint: "give the first layer an inputShape, or call fit() first",
      });
    }
    const input = { dtype: "float32", sampleShape: this.#sampleShape, name: "input" } as const;
    this.#output ??= outputTypes(this, {
      inputs: [{ dtype: "float32", shape: [2, ...this.#sampleShape] }],
      single: true,
    }) as TensorType;
    return {
      inputs: [input],
      outputs: [{ name: "output", dtype: this.#output.dtype, sampleShape: this.#output.shape.slice(1) }],
    };
  }
}
