// Normalisation: over the batch, over the features of a sample, over groups of channels.
import { ArgumentError, formatType, normalizeAxes, ShapeError, type Shape } from "../../engine/core/index.ts";
import {
  layerNorm,
  ones as oneTensor,
  rmsNorm,
  rsqrt,
  zeros as zeroTensor,
  type Tensor,
} from "../../engine/tensor/index.ts";
import type { Context } from "./context.ts";
import { resolveInitializer, type InitializerLike } from "./initializers.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import { specOf, type JsonObject } from "./named.ts";
import { expectRank, flag, real, whole } from "./options.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import { resolveRegularizer, type RegularizerLike } from "./regularizers.ts";
import { regularizerSpec } from "./weighted.ts";

/** Options of layers that normalise, then scale by gamma and shift by beta. */
export interface NormalizationOptions extends LayerOptions {
  /** Added to the variance; 1e-3 unless said. */
  readonly epsilon?: number;
  /** Whether there is a beta. */
  readonly center?: boolean;
  /** Whether there is a gamma. */
  readonly scale?: boolean;
  readonly betaInitializer?: InitializerLike;
  readonly gammaInitializer?: InitializerLike;
  readonly betaRegularizer?: RegularizerLike | null;
  readonly gammaRegularizer?: RegularizerLike | null;
}

abstract class AffineNormalization extends Layer {
  protected readonly epsilon: number;
  protected readonly center: boolean;
  protected readonly scale: boolean;
  readonly #initializers: { readonly gamma: Initializer; readonly beta: Initializer };
  readonly #regularizers: { readonly gamma: Regularizer | undefined; readonly beta: Regularizer | undefined };

