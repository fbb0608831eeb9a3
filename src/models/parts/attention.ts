// Attention as the language models use it: heads side by side, causal, apart by document, with dropout, or over a cache.
import {
  arange,
  attention,
  cachedAttention,
  dropout,
  softmax,
  where,
  writeBlocks,
  type Tensor,
} from "../../engine/tensor/index.ts";
import type { CachedPass, LayerCache, Pass } from "./causal-lm.ts";

/** Queries, keys and values with heads inside: q [B, T, H, D]; k, v [B, T, G, D]. */
export interface Heads {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What attention gives: [B, T, H · D], and the layer's cache with the new keys and values. */
export interface Attended {
  readonly y: Tensor;
  readonly cache: LayerCache | undefined;
}

/** [B, T, H · D] → [B, T, H, D]. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, time, width] = x.shape as [number, number, number];
  return x.reshape([batch, time, heads, width / heads]);
}

/** [B, T, H, D] ↔ [B, H, T, D]. */
export function swapHeads(x: Tensor): Tensor {
  return x.transpose([0, 2, 1, 3]);
}

/** Causal attention of one layer in a pass. `rate` is the share of weights that are dropped in training. */
export function attend(
  { q, k, v }: Heads,
  pass: Pass,
  { cache, rate }: { cache: LayerCache | undefined; rate: number },
): Attended {
  const [batch, time, heads, depth] = q.shape as [number, number, number, number];
  const flat = [batch, time, heads * depth];
  if (pass.cached !== undefined && cache !== undefined) {
    const { y, cache: next } = overCache({ q, k, v }, pass.cached, cache);
    return { y: y.reshape(flat), cache: next };
  }
  const [a, b, c] = [swapHeads(q), swapHeads(k), swapHeads(v)];
  const { context, mask } = pass;
  const y =
    context.training && rate > 0
      ? droppedAttention({ q: a, k: b, v: c }, { mask, key: context.key(), rate })
      : attention(a, { k: b, v: c, causal: true, ...(mask === undefined ? {} : { mask }) });
  return { y: swapHeads(y).reshape(flat), cache: undefined };
}

function overCache(
  { q, k, v }: Heads,
  { rows, position, lengths }: CachedPass,
  cache: LayerCache,
): { y: Tensor; cache: LayerCache } {
  const next = {
    k: writeBlocks(cache.k, { block: k, rows, starts: position }),
    v: writeBlocks(cache.v, { block: v, rows, starts: position }),
  };
  return { y: cachedAttention(q, { ...next, rows, lengths }), cache: next };
}

// The fused kernel draws no random numbers: with dropout the weights [B, H, T, T] are computed as they are written in
// the paper (Srivastava et al. 2014 on Vaswani et al. 2017). q: [B, H, T, D]; k, v: [B, G, T, D].
function droppedAttention(
  { q, k, v }: Heads,
  { mask, key, rate }: { readonly mask: Tensor | undefined; readonly key: Tensor; readonly rate: number },
): Tensor {
  const [batch, heads, time, depth] = q.shape as [number, number, number, number];
  const groups = k.shape[1]!;
  const together = [batch, groups, (heads / groups) * time];
  const scores = q
    .reshape([...together, depth])
    .matmul(k.transpose([0, 1, 3, 2]))
    .mul(1 / Math.sqrt(depth))
    .reshape([batch, heads, time, time]);
  const causal = lowerTriangle(time);
  const allowed = mask === undefined ? causal : causal.cast("int32").mul(mask.cast("int32")).greater(0);
  const weights = dropout(softmax(where(allowed, scores, -1e30)), key, rate);
  return weights
    .reshape([...together, time])
    .matmul(v)
    .reshape(q.shape);
}

function lowerTriangle(time: number): Tensor {
  return arange(time).expandDims(1).greaterEqual(arange(time)); // [T, T]
}
