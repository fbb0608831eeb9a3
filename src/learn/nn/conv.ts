// Convolutions over sequences and pictures: ordinary, depthwise, separable. Kernels in Keras's layout, channels last.
import { ArgumentError, formatType, ShapeError, type TensorType } from "../../engine/core/index.ts";
import { conv1d as convolve1d, conv2d as convolve2d, type Tensor } from "../../engine/tensor/index.ts";
import { resolveInitializer, type InitializerLike } from "./initializers.ts";
import { specOf, type Json, type JsonObject } from "./named.ts";
import { expectAxes, oneOf, pair, whole } from "./options.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import { resolveRegularizer, type RegularizerLike } from "./regularizers.ts";
import { regularizerSpec, WeightedLayer, type WeightedOptions } from "./weighted.ts";

type Pair = readonly [number, number];
/** One number for both axes, or one for each. */
export type PairOption = number | readonly number[];
/** "valid": windows inside the input only; "same": ⌈size / stride⌉ windows, the input padded with 0. */
export type Padding = "valid" | "same";
const paddings = ["valid", "same"] as const;
const sequencePaddings = ["valid", "same", "causal"] as const;

/** The first of Keras's scalar options, which may also be written as an array of one. */
export function single(where: string, name: string, value: PairOption, low: number = 1): number {
  if (typeof value === "number") return whole(where, name, value, low);
  if (!Array.isArray(value) || value.length !== 1)
    throw new ArgumentError(where, `\`${name}\` must be one number: received ${JSON.stringify(value)}`);
  return whole(where, name, (value as number[])[0]!, low);
}

export interface Conv1dOptions extends WeightedOptions {
  readonly strides?: PairOption;
  /** "causal" pads the start only: a place sees itself and what is before it. */
  readonly padding?: Padding | "causal";
  readonly dilationRate?: PairOption;
  readonly groups?: number;
}

export interface Conv2dOptions extends WeightedOptions {
  readonly strides?: PairOption;
  readonly padding?: Padding;
  readonly dilationRate?: PairOption;
  readonly groups?: number;
}

function channelsOf(where: string, x: TensorType, groups: number): number {
  const channels = x.shape.at(-1)!;
  if (channels % groups === 0) return channels / groups;
  throw new ShapeError(where, `${groups} groups do not divide the channels: received ${formatType(x)}`);
}

function divides(where: string, filters: number, groups: number): void {
  if (filters % groups !== 0)
    throw new ArgumentError(where, `\`filters\` must be a multiple of \`groups\` = ${groups}: received ${filters}`);
}

/** See `conv1d`. */
export class Conv1D extends WeightedLayer {
  readonly kind: string = "Conv1D";
  readonly config: JsonObject;
  readonly #filters: number;
  readonly #size: number;
  readonly #options: { strides: number; padding: "valid" | "same" | "causal"; dilation: number; groups: number };

