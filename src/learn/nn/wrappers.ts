// Layers around a layer: both directions of time, every step of time.
import { ArgumentError, formatType } from "../../engine/core/index.ts";
import { concat, reverse, type Tensor } from "../../engine/tensor/index.ts";
import type { Context } from "./context.ts";
import { Layer, layerToJson, type LayerJson, type LayerOptions } from "./layer.ts";
import { logitsOf, tagLogits } from "./logits.ts";
import type { JsonObject } from "./named.ts";
import { expectRank, oneOf } from "./options.ts";
import { Recurrent } from "./recurrent.ts";

const mergeModes = ["concat", "sum", "mul", "ave"] as const;
/** How the two directions become one. */
export type MergeMode = (typeof mergeModes)[number];

export interface BidirectionalOptions extends LayerOptions {
  /** "concat" unless said. */
  readonly mergeMode?: MergeMode;
}

/** See `bidirectional`. */
export class Bidirectional extends Layer {
  readonly kind: string = "Bidirectional";
  readonly forwardLayer: Recurrent;
  readonly backwardLayer: Recurrent;
  readonly #mergeMode: MergeMode;

  constructor({
    forwardLayer,
    backwardLayer,
    ...options
  }: BidirectionalOptions & { readonly forwardLayer: Recurrent; readonly backwardLayer: Recurrent }) {
    super(options);
    this.#mergeMode = oneOf("bidirectional", "mergeMode", options.mergeMode ?? "concat", mergeModes);
    this.forwardLayer = forwardLayer;
    this.backwardLayer = backwardLayer;
    const [one, two] = [forwardLayer, backwardLayer];
    for (const layer of [one, two]) {
      if (!(layer instanceof Recurrent)) throw new ArgumentError("bidirectional", "takes recurrent layers");
      if (layer.returnState)
        throw new ArgumentError("bidirectional", "takes layers without `returnState`: received one with it");
    }
    if (one === (two as unknown)) throw new ArgumentError("bidirectional", "needs two layers: received one twice");
    if (one.goBackwards === two.goBackwards || one.returnSequences !== two.returnSequences)
      throw new ArgumentError(
        "bidirectional",
        "the layers must differ in `goBackwards` and agree in `returnSequences`",
      );
  }

  get config(): JsonObject {
    return {
      mergeMode: this.#mergeMode,
      layer: layerToJson(this.forwardLayer),
      backwardLayer: layerToJson(this.backwardLayer),
    };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const ahead = this.forwardLayer.call(x, context);
    const made = this.backwardLayer.call(x, context);
    // A backward layer's sequence begins at the last step; both directions must lie at the same times.
    const back = this.backwardLayer.returnSequences ? reverse(made, 1) : made;
    const mode = this.#mergeMode;
    if (mode === "concat") return concat([ahead, back], -1);
    if (mode === "mul") return ahead.mul(back);
    return mode === "sum" ? ahead.add(back) : ahead.add(back).mul(0.5);
  }
}

type LayerClass = new (options: JsonObject & LayerOptions) => Recurrent;

/**
 * A recurrent layer over the sequence in both directions (Schuster & Paliwal 1997), with weights of its own for each.
 * `mergeMode`: "concat" (the default), "sum", "mul" or "ave".
 *
 * @example
 * bidirectional(lstm(8, { returnSequences: true })).apply(input({ shape: [20, 3] })).shape; // [null, 20, 16]
 */
export function bidirectional(
  layer: Recurrent,
  options: BidirectionalOptions & { readonly backwardLayer?: Recurrent } = {},
): Bidirectional {
  const backwardLayer = options.backwardLayer ?? mirrored(layer);
  return new Bidirectional({ ...options, forwardLayer: layer, backwardLayer });
}

// The same layer in the other direction. Its configuration says everything about it, or layerToJson refuses.
function mirrored(layer: Recurrent): Recurrent {
  if (!(layer instanceof Recurrent)) throw new ArgumentError("bidirectional", "takes a recurrent layer");
  const { config } = layerToJson(layer);
  const { trainable } = layer;
  return new (layer.constructor as LayerClass)({ ...config, goBackwards: !layer.goBackwards, trainable });
}

/** See `timeDistributed`. */
export class TimeDistributed extends Layer {
  readonly kind: string = "TimeDistributed";
  readonly layer: Layer;

  constructor({ layer, ...options }: LayerOptions & { readonly layer: Layer }) {
    super(options);
    if (!(layer instanceof Layer)) throw new ArgumentError("timeDistributed", "takes a layer");
    this.layer = layer;
  }

  get config(): { readonly layer: LayerJson } {
    return { layer: layerToJson(this.layer) };
  }

  protected forward(x: Tensor, context: Context): Tensor {
    expectRank("timeDistributed", x, 3, "batch, steps, …");
    const [batch, steps, ...rest] = x.shape as [number, number, ...number[]];
    const rows = this.layer.call(x.reshape([batch * steps, ...rest]), context);
    if (rows.shape[0] !== batch * steps)
      throw new ArgumentError("timeDistributed", `the layer changed the batch: received ${formatType(rows)}`);
    const unfold = (y: Tensor): Tensor => y.reshape([batch, steps, ...y.shape.slice(1)]);
    const tag = logitsOf(rows);
    const result = unfold(rows);
    return tag === undefined ? result : tagLogits(result, { ...tag, logits: unfold(tag.logits) });
  }
}

/**
 * A layer applied to each step of time: [batch, steps, …] → [batch, steps, …].
 *
 * @example
 * timeDistributed(conv2d(4, 3)).apply(input({ shape: [10, 8, 8, 1] })).shape; // [null, 10, 6, 6, 4]
 */
export function timeDistributed(layer: Layer, options: LayerOptions = {}): TimeDistributed {
  return new TimeDistributed({ ...options, layer });
}
