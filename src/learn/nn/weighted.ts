// What dense, convolutional and similar layers share: a kernel, a bias, an activation, and their options.
import type { Shape } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import { resolveActivation, type Activation, type ActivationLike } from "./activations.ts";
import { resolveInitializer, type InitializerLike } from "./initializers.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import { specOf, type Json, type JsonObject } from "./named.ts";
import { flag } from "./options.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import { resolveRegularizer, type RegularizerLike } from "./regularizers.ts";

/** Options of layers of the form `activation(kernel ∗ x + bias)`. */
export interface WeightedOptions extends LayerOptions {
  readonly activation?: ActivationLike | null | undefined;
  readonly useBias?: boolean | undefined;
  readonly kernelInitializer?: InitializerLike | undefined;
  readonly biasInitializer?: InitializerLike | undefined;
  readonly kernelRegularizer?: RegularizerLike | null | undefined;
  readonly biasRegularizer?: RegularizerLike | null | undefined;
}

/** The name of a regularizer for a configuration. */
export function regularizerSpec(regularizer: Regularizer | undefined): Json {
  return regularizer === undefined ? null : specOf(regularizer);
}

/** A layer with an activation, and a bias unless `useBias` is false. */
export abstract class WeightedLayer<Input = Tensor, Output = Tensor> extends Layer<Input, Output> {
  protected readonly activation: Activation;
  protected readonly useBias: boolean;
  protected readonly kernelInitializer: Initializer;
  protected readonly biasInitializer: Initializer;
  protected readonly kernelRegularizer: Regularizer | undefined;
  protected readonly biasRegularizer: Regularizer | undefined;

  constructor(options: WeightedOptions) {
    super(options);
    this.activation = resolveActivation(options.activation);
    this.useBias = flag("useBias", "useBias", options.useBias ?? true);
    this.kernelInitializer = resolveInitializer(options.kernelInitializer ?? "glorot_uniform");
    this.biasInitializer = resolveInitializer(options.biasInitializer ?? "zeros");
    this.kernelRegularizer = resolveRegularizer(options.kernelRegularizer);
    this.biasRegularizer = resolveRegularizer(options.biasRegularizer);
  }

  /** The shared options as JSON. */
  protected weightedConfig(): JsonObject {
    return {
      activation: specOf(this.activation),
      useBias: this.useBias,
      kernelInitializer: specOf(this.kernelInitializer),
      biasInitializer: specOf(this.biasInitializer),
      kernelRegularizer: regularizerSpec(this.kernelRegularizer),
      biasRegularizer: regularizerSpec(this.biasRegularizer),
    };
  }

  /** A kernel of this shape. */
  protected kernel(shape: Shape, name: string = "kernel"): Tensor {
    return this.param(name, shape, this.kernelInitializer, { regularizer: this.kernelRegularizer });
  }

  /** Adds the bias (one number a channel, the last axis) and applies the activation. */
  protected finish(x: Tensor): Tensor {
    if (!this.useBias) return this.activation(x);
    const bias = this.param("bias", [x.shape.at(-1)!], this.biasInitializer, { regularizer: this.biasRegularizer });
    return this.activation(x.add(bias));
  }
}