  constructor(options: Conv1dOptions & { readonly filters: number; readonly kernelSize: PairOption }) {
    super(options);
    this.#filters = whole("conv1d", "filters", options.filters);
    this.#size = single("conv1d", "kernelSize", options.kernelSize);
    const strides = single("conv1d", "strides", options.strides ?? 1);
    const padding = oneOf("conv1d", "padding", options.padding ?? "valid", sequencePaddings);
    const dilation = single("conv1d", "dilationRate", options.dilationRate ?? 1);
    const groups = whole("conv1d", "groups", options.groups ?? 1);
    divides("conv1d", this.#filters, groups);
    this.#options = { strides, padding, dilation, groups };
    this.config = {
      filters: this.#filters,
      kernelSize: this.#size,
      strides,
      padding,
      dilationRate: dilation,
      groups,
      ...this.weightedConfig(),
    };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("conv1d", x, "batch, steps, channels");
    const kernel = this.kernel([this.#size, channelsOf("conv1d", x, this.#options.groups), this.#filters]);
    return this.finish(convolve1d(x, kernel, this.#options));
  }
}

/** See `conv2d`. */
export class Conv2D extends WeightedLayer {
  readonly kind: string = "Conv2D";
  readonly config: JsonObject;
  readonly #filters: number;
  readonly #size: Pair;
  readonly #options: { strides: Pair; padding: Padding; dilation: Pair; groups: number };

  constructor(options: Conv2dOptions & { readonly filters: number; readonly kernelSize: PairOption }) {
    super(options);
    this.#filters = whole("conv2d", "filters", options.filters);
    this.#size = pair("conv2d", "kernelSize", options.kernelSize);
    const strides = pair("conv2d", "strides", options.strides ?? 1);
    const padding = oneOf("conv2d", "padding", options.padding ?? "valid", paddings);
    const dilation = pair("conv2d", "dilationRate", options.dilationRate ?? 1);
    const groups = whole("conv2d", "groups", options.groups ?? 1);
    divides("conv2d", this.#filters, groups);
    this.#options = { strides, padding, dilation, groups };
    this.config = {
      filters: this.#filters,
      kernelSize: this.#size,
      strides,
      padding,
      dilationRate: dilation,
      groups,
      ...this.weightedConfig(),
    };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("conv2d", x, "batch, height, width, channels");
    const kernel = this.kernel([...this.#size, channelsOf("conv2d", x, this.#options.groups), this.#filters]);
    return this.finish(convolve2d(x, kernel, this.#options));
  }
}

export interface DepthwiseConv2dOptions extends WeightedOptions {
  readonly strides?: PairOption;
  readonly padding?: Padding;
  readonly dilationRate?: PairOption;
  /** Filters for each channel. */
  readonly depthMultiplier?: number;
}

// Each channel is a group of its own: [h, w, channels, multiplier] read as [h, w, 1, channels · multiplier].
function depthwise(x: Tensor, kernel: Tensor, options: { strides: Pair; padding: Padding; dilation: Pair }): Tensor {
  const [height, width, channels, multiplier] = kernel.shape as [number, number, number, number];
  return convolve2d(x, kernel.reshape([height, width, 1, channels * multiplier]), { ...options, groups: channels });
}

/** See `depthwiseConv2d`. */
export class DepthwiseConv2D extends WeightedLayer {
  readonly kind: string = "DepthwiseConv2D";
  readonly config: JsonObject;
  readonly #size: Pair;
  readonly #multiplier: number;
  readonly #options: { strides: Pair; padding: Padding; dilation: Pair };

  constructor(options: DepthwiseConv2dOptions & { readonly kernelSize: PairOption }) {
    super(options);
    this.#size = pair("depthwiseConv2d", "kernelSize", options.kernelSize);
    this.#multiplier = whole("depthwiseConv2d", "depthMultiplier", options.depthMultiplier ?? 1);
    const strides = pair("depthwiseConv2d", "strides", options.strides ?? 1);
    const padding = oneOf("depthwiseConv2d", "padding", options.padding ?? "valid", paddings);
    const dilation = pair("depthwiseConv2d", "dilationRate", options.dilationRate ?? 1);
    this.#options = { strides, padding, dilation };
    this.config = {
      kernelSize: this.#size,
      strides,
      padding,
      dilationRate: dilation,
      depthMultiplier: this.#multiplier,
      ...this.weightedConfig(),
    };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("depthwiseConv2d", x, "batch, height, width, channels");
    const kernel = this.kernel([...this.#size, x.shape[3]!, this.#multiplier]);
    return this.finish(depthwise(x, kernel, this.#options));
  }
}

export interface SeparableConv2dOptions extends Omit<WeightedOptions, "kernelInitializer" | "kernelRegularizer"> {
  readonly strides?: PairOption;
  readonly padding?: Padding;
  readonly dilationRate?: PairOption;
  readonly depthMultiplier?: number;
  readonly depthwiseInitializer?: InitializerLike;
  readonly pointwiseInitializer?: InitializerLike;
  readonly depthwiseRegularizer?: RegularizerLike | null;
  readonly pointwiseRegularizer?: RegularizerLike | null;
}

/** See `separableConv2d`. */
export class SeparableConv2D extends WeightedLayer {
  readonly kind: string = "SeparableConv2D";
  readonly config: JsonObject;
  readonly #filters: number;
  readonly #size: Pair;
  readonly #multiplier: number;
  readonly #initializers: readonly [Initializer, Initializer];
  readonly #regularizers: readonly [Regularizer | undefined, Regularizer | undefined];
  readonly #options: { strides: Pair; padding: Padding; dilation: Pair };

  constructor(options: SeparableConv2dOptions & { readonly filters: number; readonly kernelSize: PairOption }) {
    super(options);
    const where = "separableConv2d";
    this.#filters = whole(where, "filters", options.filters);
    this.#size = pair(where, "kernelSize", options.kernelSize);
    this.#multiplier = whole(where, "depthMultiplier", options.depthMultiplier ?? 1);
    const strides = pair(where, "strides", options.strides ?? 1);
    const padding = oneOf(where, "padding", options.padding ?? "valid", paddings);
    const dilation = pair(where, "dilationRate", options.dilationRate ?? 1);
    this.#options = { strides, padding, dilation };
    this.#initializers = [
      resolveInitializer(options.depthwiseInitializer ?? "glorot_uniform"),
      resolveInitializer(options.pointwiseInitializer ?? "glorot_uniform"),
    ];
    this.#regularizers = [
      resolveRegularizer(options.depthwiseRegularizer),
      resolveRegularizer(options.pointwiseRegularizer),
    ];
    const { activation, useBias, biasInitializer, biasRegularizer } = this.weightedConfig() as Record<string, Json>;
    this.config = {
      filters: this.#filters,
      kernelSize: this.#size,
      strides,
      padding,
      dilationRate: dilation,
      depthMultiplier: this.#multiplier,
      activation: activation!,
      useBias: useBias!,
      depthwiseInitializer: specOf(this.#initializers[0]),
      pointwiseInitializer: specOf(this.#initializers[1]),
      biasInitializer: biasInitializer!,
      depthwiseRegularizer: regularizerSpec(this.#regularizers[0]),
      pointwiseRegularizer: regularizerSpec(this.#regularizers[1]),
      biasRegularizer: biasRegularizer!,
    };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("separableConv2d", x, "batch, height, width, channels");
    const channels = x.shape[3]!;
    const [depthwiseRegularizer, pointwiseRegularizer] = this.#regularizers;
    const deep = this.param("depthwiseKernel", [...this.#size, channels, this.#multiplier], this.#initializers[0], {
      regularizer: depthwiseRegularizer,
    });
    const shape = [1, 1, channels * this.#multiplier, this.#filters];
    const point = this.param("pointwiseKernel", shape, this.#initializers[1], { regularizer: pointwiseRegularizer });
    return this.finish(convolve2d(depthwise(x, deep, this.#options), point));
  }
}

/**
 * A convolution over sequences: windows of `kernelSize` steps to `filters` numbers each.
 * x: [batch, steps, channels]; kernel: [kernelSize, channels / groups, filters]; result: [batch, steps', filters].
 *
 * @example
 * const layer = conv1d(8, 3, { padding: "causal", activation: "relu" });
 * layer.apply(input({ shape: [100, 2] })).shape; // [null, 100, 8]
 */
export function conv1d(filters: number, kernelSize: PairOption, options: Conv1dOptions = {}): Conv1D {
  return new Conv1D({ ...options, filters, kernelSize });
}

/**
 * A convolution over pictures (LeCun et al. 1998).
 * x: [batch, height, width, channels]; kernel: [h, w, channels / groups, filters]; result: [batch, height', width', filters].
 *
 * @example
 * conv2d(32, 3, { padding: "same" }).apply(input({ shape: [28, 28, 1] })).shape; // [null, 28, 28, 32]
 */
export function conv2d(filters: number, kernelSize: PairOption, options: Conv2dOptions = {}): Conv2D {
  return new Conv2D({ ...options, filters, kernelSize });
}

/**
 * A convolution of each channel by itself. kernel: [h, w, channels, depthMultiplier]; result: channels · depthMultiplier.
 *
 * @example
 * depthwiseConv2d(3, { depthMultiplier: 2 }).apply(input({ shape: [8, 8, 3] })).shape; // [null, 6, 6, 6]
 */
export function depthwiseConv2d(kernelSize: PairOption, options: DepthwiseConv2dOptions = {}): DepthwiseConv2D {
  return new DepthwiseConv2D({ ...options, kernelSize });
}

/**
 * A depthwise convolution, then a 1 × 1 convolution across channels (Chollet 2017): far fewer weights than `conv2d`.
 *
 * @example
 * separableConv2d(16, 3).apply(input({ shape: [8, 8, 3] })).shape; // [null, 6, 6, 16]
 */
export function separableConv2d(
  filters: number,
  kernelSize: PairOption,
  options: SeparableConv2dOptions = {},
): SeparableConv2D {
  return new SeparableConv2D({ ...options, filters, kernelSize });
}
