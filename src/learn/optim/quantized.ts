// Optimizer states in eight bits: block-wise dynamic quantization, four codes in the bytes of an int32.
import { concat, floor, full, scan, stack, where, zeros, type Tensor } from "../../engine/tensor/index.ts";
import type { Shape } from "../../engine/core/index.ts";

/** Numbers that share one scale. */
export const BLOCK = 256;
/** Blocks of the four bytes a word holds: a chunk has 4 · blocks · 256 numbers. */
const MOST_BLOCKS = 64;

/** How a tensor is cut: `chunks` of [4, blocks, 256] numbers, the last filled up with zeros. */
export interface Cut {
  readonly chunks: number;
  readonly blocks: number;
}

/** The codes of a tensor, int32 [chunks, blocks, 256], and the scale of each block, float32 [chunks, 4, blocks]. */
export type Quantized = { readonly codes: Tensor; readonly scales: Tensor };

/** The cut of so many numbers: without padding where chunks of a fair size come out even, else with some in the last. */
export function cutOf(size: number): Cut {
  const groups = Math.ceil(size / (4 * BLOCK));
  const most = Math.min(MOST_BLOCKS, groups);
  if (size % (4 * BLOCK) === 0) {
    // Fewer than half the blocks a chunk would be many turns of little work.
    for (let blocks = most; 2 * blocks >= most; blocks--)
      if (groups % blocks === 0) return { chunks: groups / blocks, blocks };
  }
  const chunks = Math.ceil(groups / MOST_BLOCKS);
  return { chunks, blocks: Math.ceil(groups / chunks) };
}

/** The codes of zeros. */
export function quantizedZeros(size: number): Quantized {
  const { chunks, blocks } = cutOf(size);
  // Four times code 0; see `pack`.
  return { codes: full([chunks, blocks, BLOCK], -128 * 2 ** 24, "int32"), scales: zeros([chunks, 4, blocks]) };
}

/** A tensor as chunks [chunks, 4, blocks, 256]. */
export function toChunks(x: Tensor): Tensor {
  const { chunks, blocks } = cutOf(x.size);
  const whole = chunks * blocks * 4 * BLOCK;
  const flat = x.reshape([x.size]);
  const padded = whole === x.size ? flat : concat([flat, zeros([whole - x.size])], 0);
  return padded.reshape([chunks, 4, blocks, BLOCK]);
}

/** A tensor from its chunks. */
export function fromChunks(chunks: Tensor, shape: Shape): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const flat = chunks.reshape([chunks.size]);
  return (size === chunks.size ? flat : flat.slice(0, size)).reshape(shape);
}

/**
 * Runs `fn` over chunks of a tensor and of its quantized companions, one after the other, so that only one chunk is ever
 * there in 32 bits. `fn` gets and gives numbers [4, blocks, 256].
 */
export function overChunks<N extends string>(
  x: Tensor,
  companions: { readonly [name in N]: { readonly quantized: Quantized; readonly signed: boolean } },
  fn: (
    x: Tensor,
    companions: { readonly [name in N]: Tensor },
  ) => { readonly result: Tensor; readonly companions: { readonly [name in N]: Tensor } },
): { readonly result: Tensor; readonly companions: { readonly [name in N]: Quantized } } {
  const names = Object.keys(companions) as N[];
  const { ys } = scan(
    (carry: readonly Tensor[], [part, ...rest]: readonly Tensor[]) => {
      const known = names.map((name, i) => {
        const quantized = { codes: rest[2 * i]!, scales: rest[2 * i + 1]! };
        return [name, dequantize(quantized, companions[name].signed)] as const;
      });
      const next = fn(part!, Object.fromEntries(known) as { [name in N]: Tensor });
      const coded = names.flatMap((name) => {
        const { codes, scales } = quantize(next.companions[name], companions[name].signed);
        return [codes, scales];
      });
      return [carry, [next.result, ...coded]] as const;
    },
    {
      init: [] as readonly Tensor[],
      xs: [
        toChunks(x),
        ...names.flatMap((name) => [companions[name].quantized.codes, companions[name].quantized.scales]),
      ],
    },
  );
  const after = names.map((name, i) => [name, { codes: ys[1 + 2 * i]!, scales: ys[2 + 2 * i]! }]);
  return {
    result: fromChunks(ys[0], x.shape),
    companions: Object.fromEntries(after) as { [name in N]: Quantized },
  };
}

