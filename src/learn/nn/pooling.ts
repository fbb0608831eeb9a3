// Pooling: the largest or the mean of windows, or of a whole sequence or picture.
import { averagePool2d, maxPool2d, type Tensor } from "../../engine/tensor/index.ts";
import { single, type Padding, type PairOption } from "./conv.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import type { JsonObject } from "./named.ts";
import { expectAxes, flag, oneOf, pair } from "./options.ts";

export interface PoolingOptions extends LayerOptions {
  /** 2 unless said. */
  readonly poolSize?: PairOption;
  /** As `poolSize` unless said. */
  readonly strides?: PairOption | null;
  readonly padding?: Padding;
}

type Pool = typeof maxPool2d;
const paddings = ["valid", "same"] as const;

abstract class Pooling2D extends Layer {
  readonly config: JsonObject;
  readonly #options: { size: readonly [number, number]; strides: readonly [number, number]; padding: Padding };

  constructor(options: PoolingOptions) {
    super(options);
    const size = pair("pooling", "poolSize", options.poolSize ?? 2);
    const strides = pair("pooling", "strides", options.strides ?? size);
    const padding = oneOf("pooling", "padding", options.padding ?? "valid", paddings);
    this.#options = { size, strides, padding };
    this.config = { poolSize: size, strides, padding };
  }

  protected abstract readonly pool: Pool;
  protected forward(x: Tensor): Tensor {
    expectAxes(this.kind, x, "batch, height, width, channels");
    return this.pool(x, this.#options);
  }
}

abstract class Pooling1D extends Layer {
  readonly config: JsonObject;
  readonly #options: { size: readonly [number, number]; strides: readonly [number, number]; padding: Padding };

  constructor(options: PoolingOptions) {
    super(options);
    const size = single("pooling", "poolSize", options.poolSize ?? 2);
    const strides = single("pooling", "strides", options.strides ?? size);
    const padding = oneOf("pooling", "padding", options.padding ?? "valid", paddings);
    this.#options = { size: [1, size], strides: [1, strides], padding };
    this.config = { poolSize: size, strides, padding };
  }

  protected abstract readonly pool: Pool;
  protected forward(x: Tensor): Tensor {
    expectAxes(this.kind, x, "batch, steps, channels");
    return this.pool(x.expandDims(1), this.#options).squeeze(1);
  }
}

/** See `maxPooling2d`. */
export class MaxPooling2D extends Pooling2D {
  readonly kind: string = "MaxPooling2D";
  protected readonly pool: Pool = maxPool2d;
}
/** See `averagePooling2d`. */
export class AveragePooling2D extends Pooling2D {
  readonly kind: string = "AveragePooling2D";
  protected readonly pool: Pool = averagePool2d;
}
/** See `maxPooling1d`. */
export class MaxPooling1D extends Pooling1D {
  readonly kind: string = "MaxPooling1D";
  protected readonly pool: Pool = maxPool2d;
}
/** See `averagePooling1d`. */
export class AveragePooling1D extends Pooling1D {
  readonly kind: string = "AveragePooling1D";
  protected readonly pool: Pool = averagePool2d;
}

/**
 * The largest of each window of a picture. x: [batch, height, width, channels].
 *
 * @example
 * maxPooling2d().apply(input({ shape: [28, 28, 8] })).shape; // [null, 14, 14, 8]
 */
export function maxPooling2d(options: PoolingOptions = {}): MaxPooling2D {
  return new MaxPooling2D(options);
}

/** The mean of each window of a picture; cells of padding do not count. x: [batch, height, width, channels]. */
export function averagePooling2d(options: PoolingOptions = {}): AveragePooling2D {
  return new AveragePooling2D(options);
}

/** The largest of each window of a sequence. x: [batch, steps, channels]. */
export function maxPooling1d(options: PoolingOptions = {}): MaxPooling1D {
  return new MaxPooling1D(options);
}

/** The mean of each window of a sequence; steps of padding do not count. x: [batch, steps, channels]. */
export function averagePooling1d(options: PoolingOptions = {}): AveragePooling1D {
  return new AveragePooling1D(options);
}

export interface GlobalPoolingOptions extends LayerOptions {
  /** Keep the pooled axes as size 1. */
  readonly keepDims?: boolean;
}

abstract class GlobalPooling extends Layer {
  readonly config: JsonObject;
  protected abstract readonly axes: readonly number[];
  protected abstract readonly mean: boolean;

  constructor(options: GlobalPoolingOptions) {
    super(options);
    this.config = { keepDims: flag("globalPooling", "keepDims", options.keepDims ?? false) };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes(this.kind, x, this.axes.length === 2 ? "batch, height, width, channels" : "batch, steps, channels");
    const options = { axis: this.axes, keepDims: this.config["keepDims"] === true };
    return this.mean ? x.mean(options) : x.max(options);
  }
}

/** See `globalAveragePooling2d`. */
export class GlobalAveragePooling2D extends GlobalPooling {
  readonly kind: string = "GlobalAveragePooling2D";
  protected readonly axes: readonly number[] = [1, 2];
  protected readonly mean: boolean = true;
}
/** See `globalMaxPooling2d`. */
export class GlobalMaxPooling2D extends GlobalPooling {
  readonly kind: string = "GlobalMaxPooling2D";
  protected readonly axes: readonly number[] = [1, 2];
  protected readonly mean: boolean = false;
}
/** See `globalAveragePooling1d`. */
export class GlobalAveragePooling1D extends GlobalPooling {
  readonly kind: string = "GlobalAveragePooling1D";
  protected readonly axes: readonly number[] = [1];
  protected readonly mean: boolean = true;
}
/** See `globalMaxPooling1d`. */
export class GlobalMaxPooling1D extends GlobalPooling {
  readonly kind: string = "GlobalMaxPooling1D";
  protected readonly axes: readonly number[] = [1];
  protected readonly mean: boolean = false;
}

/**
 * The mean of each channel over the whole picture (Lin et al. 2013). x: [batch, height, width, channels].
 *
 * @example
 * globalAveragePooling2d().apply(input({ shape: [7, 7, 64] })).shape; // [null, 64]
 */
export function globalAveragePooling2d(options: GlobalPoolingOptions = {}): GlobalAveragePooling2D {
  return new GlobalAveragePooling2D(options);
}
/** The largest of each channel over the whole picture. x: [batch, height, width, channels]. */
export function globalMaxPooling2d(options: GlobalPoolingOptions = {}): GlobalMaxPooling2D {
  return new GlobalMaxPooling2D(options);
}
/** The mean of each channel over the whole sequence. x: [batch, steps, channels]. */
export function globalAveragePooling1d(options: GlobalPoolingOptions = {}): GlobalAveragePooling1D {
  return new GlobalAveragePooling1D(options);
}
/** The largest of each channel over the whole sequence. x: [batch, steps, channels]. */
export function globalMaxPooling1d(options: GlobalPoolingOptions = {}): GlobalMaxPooling1D {
  return new GlobalMaxPooling1D(options);
}
