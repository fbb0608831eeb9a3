// Layers that draw random numbers in training and do nothing otherwise.
import { ArgumentError, formatType, ShapeError } from "../../engine/core/index.ts";
import { dropout as drop, ones, random, type Tensor } from "../../engine/tensor/index.ts";
import type { Context } from "./context.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import type { JsonObject } from "./named.ts";
import { expectAxes, rate as checkRate, real } from "./options.ts";

export interface DropoutOptions extends LayerOptions {
  /** Shape of the mask, broadcast against the input; `null` is the input's own size. */
  readonly noiseShape?: readonly (number | null)[] | null;
}

/** See `dropout`. */
export class Dropout extends Layer {
  readonly kind: string = "Dropout";
  readonly config: JsonObject;
  readonly #rate: number;
  readonly #noiseShape: readonly (number | null)[] | null;

  constructor({ rate, noiseShape = null, ...options }: DropoutOptions & { readonly rate: number }) {
    super(options);
    this.#rate = checkRate("dropout", "rate", rate);
    if (noiseShape !== null && !Array.isArray(noiseShape))
      throw new ArgumentError(
        "dropout",
        `\`noiseShape\` must be a list of sizes: received ${JSON.stringify(noiseShape)}`,
      );
    this.#noiseShape = noiseShape;
    this.config = { rate, noiseShape };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    if (!context.training || this.#rate === 0) return x;
    if (this.#noiseShape === null) return drop(x, context.key(), this.#rate);
    if (this.#noiseShape.length !== x.rank) {
      throw new ShapeError("dropout", `\`noiseShape\` has ${this.#noiseShape.length} axes: received ${formatType(x)}`);
    }
    const shape = this.#noiseShape.map((n, axis) => n ?? x.shape[axis]!);
    return x.mul(drop(ones(shape), context.key(), this.#rate));
  }
}

/** See `spatialDropout1d`. */
export class SpatialDropout1D extends Layer {
  readonly kind: string = "SpatialDropout1D";
  readonly config: JsonObject;
  readonly #rate: number;

  constructor({ rate, ...options }: LayerOptions & { readonly rate: number }) {
    super(options);
    this.#rate = checkRate("spatialDropout1d", "rate", rate);
    this.config = { rate };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    expectAxes("spatialDropout1d", x, "batch, steps, channels");
    return dropChannels(x, context, this.#rate);
  }
}

/** See `spatialDropout2d`. */
export class SpatialDropout2D extends Layer {
  readonly kind: string = "SpatialDropout2D";
  readonly config: JsonObject;
  readonly #rate: number;

  constructor({ rate, ...options }: LayerOptions & { readonly rate: number }) {
    super(options);
    this.#rate = checkRate("spatialDropout2d", "rate", rate);
    this.config = { rate };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    expectAxes("spatialDropout2d", x, "batch, height, width, channels");
    return dropChannels(x, context, this.#rate);
  }
}

function dropChannels(x: Tensor, context: Context, rate: number): Tensor {
  if (!context.training || rate === 0) return x;
  const shape = x.shape.map((n, axis) => (axis === 0 || axis === x.rank - 1 ? n : 1));
  return x.mul(drop(ones(shape), context.key(), rate));
}

/** See `gaussianNoise`. */
export class GaussianNoise extends Layer {
  readonly kind: string = "GaussianNoise";
  readonly config: JsonObject;
  readonly #stddev: number;

  constructor({ stddev, ...options }: LayerOptions & { readonly stddev: number }) {
    super(options);
    this.#stddev = real("gaussianNoise", "stddev", stddev, [0, Number.MAX_VALUE]);
    this.config = { stddev };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    if (!context.training || this.#stddev === 0) return x;
    return x.add(random.normal(context.key(), x.shape).mul(this.#stddev));
  }
}

/**
 * In training: 0 with probability `rate`, else `x / (1 − rate)`; otherwise x (Srivastava et al. 2014).
 *
 * @example
 * dropout(0.5).call(tensor([[1, 2]])).toNested(); // [[1, 2]]
 */
export function dropout(rate: number, options: DropoutOptions = {}): Dropout {
  return new Dropout({ ...options, rate });
}

/** Dropout of whole channels of a sequence (Tompson et al. 2014). x: [batch, steps, channels]. */
export function spatialDropout1d(rate: number, options: LayerOptions = {}): SpatialDropout1D {
  return new SpatialDropout1D({ ...options, rate });
}

/** Dropout of whole channels of a picture (Tompson et al. 2014). x: [batch, height, width, channels]. */
export function spatialDropout2d(rate: number, options: LayerOptions = {}): SpatialDropout2D {
  return new SpatialDropout2D({ ...options, rate });
}

/** In training: `x + stddev · normal`. */
export function gaussianNoise(stddev: number, options: LayerOptions = {}): GaussianNoise {
  return new GaussianNoise({ ...options, stddev });
}
