// Multi-head attention.
import { ArgumentError, formatType, ShapeError, type Shape } from "../../engine/core/index.ts";
import {
  arange,
  attention as attend,
  dropout as drop,
  logicalAnd,
  softmax,
  where,
  type Tensor,
} from "../../engine/tensor/index.ts";
import type { Context } from "./context.ts";
import { type LayerOptions } from "./layer.ts";
import { Module } from "./module.ts";
import type { JsonObject } from "./named.ts";
import { expectAxes, flag, rate, whole } from "./options.ts";
import type { Initializer, ParameterOptions } from "./parameter.ts";
import { WeightedLayer, type WeightedOptions } from "./weighted.ts";

export interface MultiHeadAttentionOptions extends LayerOptions, Omit<WeightedOptions, "activation"> {
  /** Size of each head's values; `keyDim` unless said. */
  readonly valueDim?: number | null;
  /** Size of the result; that of the query unless said. */
  readonly outputDim?: number | null;
  /** Share of the attention weights dropped in training. */
  readonly dropout?: number;
  /** Each place sees itself and what is before it. */
  readonly useCausalMask?: boolean;
}

/** `[query, value, key, mask]`: key is value unless given; one Tensor is all three. */
export type AttentionInput = Tensor | readonly Tensor[];

interface ProjectionParts {
  readonly kernel: readonly [Initializer, ParameterOptions];
  readonly bias: readonly [Initializer, ParameterOptions] | undefined;
}

// A product over the last `kernel.length − result.length` axes of x; kernel and bias have Keras's shapes.
class Projection extends Module {
  readonly #parts: ProjectionParts;
  readonly #shape: (x: Tensor) => { kernel: Shape; result: Shape };

  constructor(parts: ProjectionParts, shape: (x: Tensor) => { kernel: Shape; result: Shape }) {
    super();
    this.#parts = parts;
    this.#shape = shape;
  }

  protected forward(x: Tensor): Tensor {
    const { kernel: size, result } = this.#shape(x);
    const kernel = this.param("kernel", size, ...this.#parts.kernel);
    const width = result.reduce((a, b) => a * b, 1);
    const product = x.matmul(kernel.reshape([-1, width])).reshape([...x.shape.slice(0, -1), ...result]);
    return this.#parts.bias === undefined ? product : product.add(this.param("bias", result, ...this.#parts.bias));
  }
}

/** See `multiHeadAttention`. */
export class MultiHeadAttention extends WeightedLayer<AttentionInput> {
  readonly kind: string = "MultiHeadAttention";
  readonly config: JsonObject;
  readonly query: Module;
  readonly key: Module;
  readonly value: Module;
  readonly attentionOutput: Module;
  readonly #dropout: number;
  readonly #causal: boolean;
  #outputWidth: number | undefined;

