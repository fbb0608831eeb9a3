// Layers of several inputs: sum, difference, product, mean, extremes, concatenation.
import { ArgumentError, formatType, normalizeAxis, ShapeError } from "../../engine/core/index.ts";
import { concat, type Tensor } from "../../engine/tensor/index.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import type { JsonObject } from "./named.ts";

type Several = readonly Tensor[];

abstract class Merge extends Layer<Several> {
  readonly config: JsonObject = {};
  protected abstract merge(inputs: Several): Tensor;

  protected forward(inputs: Several): Tensor {
    return this.merge(severalOf(this.kind, inputs));
  }
}

function severalOf(kind: string, inputs: Several): Several {
  if (!Array.isArray(inputs) || inputs.length < 2) {
    throw new ArgumentError(kind, "needs an array of at least two inputs", { hint: "call it as layer.call([a, b])" });
  }
  return inputs as Several;
}

/** See `add`. */
export class Add extends Merge {
  readonly kind: string = "Add";
  protected merge(inputs: Several): Tensor {
    return inputs.reduce((a, b) => a.add(b));
  }
}
/** See `subtract`. */
export class Subtract extends Merge {
  readonly kind: string = "Subtract";
  protected merge(inputs: Several): Tensor {
    if (inputs.length !== 2) throw new ArgumentError("subtract", `needs exactly two inputs: received ${inputs.length}`);
    return inputs[0]!.sub(inputs[1]!);
  }
}
/** See `multiply`. */
export class Multiply extends Merge {
  readonly kind: string = "Multiply";
  protected merge(inputs: Several): Tensor {
    return inputs.reduce((a, b) => a.mul(b));
  }
}
/** See `average`. */
export class Average extends Merge {
  readonly kind: string = "Average";
  protected merge(inputs: Several): Tensor {
    return inputs.reduce((a, b) => a.add(b)).div(inputs.length);
  }
}
/** See `maximum`. */
export class Maximum extends Merge {
  readonly kind: string = "Maximum";
  protected merge(inputs: Several): Tensor {
    return inputs.reduce((a, b) => a.maximum(b));
  }
}
/** See `minimum`. */
export class Minimum extends Merge {
  readonly kind: string = "Minimum";
  protected merge(inputs: Several): Tensor {
    return inputs.reduce((a, b) => a.minimum(b));
  }
}

/** See `concatenate`. */
export class Concatenate extends Layer<Several> {
  readonly kind: string = "Concatenate";
  readonly config: JsonObject;
  readonly #axis: number;

  constructor({ axis = -1, ...options }: LayerOptions & { readonly axis?: number } = {}) {
    super(options);
    if (axis === 0) throw new ArgumentError("concatenate", "`axis` 0 is the batch: received axis 0");
    this.#axis = axis;
    this.config = { axis };
  }

  protected forward(inputs: Several): Tensor {
    const parts = severalOf("concatenate", inputs);
    const rank = parts[0]!.rank;
    const axis = normalizeAxis("concatenate", this.#axis, rank);
    if (parts.some((x) => x.rank !== rank || x.shape.some((n, i) => i !== axis && n !== parts[0]!.shape[i]))) {
      throw new ShapeError(
        "concatenate",
        `inputs may differ along axis ${axis} only: received ${parts.map(formatType).join(" and ")}`,
      );
    }
    return concat(parts, axis);
  }
}

/**
 * The sum of several inputs: residual connections.
 *
 * @example
 * const x = input({ shape: [8] });
 * add().apply([x, dense(8).apply(x)]).shape; // [null, 8]
 */
export function add(options: LayerOptions = {}): Add {
  return new Add(options);
}
/** The first of two inputs minus the second. */
export function subtract(options: LayerOptions = {}): Subtract {
  return new Subtract(options);
}
/** The product of several inputs, element by element. */
export function multiply(options: LayerOptions = {}): Multiply {
  return new Multiply(options);
}
/** The mean of several inputs, element by element. */
export function average(options: LayerOptions = {}): Average {
  return new Average(options);
}
/** The largest of several inputs, element by element. */
export function maximum(options: LayerOptions = {}): Maximum {
  return new Maximum(options);
}
/** The smallest of several inputs, element by element. */
export function minimum(options: LayerOptions = {}): Minimum {
  return new Minimum(options);
}

/**
 * Several inputs one after another along an axis (the last unless said).
 *
 * @example
 * concatenate().apply([input({ shape: [3] }), input({ shape: [4] })]).shape; // [null, 7]
 */
export function concatenate(options: LayerOptions & { readonly axis?: number } = {}): Concatenate {
  return new Concatenate(options);
}
