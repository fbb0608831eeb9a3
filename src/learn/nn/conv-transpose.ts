// Transposed convolutions: layers that enlarge, the adjoints of convolutions.
import { conv2dTranspose as transposed2d, type Tensor } from "../../engine/tensor/index.ts";
import { single, type Padding, type PairOption } from "./conv.ts";
import type { JsonObject } from "./named.ts";
import { expectAxes, oneOf, pair, whole } from "./options.ts";
import { WeightedLayer, type WeightedOptions } from "./weighted.ts";

type Pair = readonly [number, number];
const paddings = ["valid", "same"] as const;

export interface ConvTransposeOptions extends WeightedOptions {
  readonly strides?: PairOption;
  readonly padding?: Padding;
}

/** See `conv2dTranspose`. */
export class Conv2DTranspose extends WeightedLayer {
  readonly kind: string = "Conv2DTranspose";
  readonly config: JsonObject;
  readonly #filters: number;
  readonly #size: Pair;
  readonly #options: { strides: Pair; padding: Padding };

  constructor(options: ConvTransposeOptions & { readonly filters: number; readonly kernelSize: PairOption }) {
    super(options);
    this.#filters = whole("conv2dTranspose", "filters", options.filters);
    this.#size = pair("conv2dTranspose", "kernelSize", options.kernelSize);
    const strides = pair("conv2dTranspose", "strides", options.strides ?? 1);
    const padding = oneOf("conv2dTranspose", "padding", options.padding ?? "valid", paddings);
    this.#options = { strides, padding };
    this.config = { filters: this.#filters, kernelSize: this.#size, strides, padding, ...this.weightedConfig() };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("conv2dTranspose", x, "batch, height, width, channels");
    const kernel = this.kernel([...this.#size, this.#filters, x.shape[3]!]);
    return this.finish(transposed2d(x, kernel, this.#options));
  }
}

/** See `conv1dTranspose`. */
export class Conv1DTranspose extends WeightedLayer {
  readonly kind: string = "Conv1DTranspose";
  readonly config: JsonObject;
  readonly #filters: number;
  readonly #size: number;
  readonly #strides: number;
  readonly #padding: Padding;

  constructor(options: ConvTransposeOptions & { readonly filters: number; readonly kernelSize: PairOption }) {
    super(options);
    this.#filters = whole("conv1dTranspose", "filters", options.filters);
    this.#size = single("conv1dTranspose", "kernelSize", options.kernelSize);
    this.#strides = single("conv1dTranspose", "strides", options.strides ?? 1);
    this.#padding = oneOf("conv1dTranspose", "padding", options.padding ?? "valid", paddings);
    this.config = {
      filters: this.#filters,
      kernelSize: this.#size,
      strides: this.#strides,
      padding: this.#padding,
      ...this.weightedConfig(),
    };
  }

  protected forward(x: Tensor): Tensor {
    expectAxes("conv1dTranspose", x, "batch, steps, channels");
    const kernel = this.kernel([this.#size, this.#filters, x.shape[2]!]);
    const options = { strides: [1, this.#strides], padding: this.#padding } as const;
    return this.finish(transposed2d(x.expandDims(1), kernel.expandDims(0), options).squeeze(1));
  }
}

/**
 * The adjoint of a convolution over pictures (Zeiler et al. 2010): enlarges by the stride.
 * x: [batch, height, width, channels]; kernel: [h, w, filters, channels].
 * "same": size · stride; "valid": (size − 1) · stride + max(kernel, stride).
 *
 * @example
 * conv2dTranspose(3, 4, { strides: 2, padding: "same" }).apply(input({ shape: [8, 8, 16] })).shape; // [null, 16, 16, 3]
 */
export function conv2dTranspose(
  filters: number,
  kernelSize: PairOption,
  options: ConvTransposeOptions = {},
): Conv2DTranspose {
  return new Conv2DTranspose({ ...options, filters, kernelSize });
}

/**
 * The adjoint of a convolution over sequences. x: [batch, steps, channels]; kernel: [kernelSize, filters, channels].
 *
 * @example
 * conv1dTranspose(3, 4, { strides: 2, padding: "same" }).apply(input({ shape: [8, 16] })).shape; // [null, 16, 3]
 */
export function conv1dTranspose(
  filters: number,
  kernelSize: PairOption,
  options: ConvTransposeOptions = {},
): Conv1DTranspose {
  return new Conv1DTranspose({ ...options, filters, kernelSize });
}