  constructor(options: MultiHeadAttentionOptions & { readonly numHeads: number; readonly keyDim: number }) {
    super(options);
    const where = "multiHeadAttention";
    const heads = whole(where, "numHeads", options.numHeads);
    const keyDim = whole(where, "keyDim", options.keyDim);
    const valueDim = whole(where, "valueDim", options.valueDim ?? keyDim);
    const outputDim = options.outputDim ?? null;
    this.#dropout = rate(where, "dropout", options.dropout ?? 0);
    this.#causal = flag(where, "useCausalMask", options.useCausalMask ?? false);
    if (outputDim !== null) this.#outputWidth = whole(where, "outputDim", outputDim);
    const { activation: _, ...shared } = this.weightedConfig();
    this.config = {
      numHeads: heads,
      keyDim,
      valueDim,
      outputDim,
      dropout: this.#dropout,
      useCausalMask: this.#causal,
      ...shared,
    };

    const parts: ProjectionParts = {
      kernel: [this.kernelInitializer, { regularizer: this.kernelRegularizer }],
      bias: this.useBias ? [this.biasInitializer, { regularizer: this.biasRegularizer }] : undefined,
    };
    const toHeads = (dim: number): Module =>
      new Projection(parts, (x) => ({ kernel: [x.shape.at(-1)!, heads, dim], result: [heads, dim] }));
    this.query = toHeads(keyDim);
    this.key = toHeads(keyDim);
    this.value = toHeads(valueDim);
    this.attentionOutput = new Projection(parts, () => ({
      kernel: [heads, valueDim, this.#outputWidth!],
      result: [this.#outputWidth!],
    }));
  }

  protected forward(given: AttentionInput, context: Context): Tensor {
    const { query, value, key, mask } = inputsOf(given);
    this.#outputWidth ??= query.shape[2]!;
    const heads = (projection: Module, x: Tensor): Tensor => projection.call(x, context).transpose([0, 2, 1, 3]);
    const [q, k, v] = [heads(this.query, query), heads(this.key, key), heads(this.value, value)];
    const seeing = mask === undefined ? undefined : expandMask(mask, [q.shape[0]!, q.shape[2]!, k.shape[2]!]);
    const dropping = context.training && this.#dropout > 0;
    const dropout = dropping ? { key: context.key(), rate: this.#dropout } : undefined;
    const seen = this.#attend({ q, k, v }, seeing, dropout);
    const merged = seen.transpose([0, 2, 1, 3]);
    const [batch, queries, count, depth] = merged.shape as [number, number, number, number];
    return this.attentionOutput.call(merged.reshape([batch, queries, count * depth]), context);
  }

  #attend({ q, k, v }: Heads, mask: Tensor | undefined, dropout: Dropout | undefined): Tensor {
    if (v.shape[3] === q.shape[3]) {
      const extras = { ...(mask === undefined ? {} : { mask }), ...(dropout === undefined ? {} : { dropout }) };
      return attend(q, { k, v, causal: this.#causal, ...extras });
    }
    // The fused operation wants values as deep as keys; others go the long way.
    const seen = weights({ q, k }, this.#causal ? causal({ q, k }, mask) : mask);
    return (dropout === undefined ? seen : drop(seen, dropout.key, dropout.rate)).matmul(v);
  }
}

interface Dropout {
  readonly key: Tensor;
  readonly rate: number;
}

interface Heads {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

function inputsOf(given: AttentionInput): Record<"query" | "value" | "key", Tensor> & { mask: Tensor | undefined } {
  const list = Array.isArray(given) ? (given as readonly Tensor[]) : [given as Tensor];
  const [query, value = query, key = value, mask] = list;
  if (query === undefined || value === undefined || key === undefined || list.length > 4) {
    throw new ArgumentError("multiHeadAttention", `takes [query, value, key, mask]: received ${list.length} inputs`);
  }
  for (const x of [query, value, key]) expectAxes("multiHeadAttention", x, "batch, steps, features");
  if (value.shape[1] !== key.shape[1] || value.shape[0] !== query.shape[0] || key.shape[0] !== query.shape[0]) {
    const received = [query, value, key].map(formatType).join(", ");
    throw new ShapeError("multiHeadAttention", `query, value and key do not fit together: received ${received}`);
  }
  return { query, value, key, mask };
}

function expandMask(mask: Tensor, [batch, queries, keys]: readonly [number, number, number]): Tensor {
  const wide = mask.rank === 3 ? mask.expandDims(1) : mask;
  const fits = wide.rank === 4 && [batch, wide.shape[1], queries, keys].every((n, i) => [n, 1].includes(wide.shape[i]));
  if (!fits) {
    throw new ShapeError(
      "multiHeadAttention",
      `the mask is [${batch}, ${queries}, ${keys}], true where a query may look: received ${formatType(mask)}`,
    );
  }
  return wide.broadcastTo([wide.shape[0]!, wide.shape[1]!, queries, keys]).cast("bool");
}

// What may be seen where each place sees itself and what is before it: [batch or 1, heads or 1, queries, keys].
function causal({ q, k }: Pick<Heads, "q" | "k">, mask: Tensor | undefined): Tensor {
  const [queries, keys] = [q.shape[2]!, k.shape[2]!];
  const order = arange(keys)
    .sub(keys - queries)
    .lessEqual(arange(queries).expandDims(1))
    .reshape([1, 1, queries, keys]);
  return mask === undefined ? order : logicalAnd(order, mask);
}

// softmax(q kᵀ/√d), 0 where the mask is false; a query that may look nowhere gets zeros.
function weights({ q, k }: Pick<Heads, "q" | "k">, mask: Tensor | undefined): Tensor {
  const scores = q.matmul(k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(q.shape[3]!));
  if (mask === undefined) return softmax(scores);
  return where(mask, softmax(where(mask, scores, -1e30)), 0);
}

/**
 * Attention of several heads (Vaswani et al. 2017): `softmax(Q Kᵀ/√d) V` of learned projections, then projected back.
 * Input: a sequence [batch, steps, features], or `[query, value]`, `[query, value, key]`, `[query, value, key, mask]`
 * (mask [batch, queries, keys], true where a query may look). Result: [batch, queries, features].
 *
 * @example
 * multiHeadAttention(4, 16, { useCausalMask: true }).apply(input({ shape: [20, 64] })).shape; // [null, 20, 64]
 */
export function multiHeadAttention(
  numHeads: number,
  keyDim: number,
  options: MultiHeadAttentionOptions = {},
): MultiHeadAttention {
  return new MultiHeadAttention({ ...options, numHeads, keyDim });
}
