// Embedding: a learned vector for each whole number.
import { DtypeError, formatType } from "../../engine/core/index.ts";
import { embedding as lookUp, type Tensor } from "../../engine/tensor/index.ts";
import { resolveInitializer, type InitializerLike } from "./initializers.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import { specOf, type JsonObject } from "./named.ts";
import { whole } from "./options.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import { resolveRegularizer, type RegularizerLike } from "./regularizers.ts";
import { regularizerSpec } from "./weighted.ts";

export interface EmbeddingOptions extends LayerOptions {
  readonly embeddingsInitializer?: InitializerLike;
  readonly embeddingsRegularizer?: RegularizerLike | null;
}

/** See `embedding`. */
export class Embedding extends Layer {
  readonly kind: string = "Embedding";
  readonly config: JsonObject;
  readonly #shape: readonly [number, number];
  readonly #initializer: Initializer;
  readonly #regularizer: Regularizer | undefined;

  constructor({
    inputDim,
    outputDim,
    ...options
  }: EmbeddingOptions & { readonly inputDim: number; readonly outputDim: number }) {
    super(options);
    this.#shape = [whole("embedding", "inputDim", inputDim), whole("embedding", "outputDim", outputDim)];
    this.#initializer = resolveInitializer(options.embeddingsInitializer ?? "uniform");
    this.#regularizer = resolveRegularizer(options.embeddingsRegularizer);
    this.config = {
      inputDim,
      outputDim,
      embeddingsInitializer: specOf(this.#initializer),
      embeddingsRegularizer: regularizerSpec(this.#regularizer),
    };
  }

  protected forward(ids: Tensor): Tensor {
    if (ids.dtype === "bool") throw new DtypeError("embedding", `ids are whole numbers: received ${formatType(ids)}`);
    const table = this.param("embeddings", this.#shape, this.#initializer, { regularizer: this.#regularizer });
    return lookUp(table, ids.cast("int32"));
  }
}

/**
 * A row of a learned table for each id: [batch, …] → [batch, …, outputDim]. Ids are int32 in [0, inputDim), others are an
 * IndexError when it runs. float32 ids (plain arrays) are taken as well; as in Keras, their fraction is cut off.
 *
 * @example
 * embedding(1000, 16).apply(input({ shape: [20], dtype: "int32" })).shape; // [null, 20, 16]
 */
export function embedding(inputDim: number, outputDim: number, options: EmbeddingOptions = {}): Embedding {
  return new Embedding({ ...options, inputDim, outputDim });
}
