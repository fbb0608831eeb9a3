// Small parts of the language models: the table of tokens, the head that makes logits, projections, dropout by rate.
import { arange, dropout, embedding, type Tensor } from "../../engine/tensor/index.ts";
import { dense, initializers, Module, type Context, type Initializer } from "../../learn/nn/index.ts";

/** Vectors by number; models that tie head and table make their logits of it too. */
export class TokenEmbedding extends Module {
  readonly #size: readonly [number, number];
  readonly #initializer: Initializer;

  constructor(rows: number, width: number, initializer: Initializer) {
    super();
    this.#size = [rows, width];
    this.#initializer = initializer;
  }

  /** ids: int32 [B, T]; result: [B, T, C]. */
  protected forward(ids: Tensor): Tensor {
    return embedding(this.table(), ids);
  }

  /** [V, C]. */
  table(): Tensor {
    return this.param("embeddings", this.#size, this.#initializer);
  }
}

/** A head of its own: `logits = h W`. */
export class Head extends Module {
  readonly #units: number;
  readonly #initializer: Initializer;

  constructor(units: number, initializer: Initializer) {
    super();
    this.#units = units;
    this.#initializer = initializer;
  }

  protected forward(h: Tensor): Tensor {
    return h.matmul(this.kernel(h.shape.at(-1)!));
  }

  /** [C, V]. */
  kernel(width: number): Tensor {
    return this.param("kernel", [width, this.#units], this.#initializer);
  }
}

/** A projection `x W + b` with normal weights. */
export function projection(units: number, stddev: number, { useBias }: { readonly useBias: boolean }): Module {
  return dense(units, { useBias, kernelInitializer: initializers.randomNormal({ stddev }) });
}

/** x with a share of its elements dropped in training. */
export function drop(x: Tensor, rate: number, context: Context): Tensor {
  return context.training && rate > 0 ? dropout(x, context.key(), rate) : x;
}

/** Of each row of h [B, T, C] the token picked, [B, 1, C]; all of them without a pick. */
export function pickTokens(h: Tensor, pick: Tensor | undefined): Tensor {
  if (pick === undefined) return h;
  const [batch, time, width] = h.shape as [number, number, number];
  const flat = h.reshape([batch * time, width]);
  return flat.take(arange(batch).mul(time).add(pick)).reshape([batch, 1, width]);
}
