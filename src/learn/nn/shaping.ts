// Layers that move numbers and compute none: flatten, reshape, permute, repeat, pad, enlarge.
import { ArgumentError, checkShape, formatType, ShapeError, sizeOf, type Shape } from "../../engine/core/index.ts";
import { pad, type Tensor } from "../../engine/tensor/index.ts";
import { single, type PairOption } from "./conv.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import type { JsonObject } from "./named.ts";
import { expectAxes, expectRank, pair, whole } from "./options.ts";

/** See `flatten`. */
export class Flatten extends Layer {
  readonly kind: string = "Flatten";
  readonly config: JsonObject = {};
  protected forward(x: Tensor): Tensor {
    expectRank("flatten", x, 1, "batch, …");
    return x.reshape([x.shape[0]!, sizeOf(x.shape.slice(1))]);
  }
}

/** See `reshape`. */
export class Reshape extends Layer {
  readonly kind: string = "Reshape";
  readonly config: JsonObject;
  readonly #target: Shape;

  constructor({ targetShape, ...options }: LayerOptions & { readonly targetShape: Shape }) {
    super(options);
    checkShape(
      "reshape",
      targetShape.filter((n) => n !== -1),
    );
    if (targetShape.filter((n) => n === -1).length > 1)
      throw new ArgumentError("reshape", `only one size may be -1: received [${targetShape.join(",")}]`);
    this.#target = [...targetShape];
    this.config = { targetShape: this.#target };
  }

  protected forward(x: Tensor): Tensor {
    const size = sizeOf(x.shape.slice(1));
    const rest = sizeOf(this.#target.filter((n) => n !== -1));
    const shape = this.#target.map((n) => (n === -1 ? size / rest : n));
    if (sizeOf(shape) !== size || shape.some((n) => !Number.isInteger(n))) {
      throw new ShapeError(
        "reshape",
        `a sample has ${size} elements, [${this.#target.join(",")}] another number: received ${formatType(x)}`,
      );
    }
    return x.reshape([x.shape[0]!, ...shape]);
  }
}

/** See `permute`. */
export class Permute extends Layer {
  readonly kind: string = "Permute";
  readonly config: JsonObject;
  readonly #dims: readonly number[];

  constructor({ dims, ...options }: LayerOptions & { readonly dims: readonly number[] }) {
    super(options);
    if ([...dims].sort((a, b) => a - b).some((n, i) => n !== i + 1))
      throw new ArgumentError(
        "permute",
        `\`dims\` must hold 1 … ${dims.length} once each: received [${dims.join(",")}]`,
      );
    this.#dims = [...dims];
    this.config = { dims: this.#dims };
  }

  protected forward(x: Tensor): Tensor {
    if (x.rank !== this.#dims.length + 1)
      throw new ShapeError(
        "permute",
        `needs a batch of samples with ${this.#dims.length} axes: received ${formatType(x)}`,
      );
    return x.transpose([0, ...this.#dims]);
  }
}

/** See `repeatVector`. */
export class RepeatVector extends Layer {
  readonly kind: string = "RepeatVector";
  readonly config: JsonObject;
  readonly #n: number;

  constructor({ n, ...options }: LayerOptions & { readonly n: number }) {
    super(options);
    this.#n = whole("repeatVector", "n", n);
    this.config = { n };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("repeatVector", x, "batch, features");
    const [batch, features] = x.shape as [number, number];
    return x.expandDims(1).broadcastTo([batch, this.#n, features]);
  }
}

/** Cells before and after. */
export type SidePadding = readonly [number, number];

/** See `zeroPadding1d`. */
export class ZeroPadding1D extends Layer {
  readonly kind: string = "ZeroPadding1D";
  readonly config: JsonObject;
  readonly #padding: SidePadding;

  constructor({ padding = 1, ...options }: LayerOptions & { readonly padding?: number | SidePadding } = {}) {
    super(options);
    this.#padding = pair("zeroPadding1d", "padding", padding, 0);
    this.config = { padding: this.#padding };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("zeroPadding1d", x, "batch, steps, channels");
    return pad(x, [[0, 0], this.#padding, [0, 0]]);
  }
}

/** One number for all sides, one for each axis, or cells before and after each axis. */
export type PicturePadding = number | readonly [number, number] | readonly [SidePadding, SidePadding];

/** See `zeroPadding2d`. */
export class ZeroPadding2D extends Layer {
  readonly kind: string = "ZeroPadding2D";
  readonly config: JsonObject;
  readonly #padding: readonly [SidePadding, SidePadding];

  constructor({ padding = 1, ...options }: LayerOptions & { readonly padding?: PicturePadding } = {}) {
    super(options);
    const sides = typeof padding === "number" ? [padding, padding] : padding;
    if (!Array.isArray(sides) || sides.length !== 2)
      throw new ArgumentError(
        "zeroPadding2d",
        `\`padding\` must be one number, two, or two pairs: received ${JSON.stringify(padding)}`,
      );
    const [rows, columns] = sides as [number | SidePadding, number | SidePadding];
    this.#padding = [pair("zeroPadding2d", "padding", rows, 0), pair("zeroPadding2d", "padding", columns, 0)];
    this.config = { padding: this.#padding };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("zeroPadding2d", x, "batch, height, width, channels");
    return pad(x, [[0, 0], ...this.#padding, [0, 0]]);
  }
}

/** See `upSampling1d`. */
export class UpSampling1D extends Layer {
  readonly kind: string = "UpSampling1D";
  readonly config: JsonObject;
  readonly #size: number;

  constructor({ size = 2, ...options }: LayerOptions & { readonly size?: number } = {}) {
    super(options);
    this.#size = single("upSampling1d", "size", size);
    this.config = { size: this.#size };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("upSampling1d", x, "batch, steps, channels");
    const [n, steps, channels] = x.shape as [number, number, number];
    return x
      .expandDims(2)
      .broadcastTo([n, steps, this.#size, channels])
      .reshape([n, steps * this.#size, channels]);
  }
}

/** See `upSampling2d`. */
export class UpSampling2D extends Layer {
  readonly kind: string = "UpSampling2D";
  readonly config: JsonObject;
  readonly #size: readonly [number, number];

  constructor({ size = 2, ...options }: LayerOptions & { readonly size?: PairOption } = {}) {
    super(options);
    this.#size = pair("upSampling2d", "size", size);
    this.config = { size: this.#size };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("upSampling2d", x, "batch, height, width, channels");
    const [n, height, width, channels] = x.shape as [number, number, number, number];
    const [down, across] = this.#size;
    return x
      .reshape([n, height, 1, width, 1, channels])
      .broadcastTo([n, height, down, width, across, channels])
      .reshape([n, height * down, width * across, channels]);
  }
}

/**
 * Each sample as one row. [batch, …] → [batch, size].
 *
 * @example
 * flatten().apply(input({ shape: [28, 28] })).shape; // [null, 784]
 */
export function flatten(options: LayerOptions = {}): Flatten {
  return new Flatten(options);
}

/**
 * Each sample in another shape; one size may be -1.
 *
 * @example
 * reshape([28, -1, 1]).apply(input({ shape: [784] })).shape; // [null, 28, 28, 1]
 */
export function reshape(targetShape: Shape, options: LayerOptions = {}): Reshape {
  return new Reshape({ ...options, targetShape });
}

/**
 * The axes of each sample in another order, counted from 1 as in Keras (0 is the batch).
 *
 * @example
 * permute([2, 1]).apply(input({ shape: [10, 3] })).shape; // [null, 3, 10]
 */
export function permute(dims: readonly number[], options: LayerOptions = {}): Permute {
  return new Permute({ ...options, dims });
}

/** The same vector n times: [batch, features] → [batch, n, features]. */
export function repeatVector(n: number, options: LayerOptions = {}): RepeatVector {
  return new RepeatVector({ ...options, n });
}

/** Zeros before and after a sequence. */
export function zeroPadding1d(options: LayerOptions & { readonly padding?: number | SidePadding } = {}): ZeroPadding1D {
  return new ZeroPadding1D(options);
}

/** Zeros around a picture: `{ padding: [[top, bottom], [left, right]] }`. */
export function zeroPadding2d(options: LayerOptions & { readonly padding?: PicturePadding } = {}): ZeroPadding2D {
  return new ZeroPadding2D(options);
}

/** Each step of a sequence `size` times. */
export function upSampling1d(options: LayerOptions & { readonly size?: number } = {}): UpSampling1D {
  return new UpSampling1D(options);
}

/** Each cell of a picture `size` times along both axes (nearest neighbour). */
export function upSampling2d(options: LayerOptions & { readonly size?: PairOption } = {}): UpSampling2D {
  return new UpSampling2D(options);
}
