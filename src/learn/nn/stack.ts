// Stack: layers one after the other as one layer, for blocks inside other models.
import { ArgumentError, checkShape, type Shape } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import type { Context } from "./context.ts";
import { Layer, layerToJson, uniqueNames, type LayerOptions } from "./layer.ts";
import type { Module } from "./module.ts";
import type { JsonObject } from "./named.ts";

/** See `stack`. What a file calls `Sequential` becomes one where it stands inside another model. */
export class Stack extends Layer {
  readonly kind: string = "Sequential";
  readonly members: readonly (readonly [string, Layer])[];
  readonly #sampleShape: Shape | undefined;

  constructor({
    layers,
    sampleShape,
    ...options
  }: LayerOptions & { readonly layers: readonly Layer[]; readonly sampleShape?: Shape | undefined }) {
    super(options);
    if (sampleShape !== undefined) checkShape("stack", sampleShape);
    this.#sampleShape = sampleShape;
    if (!Array.isArray(layers) || layers.some((layer) => !(layer instanceof Layer)))
      throw new ArgumentError("stack", "takes an array of layers");
    if (new Set(layers).size !== layers.length)
      throw new ArgumentError("stack", "a layer can be in a stack once", { hint: "share layers in a Graph" });
    const names = uniqueNames(layers);
    this.members = layers.map((layer, i) => [names[i]!, layer]);
  }

  get config(): JsonObject {
    const layers = this.members.map(([, layer]) => layerToJson(layer));
    return { layers, ...(this.#sampleShape === undefined ? {} : { sampleShape: this.#sampleShape }) };
  }

  /** The layers by name: parameters are named `dense_1.kernel`. */
  override children(): [string, Module<never, unknown>][] {
    return this.members.map(([name, layer]) => [name, layer]);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    return this.members.reduce((h, [, layer]) => layer.call(h, context), x);
  }
}

/**
 * Layers one after the other, as one layer.
 *
 * @example
 * stack([dense(8, { activation: "relu" }), dense(2)]).apply(input({ shape: [4] })).shape; // [null, 2]
 */
export function stack(layers: readonly Layer[], options: LayerOptions = {}): Stack {
  return new Stack({ ...options, layers });
}
