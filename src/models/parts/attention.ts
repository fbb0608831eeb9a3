// Attention as the language models use it: heads side by side, causal, apart by document, with dropout, or over a cache.
import { attention, cachedAttention, writeBlocks, type Tensor } from "../../engine/tensor/index.ts";
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
  const { context, segments } = pass;
  const dropout = context.training && rate > 0 ? { key: context.key(), rate } : undefined;
  const y = attention(a, { k: b, v: c, causal: true, segments, dropout });
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
