// Attention and its gradient: kernels that hold a few rows of the scores at a time.
import { floatBits } from "../../../plan/index.ts";
import { attentionDims, type AttentionAttrs } from "../../../ops/index.ts";
import { rule, type LowerRule, type LowerRules } from "./lowering.ts";

/** A rule for inputs q, k, v, perhaps a mask, and `others` arrays like q; `products` of queries, keys and depth are taken. */
function attended(others: number, products: number): LowerRule {
  return rule<AttentionAttrs>(({ op, attrs, inputs }) => {
    const { causal, scale, inside = false } = attrs;
    const mask = inputs.length === 4 + others ? inputs[3] : undefined;
    const { batch, heads, groups, queries, keys, depth } = attentionDims(
      inputs.slice(0, inputs.length - others),
      inside,
    );
    // A mask of one batch or one head serves all of them.
    const own = [0, 1].map((axis) => Number(mask !== undefined && mask.shape[axis] !== 1));
    const sizes = [batch, heads, groups, queries, keys, depth];
    return {
      kernel: op.name,
      params: [...sizes, Number(causal), floatBits(scale), Number(mask !== undefined), ...own, Number(inside)],
      flops: (2 * products * batch * heads * queries * keys * depth) / (causal ? 2 : 1),
    };
  });
}

/** Rules of attention. */
export const attentionRules: LowerRules = { attention: attended(0, 2), attentionGrad: attended(2, 5) };
