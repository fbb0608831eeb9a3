// Convolution and pooling: the geometry of the windows goes to the kernels as numbers.
import { rule, sizeOf, type LowerRule, type LowerRules } from "./lowering.ts";
import type { Shape } from "../../../core/index.ts";

type Pair = readonly [number, number];
type Sliding = { strides: Pair; padding: readonly [Pair, Pair] };
type ConvAttrs = Sliding & { dilation: Pair; groups: number };

// N, H, W, C, KH, KW, OH, OW, strides, padding before, dilation: `Windows` in native/windows.hpp.
function windowWords(image: Shape, window: Pair, result: Shape, attrs: Sliding & { dilation?: Pair }): number[] {
  const { strides, padding, dilation = [1, 1] } = attrs;
  return [...image, ...window, result[1]!, result[2]!, ...strides, padding[0][0], padding[1][0], ...dilation];
}

// Each product of an output position, a tap, a channel of its group and a filter is one multiply-add.
function convFlops(result: Shape, kernel: Shape): number {
  return 2 * sizeOf(result.slice(0, 3)) * sizeOf(kernel);
}

const conv: LowerRule = rule<ConvAttrs>(({ attrs, inputs, outputs }) => {
  const [x, w] = [inputs[0]!.shape, inputs[1]!.shape];
  const y = outputs[0]!.shape;
  const words = windowWords(x, [w[0]!, w[1]!], y, attrs);
  return { kernel: "conv", params: [...words, w[3]!, attrs.groups], flops: convFlops(y, w) };
});

const convInput: LowerRule = rule<ConvAttrs>(({ attrs, inputs, outputs }) => {
  const [ct, w] = [inputs[0]!.shape, inputs[1]!.shape];
  const words = windowWords(outputs[0]!.shape, [w[0]!, w[1]!], ct, attrs);
  return { kernel: "convInput", params: [...words, w[3]!, attrs.groups], flops: convFlops(ct, w) };
});

const convFilter: LowerRule = rule<ConvAttrs>(({ attrs, inputs, outputs }) => {
  const [x, ct] = [inputs[0]!.shape, inputs[1]!.shape];
  const w = outputs[0]!.shape;
  const words = windowWords(x, [w[0]!, w[1]!], ct, attrs);
  return { kernel: "convFilter", params: [...words, w[3]!, attrs.groups], flops: convFlops(ct, w) };
});

type PoolAttrs = Sliding & { window: Pair; countPadding?: boolean };

// Which operand is the image and which the pooled result; -1 is the output.
function pool(image: number, pooled: number): LowerRule {
  return rule<PoolAttrs>(({ op, attrs, inputs, outputs }) => {
    const shape = (i: number): Shape => (i < 0 ? outputs[0]! : inputs[i]!).shape;
    const words = windowWords(shape(image), attrs.window, shape(pooled), attrs);
    const count = attrs.countPadding === undefined ? [] : [Number(attrs.countPadding)];
    return { kernel: op.name, params: [...words, ...count], flops: sizeOf(shape(pooled)) * sizeOf(attrs.window) };
  });
}

/** Rules of convolution and pooling. */
export const windowRules: LowerRules = {
  conv,
  convInput,
  convFilter,
  maxPool: pool(0, -1),
  maxPoolGather: pool(0, -1),
  maxPoolScatter: pool(0, 1),
  avgPool: pool(0, -1),
  avgPoolSpread: pool(-1, 0),
};
