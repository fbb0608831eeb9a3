// CausalLM: what every language model of this room takes and gives, with and without a cache of keys and values.
import { ArgumentError, formatType, ShapeError } from "../../engine/core/index.ts";
import { arange, zeros, type Tensor } from "../../engine/tensor/index.ts";
import { checkIds, inference, Module, type Context } from "../../learn/nn/index.ts";
import type { ConfigJson } from "./config.ts";

// Shapes: B batch, T time, C width of the model, H query heads, G groups of keys, D depth of a head, V vocabulary,
// N rows of a cache, S places of a row.

/** Rows of tokens. */
export interface RowsInput {
  /** int32 [B, T]. */
  readonly ids: Tensor;
  /** int32 [B, T] or [T]; 0 … T − 1 unless said, and from 0 in each segment where there are segments. */
  readonly positions?: Tensor | undefined;
  /** int32 [B, T]: the document each token is of. A token sees those of its own document only. */
  readonly segments?: Tensor | undefined;
}

/** The next tokens of rows whose earlier keys and values are in a cache. */
export interface CachedInput {
  /** int32 [B, T]: what comes next. */
  readonly ids: Tensor;
  readonly cache: Cache;
  /** int32 [B]: how many tokens each row has in the cache. */
  readonly position: Tensor;
  /** int32 [B]: which rows of the cache these are; the first B unless said. */
  readonly rows?: Tensor | undefined;
  /** int32 [B]: the one token of each row whose logits are wanted, [B, 1, V]; those of all unless said. */
  readonly pick?: Tensor | undefined;
}

/** Keys and values of every layer: float32 [N, S, G, D]. */
export interface Cache {
  readonly layers: readonly LayerCache[];
}
export interface LayerCache {
  readonly k: Tensor;
  readonly v: Tensor;
}

export type CausalInput = Tensor | RowsInput | CachedInput;

/** What a pass with a cache gives. */
export interface CachedOutput {
  /** [B, T, V], or [B, 1, V] where one token was picked. */
  readonly logits: Tensor;
  /** The cache with the new keys and values. */
  readonly cache: Cache;
}

/** How a model computes, beside its config: nothing of it changes what is computed. */
export interface ModelOptions {
  /** Computes each block again in the backward pass instead of keeping what it computed: less memory, a third more work. */
  readonly checkpointBlocks?: boolean;
}

/** Sizes of a cache's keys. */
export interface CacheShape {
  readonly layers: number;
  readonly groups: number;
  readonly depth: number;
}

/**
 * A language model: ids int32 [B, T] to the logits [B, T, V] of each next token.
 *
 * @example
 * const lm = createModel(presets["shakespeare-tiny"]!).init(0, { dtype: "int32", shape: [1, 1] });
 * const ids = tensor([[1, 2, 3]], { dtype: "int32" });
 * const segments = tensor([[0, 0, 1]], { dtype: "int32" }); // the third token is of another document
 * lm.call({ ids, segments }).shape; // [1, 3, 65]
 */
export abstract class CausalLM extends Module<CausalInput, Tensor | CachedOutput> {
  /** The config.json, in Hugging Face's names. */
  abstract readonly configJson: ConfigJson;
  abstract readonly vocabSize: number;
  /** Most tokens a row may have. */
  abstract readonly contextLength: number;
  abstract readonly cacheShape: CacheShape;

  override call(input: CachedInput, context?: Context): CachedOutput;
  override call(input: Tensor | RowsInput, context?: Context): Tensor;
  override call(input: CausalInput, context?: Context): Tensor | CachedOutput;
  override call(input: CausalInput, context: Context = inference): Tensor | CachedOutput {
    return super.call(input, context);
  }

  /** An empty cache for so many rows of so many tokens: float32 zeros [N, S, G, D] for keys and values of each layer. */
  cache(rows: number, length: number): Cache {
    const { layers, groups, depth } = this.cacheShape;
    const empty = (): Tensor => zeros([rows, length, groups, depth]);
    return { layers: Array.from({ length: layers }, () => ({ k: empty(), v: empty() })) };
  }
}

/** What a pass hands to every block. */
export interface Pass {
  readonly context: Context;
  /** int32 [T] or [B, T]. */
  readonly positions: Tensor;
  /** int32 [B, T]: the document of each token. */
  readonly segments: Tensor | undefined;
  readonly cached: CachedPass | undefined;
}

/** Where a pass with a cache reads and writes. */
export interface CachedPass {
  /** int32 [B]. */
  readonly rows: Tensor;
  readonly position: Tensor;
  /** int32 [B]: tokens of each row when the new ones are in. */
  readonly lengths: Tensor;
}

/** What a block takes. */
export interface BlockInput {
  /** [B, T, C]. */
  readonly x: Tensor;
  readonly pass: Pass;
  readonly cache: LayerCache | undefined;
}

/** What a block gives. */
export interface BlockOutput {
  readonly x: Tensor;
  readonly cache: LayerCache | undefined;
  /** A scalar that is added to the loss: the balance of experts. */
  readonly auxiliary: Tensor | undefined;
}

export type BlockModule = Module<BlockInput, BlockOutput>;

/** An input in its parts, checked. */
export interface Parts {
  readonly ids: Tensor;
  readonly pass: Pass;
  readonly cache: Cache | undefined;
  readonly pick: Tensor | undefined;
}

/** Reads an input; refuses ids that are not int32 [B, T], rows longer than the context, and parts that do not fit. */
export function partsOf(input: CausalInput, context: Context, contextLength: number): Parts {
  const given: RowsInput | CachedInput = "ids" in input ? input : { ids: input };
  const { ids } = given;
  checkIds(ids);
  const [batch, time] = ids.shape as [number, number];
  if (time > contextLength) {
    throw new ShapeError("ids", `the model has ${contextLength} positions: received ${time}`, {
      hint: "cut the rows into windows of the context's length",
    });
  }
  if ("cache" in given) {
    if (context.training) throw new ArgumentError("cache", "is for generation: received it in training");
    const { cache, position, pick, rows = arange(batch) } = given;
    expectInts("position", position, [batch]);
    expectInts("rows", rows, [batch]);
    if (pick !== undefined) expectInts("pick", pick, [batch]);
    // Padding behind the last token may lie past the context: its results are not used, but its position must exist.
    const positions = position
      .expandDims(1)
      .add(arange(time))
      .minimum(contextLength - 1);
    const cached = { rows, position, lengths: position.add(time) };
    return { ids, cache, pick, pass: { context, positions, segments: undefined, cached } };
  }
  const { segments } = given;
  if (segments !== undefined) expectInts("segments", segments, [batch, time]);
  const positions = given.positions ?? (segments === undefined ? arange(time) : restarted(segments));
  if (positions.rank !== 1 || positions.shape[0] !== time) expectInts("positions", positions, [batch, time]);
  return { ids, cache: undefined, pick: undefined, pass: { context, positions, segments, cached: undefined } };
}

// How many earlier tokens are of the same document.
function restarted(segments: Tensor): Tensor {
  const time = segments.shape[1]!;
  const same = segments.expandDims(2).equal(segments.expandDims(1)); // [B, T, T]
  const earlier = arange(time).expandDims(1).greater(arange(time));
  return same.cast("int32").mul(earlier.cast("int32")).sum({ axis: -1 });
}

function expectInts(name: string, x: Tensor, shape: readonly number[]): void {
  if (x.dtype === "int32" && x.rank === shape.length && shape.every((n, i) => x.shape[i] === n)) return;
  throw new ShapeError(name, `expected int32[${shape.join(",")}]: received ${formatType(x)}`);
}
