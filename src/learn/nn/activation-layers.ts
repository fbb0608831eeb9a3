// Activations as layers of their own.
import type { Tensor } from "../../engine/tensor/index.ts";
import {
  elu as eluOf,
  relu,
  resolveActivation,
  softmax as softmaxOf,
  type Activation as Fn,
  type ActivationLike,
} from "./activations.ts";
import { resolveInitializer, type InitializerLike } from "./initializers.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import { specOf, type JsonObject } from "./named.ts";
import { expectRank, real, whole } from "./options.ts";
import { ArgumentError } from "../../engine/core/index.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import { resolveRegularizer, type RegularizerLike } from "./regularizers.ts";
import { regularizerSpec } from "./weighted.ts";

const FINITE = [-Number.MAX_VALUE, Number.MAX_VALUE] as const;

/** See `activation`. */
export class Activation extends Layer {
  readonly kind: string = "Activation";
  readonly config: JsonObject;
  readonly #fn: Fn;

  constructor({ activation, ...options }: LayerOptions & { readonly activation: ActivationLike }) {
    super(options);
    this.#fn = resolveActivation(activation);
    this.config = { activation: specOf(this.#fn) };
  }
  protected forward(x: Tensor): Tensor {
    return this.#fn(x);
  }
}

export interface ReluOptions extends LayerOptions {
  readonly negativeSlope?: number;
  /** `null`: no upper bound. */
  readonly maxValue?: number | null;
}

/** See `reLU`. */
export class ReLU extends Layer {
  readonly kind: string = "ReLU";
  readonly config: JsonObject;
  readonly #options: { readonly negativeSlope: number; readonly maxValue?: number };

  constructor({ negativeSlope = 0, maxValue = null, ...options }: ReluOptions = {}) {
    super(options);
    real("reLU", "negativeSlope", negativeSlope, FINITE);
    const bound = maxValue === null ? {} : { maxValue: real("reLU", "maxValue", maxValue, FINITE) };
    this.#options = { negativeSlope, ...bound };
    this.config = { negativeSlope, maxValue };
  }
  protected forward(x: Tensor): Tensor {
    return relu(x, this.#options);
  }
}

/** See `leakyReLU`. */
export class LeakyReLU extends Layer {
  readonly kind: string = "LeakyReLU";
  readonly config: JsonObject;
  readonly #negativeSlope: number;

  constructor({ negativeSlope = 0.3, ...options }: LayerOptions & { readonly negativeSlope?: number } = {}) {
    super(options);
    this.#negativeSlope = real("leakyReLU", "negativeSlope", negativeSlope, FINITE);
    this.config = { negativeSlope };
  }
  protected forward(x: Tensor): Tensor {
    return relu(x, { negativeSlope: this.#negativeSlope });
  }
}

/** See `elu`. */
export class ELU extends Layer {
  readonly kind: string = "ELU";
  readonly config: JsonObject;
  readonly #alpha: number;

  constructor({ alpha = 1, ...options }: LayerOptions & { readonly alpha?: number } = {}) {
    super(options);
    this.#alpha = real("elu", "alpha", alpha, FINITE);
    this.config = { alpha };
  }
  protected forward(x: Tensor): Tensor {
    return eluOf(x, { alpha: this.#alpha });
  }
}

/** See `softmax`. */
export class Softmax extends Layer {
  readonly kind: string = "Softmax";
  readonly config: JsonObject;
  readonly #axis: number;

  constructor({ axis = -1, ...options }: LayerOptions & { readonly axis?: number } = {}) {
    super(options);
    if (!Number.isInteger(axis) || axis === 0)
      throw new ArgumentError(
        "softmax",
        `\`axis\` must be a whole number other than 0, the batch: received ${String(axis)}`,
      );
    this.#axis = axis;
    this.config = { axis };
  }
  protected forward(x: Tensor): Tensor {
    return softmaxOf(x, { axis: this.#axis });
  }
}

export interface PreluOptions extends LayerOptions {
  readonly alphaInitializer?: InitializerLike;
  readonly alphaRegularizer?: RegularizerLike | null;
  /** Axes (counted with the batch as 0) along which one slope is shared: `[1, 2]` for one slope a channel of pictures. */
  readonly sharedAxes?: readonly number[] | null;
}

/** See `prelu`. */
export class PReLU extends Layer {
  readonly kind: string = "PReLU";
  readonly config: JsonObject;
  readonly #initializer: Initializer;
  readonly #regularizer: Regularizer | undefined;
  readonly #shared: readonly number[];

  constructor({ sharedAxes = null, ...options }: PreluOptions = {}) {
    super(options);
    this.#initializer = resolveInitializer(options.alphaInitializer ?? "zeros");
    this.#regularizer = resolveRegularizer(options.alphaRegularizer);
    this.#shared = (sharedAxes ?? []).map((axis) => whole("prelu", "sharedAxes", axis));
    this.config = {
      alphaInitializer: specOf(this.#initializer),
      alphaRegularizer: regularizerSpec(this.#regularizer),
      sharedAxes: sharedAxes === null ? null : this.#shared,
    };
  }
  protected forward(x: Tensor): Tensor {
    expectRank("prelu", x, 2, "batch, …");
    const shape = x.shape.slice(1).map((n, i) => (this.#shared.includes(i + 1) ? 1 : n));
    const alpha = this.param("alpha", shape, this.#initializer, { regularizer: this.#regularizer });
    return x.relu().sub(x.neg().relu().mul(alpha));
  }
}

/**
 * An activation function as a layer.
 *
 * @example
 * activation("tanh").call(tensor([[0]])).toNested(); // [[0]]
 */
export function activation(fn: ActivationLike, options: LayerOptions = {}): Activation {
  return new Activation({ ...options, activation: fn });
}

/** `max(x, 0)`; negative numbers times `negativeSlope`, cut off at `maxValue`. */
export function reLU(options: ReluOptions = {}): ReLU {
  return new ReLU(options);
}

/** `x` for positive numbers, `negativeSlope · x` (0.3 unless said, as Keras's layer) for negative ones. */
export function leakyReLU(options: LayerOptions & { readonly negativeSlope?: number } = {}): LeakyReLU {
  return new LeakyReLU(options);
}

/** `x` for positive numbers, `α (eˣ − 1)` for the others. */
export function elu(options: LayerOptions & { readonly alpha?: number } = {}): ELU {
  return new ELU(options);
}

/** A leaky ReLU whose slopes are learned (He et al. 2015). */
export function prelu(options: PreluOptions = {}): PReLU {
  return new PReLU(options);
}

/** `eˣ / Σ eˣ` along an axis, the last unless said. */
export function softmax(options: LayerOptions & { readonly axis?: number } = {}): Softmax {
  return new Softmax(options);
}
