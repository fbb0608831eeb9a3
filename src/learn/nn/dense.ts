// Dense: every input to every unit.
import type { Tensor } from "../../engine/tensor/index.ts";
import type { JsonObject } from "./named.ts";
import { expectRank, whole } from "./options.ts";
import { WeightedLayer, type WeightedOptions } from "./weighted.ts";

export type DenseOptions = WeightedOptions;

/** See `dense`. */
export class Dense extends WeightedLayer {
  readonly kind: string = "Dense";
  readonly config: JsonObject;
  readonly #units: number;

  constructor({ units, ...options }: DenseOptions & { readonly units: number }) {
    super(options);
    this.#units = whole("dense", "units", units);
    this.config = { units, ...this.weightedConfig() };
  }

  protected forward(x: Tensor): Tensor {
    expectRank("dense", x, 2, "batch, …, features");
    return this.finish(x.matmul(this.kernel([x.shape.at(-1)!, this.#units])));
  }
}

/**
 * A fully connected layer: `activation(x W + b)`.
 * x: [batch, …, features]; kernel: [features, units]; result: [batch, …, units].
 *
 * @example
 * const layer = dense(2, { kernelInitializer: "ones" }).init(0, { dtype: "float32", shape: [1, 3] });
 * layer.call(tensor([[1, 2, 3]])).toNested(); // [[6, 6]]
 */
export function dense(units: number, options: DenseOptions = {}): Dense {
  return new Dense({ ...options, units });
}
