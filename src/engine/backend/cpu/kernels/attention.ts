// Attention and its gradient: kernels that hold a few rows of the scores at a time.
import type { TensorType } from "../../../core/index.ts";
import { floatBits } from "../../../plan/index.ts";
import { rule, type LowerRule, type LowerRules } from "./lowering.ts";

type AttentionAttrs = { causal: boolean; scale: number };

/** A rule for inputs q, k, v, perhaps a mask, and `others` arrays like q; `products` of queries, keys and depth are taken. */
function attended(others: number, products: number): LowerRule {
  return rule<AttentionAttrs>(({ op, attrs: { causal, scale }, inputs }) => {
    const [q, k] = inputs as [TensorType, TensorType];
    const [batch, heads, queries, depth] = q.shape as [number, number, number, number];
    const [, groups, keys] = k.shape as [number, number, number];
    const mask = inputs.length === 4 + others ? inputs[3] : undefined;
    // A mask of one batch or one head serves all of them.
    const own = [0, 1].map((axis) => Number(mask !== undefined && mask.shape[axis] !== 1));
    const sizes = [batch, heads, groups, queries, keys, depth];
    return {
      kernel: op.name,
      params: [...sizes, Number(causal), floatBits(scale), Number(mask !== undefined), ...own],
      flops: (2 * products * batch * heads * queries * keys * depth) / (causal ? 2 : 1),
    };
  });
}

/** Rules of attention. */
export const attentionRules: LowerRules = { attention: attended(0, 2), attentionGrad: attended(2, 5) };