  constructor(options: NormalizationOptions) {
    super(options);
    this.epsilon = real("normalization", "epsilon", options.epsilon ?? 1e-3, [0, 1]);
    this.center = flag("normalization", "center", options.center ?? true);
    this.scale = flag("normalization", "scale", options.scale ?? true);
    this.#initializers = {
      gamma: resolveInitializer(options.gammaInitializer ?? "ones"),
      beta: resolveInitializer(options.betaInitializer ?? "zeros"),
    };
    this.#regularizers = {
      gamma: resolveRegularizer(options.gammaRegularizer),
      beta: resolveRegularizer(options.betaRegularizer),
    };
  }

  protected affineConfig(): JsonObject {
    return {
      epsilon: this.epsilon,
      center: this.center,
      scale: this.scale,
      betaInitializer: specOf(this.#initializers.beta),
      gammaInitializer: specOf(this.#initializers.gamma),
      betaRegularizer: regularizerSpec(this.#regularizers.beta),
      gammaRegularizer: regularizerSpec(this.#regularizers.gamma),
    };
  }

  protected gamma(shape: Shape): Tensor | undefined {
    if (!this.scale) return undefined;
    return this.param("gamma", shape, this.#initializers.gamma, { regularizer: this.#regularizers.gamma });
  }

  protected beta(shape: Shape): Tensor | undefined {
    if (!this.center) return undefined;
    return this.param("beta", shape, this.#initializers.beta, { regularizer: this.#regularizers.beta });
  }
}

// `(x − mean)/√(variance + ε) · gamma + beta`; statistics, gamma and beta broadcast against x.
function normalize(
  x: Tensor,
  { mean, variance, epsilon }: { mean: Tensor; variance: Tensor; epsilon: number },
  affine: { gamma: Tensor | undefined; beta: Tensor | undefined },
): Tensor {
  const inverse = rsqrt(variance.add(epsilon));
  const unit = x.sub(mean).mul(affine.gamma === undefined ? inverse : inverse.mul(affine.gamma));
  return affine.beta === undefined ? unit : unit.add(affine.beta);
}

export interface BatchNormalizationOptions extends NormalizationOptions {
  /** The axis of the features, which keep statistics of their own; the last unless said. */
  readonly axis?: number;
  /** Share of the old running statistics that is kept at each step; 0.99 unless said. */
  readonly momentum?: number;
  readonly movingMeanInitializer?: InitializerLike;
  readonly movingVarianceInitializer?: InitializerLike;
}

/** See `batchNormalization`. */
export class BatchNormalization extends AffineNormalization {
  readonly kind: string = "BatchNormalization";
  readonly config: JsonObject;
  readonly #axis: number;
  readonly #momentum: number;
  readonly #moving: { readonly mean: Initializer; readonly variance: Initializer };

  constructor(options: BatchNormalizationOptions = {}) {
    super(options);
    this.#axis = options.axis ?? -1;
    this.#momentum = real("batchNormalization", "momentum", options.momentum ?? 0.99, [0, 1]);
    this.#moving = {
      mean: resolveInitializer(options.movingMeanInitializer ?? "zeros"),
      variance: resolveInitializer(options.movingVarianceInitializer ?? "ones"),
    };
    this.config = {
      axis: this.#axis,
      momentum: this.#momentum,
      ...this.affineConfig(),
      movingMeanInitializer: specOf(this.#moving.mean),
      movingVarianceInitializer: specOf(this.#moving.variance),
    };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    expectRank("batchNormalization", x, 2, "batch, …, features");
    const [axis] = normalizeAxes("batchNormalization", this.#axis, x.rank) as [number];
    if (axis === 0) throw new ArgumentError("batchNormalization", "`axis` 0 is the batch: received axis 0");
    const size = [x.shape[axis]!];
    const wide = x.shape.map((n, i) => (i === axis ? n : 1));
    const spread = (v: Tensor): Tensor => (axis === x.rank - 1 ? v : v.reshape(wide));
    const [gamma, beta] = [this.gamma(size), this.beta(size)];
    const affine = { gamma: gamma && spread(gamma), beta: beta && spread(beta) };
    const moving = {
      mean: this.state("movingMean", size, this.#moving.mean),
      variance: this.state("movingVariance", size, this.#moving.variance),
    };
    const { epsilon } = this;
    // A frozen layer keeps its statistics and uses them, in training too.
    if (!context.training || this.frozen)
      return normalize(x, { mean: spread(moving.mean), variance: spread(moving.variance), epsilon }, affine);
    const others = x.shape.flatMap((_, i) => (i === axis ? [] : [i]));
    const [mean, variance] = [x.mean({ axis: others }), x.variance({ axis: others })];
    const keep = this.#momentum;
    this.setState("movingMean", moving.mean.mul(keep).add(mean.mul(1 - keep)));
    this.setState("movingVariance", moving.variance.mul(keep).add(variance.mul(1 - keep)));
    return normalize(x, { mean: spread(mean), variance: spread(variance), epsilon }, affine);
  }
}

export interface LayerNormalizationOptions extends NormalizationOptions {
  /** The axes of one sample that are normalised together; the last unless said. */
  readonly axis?: number | readonly number[];
}

/** See `layerNormalization`. */
export class LayerNormalization extends AffineNormalization {
  readonly kind: string = "LayerNormalization";
  readonly config: JsonObject;
  readonly #axis: number | readonly number[];

  constructor(options: LayerNormalizationOptions = {}) {
    super(options);
    this.#axis = options.axis ?? -1;
    this.config = { axis: this.#axis, ...this.affineConfig() };
  }

  protected forward(x: Tensor): Tensor {
    expectRank("layerNormalization", x, 2, "batch, …, features");
    const axes = normalizeAxes("layerNormalization", this.#axis, x.rank);
    if (axes.includes(0)) throw new ArgumentError("layerNormalization", "`axis` 0 is the batch: received axis 0");
    const size = axes.map((axis) => x.shape[axis]!);
    const [gamma, beta] = [this.gamma(size), this.beta(size)];
    if (axes.length === 1 && axes[0] === x.rank - 1) {
      const parts = { scale: gamma ?? oneTensor(size), bias: beta ?? zeroTensor(size), epsilon: this.epsilon };
      return layerNorm(x, parts);
    }
    const wide = x.shape.map((n, i) => (axes.includes(i) ? n : 1));
    const over = { axis: axes, keepDims: true };
    const statistics = { mean: x.mean(over), variance: x.variance(over), epsilon: this.epsilon };
    return normalize(x, statistics, { gamma: gamma?.reshape(wide), beta: beta?.reshape(wide) });
  }
}

export interface RmsNormalizationOptions extends LayerOptions {
  /** Added to the mean square; 1e-6 unless said. */
  readonly epsilon?: number;
}

/** See `rmsNormalization`. */
export class RMSNormalization extends Layer {
  readonly kind: string = "RMSNormalization";
  readonly config: JsonObject;
  readonly #epsilon: number;

  constructor(options: RmsNormalizationOptions = {}) {
    super(options);
    this.#epsilon = real("rmsNormalization", "epsilon", options.epsilon ?? 1e-6, [0, 1]);
    this.config = { epsilon: this.#epsilon };
  }

  protected forward(x: Tensor): Tensor {
    expectRank("rmsNormalization", x, 2, "batch, …, features");
    const scale = this.param("scale", [x.shape.at(-1)!], resolveInitializer("ones"));
    return rmsNorm(x, { scale, epsilon: this.#epsilon });
  }
}

export interface GroupNormalizationOptions extends NormalizationOptions {
  /** 32 unless said; must divide the channels. */
  readonly groups?: number;
}

/** See `groupNormalization`. */
export class GroupNormalization extends AffineNormalization {
  readonly kind: string = "GroupNormalization";
  readonly config: JsonObject;
  readonly #groups: number;

  constructor(options: GroupNormalizationOptions = {}) {
    super(options);
    this.#groups = whole("groupNormalization", "groups", options.groups ?? 32);
    this.config = { groups: this.#groups, ...this.affineConfig() };
  }

  protected forward(x: Tensor): Tensor {
    expectRank("groupNormalization", x, 2, "batch, …, channels");
    const channels = x.shape.at(-1)!;
    if (channels % this.#groups !== 0) {
      throw new ShapeError(
        "groupNormalization",
        `${this.#groups} groups do not divide the channels: received ${formatType(x)}`,
      );
    }
    const grouped = x.reshape([...x.shape.slice(0, -1), this.#groups, channels / this.#groups]);
    const axis = grouped.shape.flatMap((_, i) => (i === 0 || i === grouped.rank - 2 ? [] : [i]));
    const over = { axis, keepDims: true };
    const statistics = { mean: grouped.mean(over), variance: grouped.variance(over), epsilon: this.epsilon };
    const wide = [this.#groups, channels / this.#groups];
    const affine = { gamma: this.gamma([channels])?.reshape(wide), beta: this.beta([channels])?.reshape(wide) };
    return normalize(grouped, statistics, affine).reshape(x.shape);
  }
}

/** See `unitNormalization`. */
export class UnitNormalization extends Layer {
  readonly kind: string = "UnitNormalization";
  readonly config: JsonObject = {};

  protected forward(x: Tensor): Tensor {
    expectRank("unitNormalization", x, 2, "batch, …, features");
    const squares = x.square().sum({ axis: -1, keepDims: true });
    return x.mul(rsqrt(squares.maximum(1e-12)));
  }
}

/**
 * Zero mean and unit variance of each feature over the batch, then `gamma · x + beta` (Ioffe & Szegedy 2015).
 * In training the batch's own (biased) statistics are used and `moving ← moving · momentum + batch · (1 − momentum)`;
 * otherwise, and when frozen, the moving ones.
 *
 * @example
 * batchNormalization().apply(input({ shape: [28, 28, 8] })).shape; // [null, 28, 28, 8]
 */
export function batchNormalization(options: BatchNormalizationOptions = {}): BatchNormalization {
  return new BatchNormalization(options);
}

/** Zero mean and unit variance over the features of each sample (or place), then `gamma · x + beta` (Ba et al. 2016). */
export function layerNormalization(options: LayerNormalizationOptions = {}): LayerNormalization {
  return new LayerNormalization(options);
}

/** `x / √(mean(x²) + ε) · scale` over the last axis (Zhang & Sennrich 2019). */
export function rmsNormalization(options: RmsNormalizationOptions = {}): RMSNormalization {
  return new RMSNormalization(options);
}

/** Zero mean and unit variance over each group of channels of a sample, all places together (Wu & He 2018). */
export function groupNormalization(options: GroupNormalizationOptions = {}): GroupNormalization {
  return new GroupNormalization(options);
}

/** Length 1 of the last axis: `x / max(‖x‖, 1e-6)`. */
export function unitNormalization(options: LayerOptions = {}): UnitNormalization {
  return new UnitNormalization(options);
}
