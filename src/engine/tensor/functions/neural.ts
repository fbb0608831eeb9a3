// The composites of neural networks: softmax, losses on logits, normalisation, attention, convolution, pooling.
import { ArgumentError, DtypeError, formatType, normalizeAxis, ShapeError } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import { apply1, applyMany, asTensor, type Tensor, type TensorLike } from "../tensor.ts";

/** `eˣ / Σ eˣ` along an axis. */
export function softmax(x: TensorLike, axis: number = -1): Tensor {
  return apply1((v) => ops.softmax(v, normalizeAxis("softmax", axis, v.shape.length)), asTensor(x));
}

/** `x − ln Σ eˣ` along an axis. */
export function logSoftmax(x: TensorLike, axis: number = -1): Tensor {
  return apply1((v) => ops.logSoftmax(v, normalizeAxis("logSoftmax", axis, v.shape.length)), asTensor(x));
}

/**
 * Cross-entropy of logits and integer labels, one loss a row: `ln Σ eˣ − x[label]`.
 * logits: [..., classes]; labels: int32 [...]; result: [...]. Labels out of range throw IndexError when it runs.
 */
export function crossEntropy(logits: TensorLike, labels: TensorLike): Tensor {
  return applyMany((x, y) => ops.crossEntropy(x, ops.cast(y, "int32")), [asTensor(logits), asTensor(labels, "int32")]);
}

/** Zero mean, unit variance along the last axis, then scaled and shifted (Ba et al. 2016). */
export function layerNorm(
  x: TensorLike,
  params: { readonly scale: Tensor; readonly bias: Tensor; readonly epsilon?: number },
): Tensor {
  return applyMany(
    (v, s, b) => ops.layerNorm(v, { scale: s, bias: b, epsilon: params.epsilon ?? 1e-5 }),
    [asTensor(x), params.scale, params.bias],
  );
}

/** Divided by the root of the mean square along the last axis, then scaled (Zhang & Sennrich 2019). */
export function rmsNorm(x: TensorLike, params: { readonly scale: Tensor; readonly epsilon?: number }): Tensor {
  return applyMany((v, s) => ops.rmsNorm(v, s, params.epsilon ?? 1e-6), [asTensor(x), params.scale]);
}

/** Rows of a table by number. table: [n, width]; ids: int32 [...]; result: [..., width]. */
export function embedding(table: Tensor, ids: TensorLike): Tensor {
  return applyMany((t, i) => ops.embedding(t, i), [table, asTensor(ids, "int32")]);
}

/** Zero with probability `rate`, else scaled by 1/(1 − rate); a function of its key (Srivastava et al. 2014). */
export function dropout(x: TensorLike, key: Tensor, rate: number): Tensor {
  if (!(rate >= 0 && rate < 1)) throw new ArgumentError("dropout", `the rate must be in [0, 1): received ${rate}`);
  return rate === 0 ? asTensor(x) : applyMany((v, k) => ops.dropout(v, k, rate), [asTensor(x), key]);
}

export interface AttentionOptions {
  /** Position t sees positions up to t only. */
  readonly causal?: boolean;
  /** bool, true where a query may look: broadcasts to [batch, heads, queries, keys]. */
  readonly mask?: Tensor | undefined;
  /** int32 [batch, positions], for as many keys as queries: the document of each. A position sees those of its own. */
  readonly segments?: Tensor | undefined;
  /** Drops a share `rate` of the weights, chosen by the key; the others are scaled by 1/(1 − rate). */
  readonly dropout?: { readonly key: Tensor; readonly rate: number } | undefined;
  /** 1/√depth unless said. */
  readonly scale?: number;
}

/**
 * Scaled dot-product attention: `softmax(q kᵀ · scale + mask) v` (Vaswani et al. 2017).
 * q: [batch, heads, queries, depth]; k, v: [batch, groups, keys, depth], groups dividing heads.
 */
