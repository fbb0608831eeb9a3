// What the language models share: the table of tokens, heads side by side, the loss of the next token.
import { formatType, ShapeError, DtypeError } from "../../../src/engine/core/index.ts";
import { crossEntropy, embedding, type Tensor } from "../../../src/engine/tensor/index.ts";
import { Module, type Initializer } from "../../../src/learn/nn/index.ts";

// Shapes: B batch, T time, C width of the model, H query heads, G groups of keys, D depth of a head, V vocabulary.

/** A language model: token ids int32 [B, T] to the logits [B, T, V] of each next token. */
export type CausalLM = Module;

/** Vectors by number, and with the same table the logits of models that tie the two. */
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
    return embedding(this.#table(), ids);
  }

  /** h: [B, T, C]; result: h Eᵀ, [B, T, V]. */
  logits(h: Tensor): Tensor {
    return h.matmul(this.#table().transpose());
  }

  #table(): Tensor {
    return this.param("embeddings", this.#size, this.#initializer);
  }
}

/** [B, T, H · D] → [B, H, T, D]. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, time, width] = x.shape as [number, number, number];
  return x.reshape([batch, time, heads, width / heads]).transpose([0, 2, 1, 3]);
}

/** [B, H, T, D] → [B, T, H · D]. */
export function mergeHeads(x: Tensor): Tensor {
  const [batch, heads, time, depth] = x.shape as [number, number, number, number];
  return x.transpose([0, 2, 1, 3]).reshape([batch, time, heads * depth]);
}

/** Refuses what are no ids int32 [B, T]. */
export function checkIds(ids: Tensor): void {
  if (ids.dtype !== "int32") throw new DtypeError("ids", `expected int32[batch,time]: received ${formatType(ids)}`);
  if (ids.rank !== 2) throw new ShapeError("ids", `expected int32[batch,time]: received ${formatType(ids)}`);
}

/**
 * Mean cross-entropy of each token given those before it, in nats: logits at t are held against the id at t + 1.
 * logits: [B, T, V]; ids: int32 [B, T]; result: scalar.
 *
 * @example
 * const loss = nextTokenLoss(model.call(ids), ids);
 */
export function nextTokenLoss(logits: Tensor, ids: Tensor): Tensor {
  checkIds(ids);
  if (ids.shape[1]! < 2) throw new ShapeError("nextTokenLoss", `needs two tokens a row: received ${formatType(ids)}`);
  return crossEntropy(logits.slice(0, -1, { axis: 1 }), ids.slice(1, undefined, { axis: 1 })).mean();
}
