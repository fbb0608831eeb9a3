// Attention and its gradient: kernels that hold a few rows of the scores at a time.
import { floatBits } from "../../../plan/index.ts";
import { attentionDims, attentionInputs, type AttentionAttrs, type CachedAttentionAttrs } from "../../../ops/index.ts";
import { rule, type LowerRule, type LowerRules } from "./lowering.ts";

/** A rule for the inputs of attention and `others` arrays like q; `products` of queries, keys and depth are taken. */
function attended(others: number, products: number): LowerRule {
  return rule<AttentionAttrs>(({ op, attrs, inputs }) => {
    const { causal, scale, inside = false, rate = 0 } = attrs;
    const own = inputs.slice(0, inputs.length - others);
    const { mask, segments } = attentionInputs(own);
    const { batch, heads, groups, queries, keys, depth } = attentionDims(own, inside);
    // A mask of one batch or one head serves all of them.
    const masked = [mask !== undefined, ...[0, 1].map((axis) => mask !== undefined && mask.shape[axis] !== 1)];
    const sizes = [batch, heads, groups, queries, keys, depth];
    return {
      kernel: op.name,
      params: [
        ...sizes,
        Number(causal),
        floatBits(scale),
        ...masked.map(Number),
        Number(inside),
        Number(segments !== undefined),
        Math.ceil(rate * 2 ** 24),
        floatBits(1 / (1 - rate)),
      ],
      flops: (2 * products * batch * heads * queries * keys * depth) / (causal ? 2 : 1),
    };
  });
}

const cached: LowerRule = rule<CachedAttentionAttrs>(({ attrs, inputs: [q, k] }) => {
  const [batch, queries, heads, depth] = q!.shape as [number, number, number, number];
  const [rows, places, groups] = k!.shape as [number, number, number];
  return {
    kernel: "cachedAttention",
    params: [batch, heads, groups, queries, places, depth, rows, floatBits(attrs.scale)],
    // As if all places were filled: how many are is not known here.
    flops: 4 * batch * heads * queries * places * depth,
  };
});

/** Rules of attention. */
export const attentionRules: LowerRules = {
  cachedAttention: cached,
  attention: attended(0, 2),
  attentionGrad: attended(2, 5),
};