// ── codes ────────────────────────────────────────────────────────────────────
// Dettmers et al.'s dynamic data type, made by arithmetic instead of a table. Numbers q in [0, 1] fall into seven decades, of
// which the i-th ends at 10^(i−6); it is cut evenly into p = 2^i parts where there is a sign, 2^(i+1) where there is none, and a
// code p + k stands for the middle of part k. Code 0 is 0. A sign adds 128.

const DECADES = [0, 1, 2, 3, 4, 5, 6] as const;
/** The middle of the last part: the largest number of a block is given this q, and so comes back exactly. */
const topOf = (signed: boolean): number => 1 - 0.45 / (signed ? 64 : 128);
const partsOf = (decade: number, signed: boolean): number => 2 ** (signed ? decade : decade + 1);
const endOf = (decade: number): number => 10 ** (decade - 6);

// A number by decade, from the lowest up: `choose(i)` where `reached(i)` is the last that is true.
function byDecade(reached: (decade: number) => Tensor, choose: (decade: number) => number, like: Tensor): Tensor {
  return DECADES.slice(1).reduce<Tensor>((low, i) => where(reached(i), choose(i), low), full(like.shape, choose(0)));
}

/**
 * Numbers [4, blocks, 256] as codes, relative to the largest of each block. Without a sign, no number above 0 becomes 0.
 * Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization" (2022), sections 2.1 and 3.
 */
export function quantize(x: Tensor, signed: boolean): Quantized {
  const size = x.abs();
  const scales = size.max({ axis: -1 }).mul(1 / topOf(signed)); // [4, blocks]
  const q = size.div(where(scales.greater(0), scales, 1).expandDims(-1));
  const above = (i: number): Tensor => q.greater(endOf(i - 1));
  const parts = byDecade(above, (i) => partsOf(i, signed), q);
  const end = byDecade(above, endOf, q);
  const k = floor(
    q
      .div(end)
      .sub(0.1)
      .mul(parts.mul(1 / 0.9)),
  )
    .maximum(0)
    .minimum(parts.sub(1));
  const code = where(q.greater(signed ? 0.275 * endOf(0) : 0), parts.add(k), 0);
  return { codes: pack(signed ? code.add(where(x.less(0), 128, 0)) : code), scales };
}

/** Numbers [4, blocks, 256] from codes int32 [blocks, 256] and scales [4, blocks]. */
export function dequantize({ codes, scales }: Quantized, signed: boolean): Tensor {
  const byte = unpack(codes);
  const negative = byte.greaterEqual(128);
  const code = signed ? byte.sub(where(negative, 128, 0)) : byte;
  const reached = (i: number): Tensor => code.greaterEqual(partsOf(i, signed));
  const parts = byDecade(reached, (i) => partsOf(i, signed), code);
  const end = byDecade(reached, endOf, code);
  const q = end.mul(code.sub(parts).add(0.5).div(parts).mul(0.9).add(0.1));
  const size = where(code.greater(0), q, 0).mul(scales.expandDims(-1));
  return signed ? where(negative, size.neg(), size) : size;
}

// Four codes [4, …] in the bytes of an int32, the last one less 128 so that it fits with a sign.
function pack(codes: Tensor): Tensor {
  const [a, b, c, d] = [0, 1, 2, 3].map((i) =>
    codes
      .slice(i, i + 1)
      .squeeze(0)
      .cast("int32"),
  ) as [Tensor, Tensor, Tensor, Tensor];
  return a
    .add(b.mul(2 ** 8))
    .add(c.mul(2 ** 16))
    .add(d.sub(128).mul(2 ** 24));
}

// Back, as float32: all numbers on the way have at most 24 bits, so nothing is rounded.
function unpack(words: Tensor): Tensor {
  const low = words.remainder(256);
  const second = words
    .sub(low)
    .cast("float32")
    .mul(2 ** -8); // the three bytes above
  const third = floor(second.mul(2 ** -8));
  const fourth = floor(third.mul(2 ** -8));
  const parts = [low.cast("float32"), second.sub(third.mul(256)), third.sub(fourth.mul(256)), fourth.add(128)];
  return stack(parts);
}