export function attention(
  q: Tensor,
  {
    k,
    v,
    causal = false,
    mask,
    segments,
    dropout: dropped,
    scale,
  }: AttentionOptions & { readonly k: Tensor; readonly v: Tensor },
): Tensor {
  const rate = dropped?.rate ?? 0;
  const key = rate === 0 ? undefined : dropped?.key;
  // The op knows them by their dtypes.
  for (const [name, x, dtype] of [
    ["mask", mask, "bool"],
    ["segments", segments, "int32"],
    ["key", key, "uint32"],
  ] as const) {
    if (x !== undefined && x.dtype !== dtype)
      throw new DtypeError("attention", `\`${name}\` is ${dtype}: received ${formatType(x)}`);
  }
  const options = { causal, rate, ...(scale === undefined ? {} : { scale }) };
  const inputs = [q, k, v, mask, segments, key].filter((x) => x !== undefined);
  return applyMany((...values) => {
    const named = ops.attentionInputs(values);
    return ops.attention(named.q, named, options);
  }, inputs);
}

/** `base` [N, S, …] with block [B, T, …] written over it: block i lies in row rows[i], from place starts[i] on; both int32 [B]. */
export function writeBlocks(
  base: Tensor,
  { block, rows, starts }: { readonly block: Tensor; readonly rows: Tensor; readonly starts: Tensor },
): Tensor {
  return applyMany((x, b, r, s) => ops.writeBlocks(x, { block: b, rows: r, starts: s }), [base, block, rows, starts]);
}

/**
 * Attention over a cache: the T queries of block b are the last of lengths[b] tokens in row rows[b], and see what is
 * before them. q: [B, T, H, D]; k, v: [N, S, G, D]; rows, lengths: int32 [B]; result: [B, T, H, D].
 */
export function cachedAttention(
  q: Tensor,
  { k, v, rows, lengths }: { readonly k: Tensor; readonly v: Tensor; readonly rows: Tensor; readonly lengths: Tensor },
): Tensor {
  return applyMany(
    (a, b, c, r, n) => ops.cachedAttention(a, { k: b, v: c, rows: r, lengths: n }),
    [q, k, v, rows, lengths],
  );
}

/** Rotates pairs of features by an angle that grows with the position (Su et al. 2021). x: [batch, heads, time, depth]; positions: int32 [time] or [batch, time]. */
export function rotary(
  x: Tensor,
  positions: TensorLike,
  options: { readonly base?: number; readonly interleaved?: boolean } = {},
): Tensor {
  return applyMany((v, p) => ops.rotary(v, p, options), [x, asTensor(positions, "int32")]);
}

/** One number for both axes, or one for each. */
export type Size = number | readonly [number, number];
/** "same" keeps ⌈size / stride⌉ places, "valid" none of the padding; or cells before and after each axis. */
export type PaddingOption = "same" | "valid" | ops.Padding;

export interface ConvOptions {
  readonly strides?: Size;
  readonly padding?: PaddingOption;
  readonly dilation?: Size;
  readonly groups?: number;
}

function pair(size: Size): ops.Pair {
  return typeof size === "number" ? [size, size] : size;
}

function explicitPadding(
  option: PaddingOption,
  sizes: { input: ops.Pair; window: ops.Pair; strides: ops.Pair; dilation: ops.Pair },
): ops.Padding {
  if (option === "valid")
    return [
      [0, 0],
      [0, 0],
    ];
  if (option !== "same") return option;
  const { input, window, strides, dilation } = sizes;
  return [
    ops.samePadding(input[0], window[0], strides[0], dilation[0]),
    ops.samePadding(input[1], window[1], strides[1], dilation[1]),
  ];
}

/** A convolution over images. x: [N, H, W, C]; kernel: [KH, KW, C / groups, F]; result: [N, OH, OW, F]. */
export function conv2d(
  x: Tensor,
  kernel: Tensor,
  { strides = 1, padding = "valid", dilation = 1, groups = 1 }: ConvOptions = {},
): Tensor {
  expectRank("conv2d", x, 4);
  expectRank("conv2d", kernel, 4);
  const [input, window] = [[x.shape[1]!, x.shape[2]!] as const, [kernel.shape[0]!, kernel.shape[1]!] as const];
  const attrs = { strides: pair(strides), dilation: pair(dilation), groups };
  const explicit = explicitPadding(padding, { input, window, strides: attrs.strides, dilation: attrs.dilation });
  return applyMany((v, w) => ops.conv(v, w, { ...attrs, padding: explicit }), [x, kernel]);
}

/** A convolution over sequences. x: [N, T, C]; kernel: [K, C / groups, F]; result: [N, OT, F]. "causal" pads the start only. */
export function conv1d(
  x: Tensor,
  kernel: Tensor,
  options: {
    readonly strides?: number;
    readonly padding?: "same" | "valid" | "causal";
    readonly dilation?: number;
    readonly groups?: number;
  } = {},
): Tensor {
  expectRank("conv1d", x, 3);
  expectRank("conv1d", kernel, 3);
  const { strides = 1, padding = "valid", dilation = 1, groups = 1 } = options;
  const causal: ops.Padding = [
    [0, 0],
    [dilation * (kernel.shape[0]! - 1), 0],
  ];
  const images = conv2d(x.expandDims(1), kernel.expandDims(0), {
    strides: [1, strides],
    padding: padding === "causal" ? causal : padding,
    dilation: [1, dilation],
    groups,
  });
  return images.squeeze(1);
}

/**
 * The transposed convolution: the adjoint of `conv2d` in its images, as a layer that enlarges.
 * x: [N, H, W, F]; kernel: [KH, KW, C, F] (Keras's layout); result: [N, OH, OW, C], "same": size · stride, "valid": (size − 1) · stride + kernel.
 */
export function conv2dTranspose(
  x: Tensor,
  kernel: Tensor,
  { strides = 1, padding = "valid" }: { readonly strides?: Size; readonly padding?: "same" | "valid" } = {},
): Tensor {
  expectRank("conv2dTranspose", x, 4);
  expectRank("conv2dTranspose", kernel, 4);
  const stride = pair(strides);
  const window = [kernel.shape[0]!, kernel.shape[1]!] as const;
  const size = (i: 0 | 1): number =>
    padding === "same"
      ? x.shape[i + 1]! * stride[i]
      : (x.shape[i + 1]! - 1) * stride[i] + Math.max(window[i], stride[i]);
  const inputSize = [size(0), size(1)] as const;
  const explicit = explicitPadding(padding, { input: inputSize, window, strides: stride, dilation: [1, 1] });
  return applyMany((v, w) => ops.convInput(v, w, { strides: stride, padding: explicit, inputSize }), [x, kernel]);
}

export interface PoolOptions {
  readonly size?: Size;
  /** The size of the window unless said. */
  readonly strides?: Size;
  readonly padding?: PaddingOption;
}

function poolAttrs(
  x: Tensor,
  { size = 2, strides = size, padding = "valid" }: PoolOptions,
): { window: ops.Pair; strides: ops.Pair; padding: ops.Padding } {
  expectRank("pool", x, 4);
  const window = pair(size);
  const stride = pair(strides);
  return {
    window,
    strides: stride,
    padding: explicitPadding(padding, { input: [x.shape[1]!, x.shape[2]!], window, strides: stride, dilation: [1, 1] }),
  };
}

/** The largest of each window. x: [N, H, W, C]. */
export function maxPool2d(x: Tensor, options: PoolOptions = {}): Tensor {
  const attrs = poolAttrs(x, options);
  return apply1((v) => ops.maxPool(v, attrs), x);
}

/** The mean of each window; cells of padding do not count. x: [N, H, W, C]. */
export function averagePool2d(x: Tensor, options: PoolOptions = {}): Tensor {
  const attrs = poolAttrs(x, options);
  return apply1((v) => ops.avgPool(v, attrs), x);
}

function expectRank(where: string, x: Tensor, rank: number): void {
  if (x.rank !== rank) throw new ShapeError(where, `expected ${rank} axes: received ${formatType(x)}`);
}
