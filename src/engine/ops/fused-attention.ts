// Scaled dot-product attention with grouped heads, causal order, masks, documents and dropout.
import type { OpRecord, Value } from "../program/index.ts";
import {
  attentionDims,
  attentionInputs,
  attentionSample as sample,
  documents,
  dropped,
  expectAttrs,
  extrasOf,
  outside,
  SWAP,
  together,
  unswapped,
  weightsOf,
  type AttentionAttrs,
  type AttentionExtras,
} from "./attention-parts.ts";
import { matmul } from "./contract.ts";
import { bind1, float, withOp, type OpFunction } from "./define.ts";
import { attentionGrad } from "./fused-attention-grad.ts";
import { reshape, transpose } from "./layout.ts";

export {
  attentionDims,
  attentionInputs,
  type AttentionAttrs,
  type AttentionDims,
  type AttentionExtras,
  type AttentionInputs,
} from "./attention-parts.ts";

const attentionOp: OpRecord<AttentionAttrs> = {
  name: "attention",
  doc: "Each query's mean of the values, weighted by softmax over the keys it may see: `softmax(scale · q kᵀ) v` (Vaswani et al. 2017); head h reads group ⌊h·G/H⌋ of keys (Ainslie et al. 2023). Causal: query t sees keys up to t + S − T, the last query all. Segments: it sees keys with its own number. A query that sees no key gives 0. With a rate the weights [B,H,T,S] are dropped as `dropout` with the key drops them (Srivastava et al. 2014).",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, attrs) => {
    attentionDims(types, attrs.inside);
    expectAttrs("attention", types, attrs);
    return [{ dtype: "float32", shape: types[0]!.shape }];
  },
  decompose: (inputs, attrs) => {
    if (attrs.inside === true) {
      return attentionOp.decompose!(outside(inputs), { ...attrs, inside: false }).map((y) => transpose(y, SWAP));
    }
    const { q, v } = attentionInputs(inputs);
    const weights = dropped(weightsOf(inputs, attrs), inputs, attrs);
    return [reshape(matmul(together(weights, inputs), v), q.shape)];
  },
  vjp: ({ inputs, outputs: [output], attrs, cts: [ct] }) => {
    const { q, ...rest } = attentionInputs(inputs);
    const gradients = attentionGrad(q, { ...rest, output: output!, ct: ct! }, attrs);
    return inputs.map((_, i) => gradients[i]);
  },
  simplify: ({ inputs, attrs, producer }) => {
    const rows = attrs.inside === true ? undefined : unswapped(inputs, producer);
    if (rows === undefined) return undefined;
    return [transpose(bind1(attentionOp, rows, { ...attrs, inside: true }), SWAP)];
  },
  samples: [
    sample([1, 3, 2, 4], [1, 3, 2, 4], { causal: true, scale: 0.5, inside: true }),
    sample(
      [2, 5, 4, 19],
      [2, 7, 2, 19],
      { causal: false, scale: 0.3, inside: true },
      { mask: { shape: [2, 4, 5, 7] } },
    ),
    sample([2, 1, 4, 5], [2, 9, 2, 5], { causal: true, scale: 0.3, inside: true }),
    sample([1, 2, 3, 4], [1, 2, 3, 4], { causal: false, scale: 0.5 }),
    sample([1, 2, 3, 4], [1, 2, 3, 4], { causal: true, scale: 0.5 }),
    sample([2, 4, 3, 2], [2, 2, 5, 2], { causal: true, scale: 0.7 }),
    sample([1, 3, 2, 2], [1, 1, 4, 2], { causal: false, scale: 1 }),
    sample([1, 1, 4, 2], [1, 1, 2, 2], { causal: true, scale: 1 }),
    sample([2, 2, 3, 2], [2, 1, 3, 2], { causal: false, scale: 1 }, { mask: { shape: [2, 1, 3, 3] } }),
    sample([1, 2, 3, 2], [1, 2, 3, 2], { causal: true, scale: 1 }, { mask: { shape: [1, 2, 3, 3] } }),
    sample(
      [1, 2, 2, 2],
      [1, 2, 3, 2],
      { causal: false, scale: 1 },
      { mask: { shape: [1, 1, 2, 3], values: [0, 0, 0, 1, 0, 1] } },
    ),
    sample([0, 2, 3, 2], [0, 2, 3, 2], { causal: false, scale: 1 }),
    sample([1, 2, 19, 8], [1, 1, 19, 8], { causal: true, scale: 0.35 }),
    // Past the tiles of the kernels (64 queries, 128 keys), and depths that are no whole vectors.
    sample([1, 2, 66, 1], [1, 1, 131, 1], { causal: true, scale: 0.7 }, { mask: { shape: [1, 2, 66, 131] } }),
    sample([2, 2, 5, 19], [2, 1, 7, 19], { causal: false, scale: 0.2 }, { mask: { shape: [1, 2, 5, 7] } }),
    sample([1, 1, 130, 1], [1, 1, 66, 1], { causal: true, scale: 0.7 }),
    sample([1, 1, 70, 2], [1, 1, 75, 2], { causal: true, scale: 0.7 }),
    // A step of decoding.
    sample([2, 4, 1, 19], [2, 2, 37, 19], { causal: true, scale: 0.3 }),
    sample([1, 2, 1, 33], [1, 1, 5, 33], { causal: false, scale: 0.3 }, { mask: { shape: [1, 2, 1, 5] } }),
    // Weights dropped: rows that begin at odd places, one row, past the tiles, with a mask, heads inside.
    sample([1, 2, 3, 4], [1, 2, 3, 4], { causal: true, scale: 0.5, rate: 0.4 }),
    sample([2, 4, 3, 2], [2, 2, 5, 2], { causal: false, scale: 0.7, rate: 0.1 }, { mask: { shape: [2, 1, 3, 5] } }),
    sample([1, 2, 1, 5], [1, 1, 37, 5], { causal: true, scale: 0.3, rate: 0.5 }),
    sample([1, 1, 66, 1], [1, 1, 261, 1], { causal: true, scale: 0.7, rate: 0.25 }),
    sample([2, 5, 4, 19], [2, 5, 2, 19], { causal: true, scale: 0.3, inside: true, rate: 0.2 }),
    // Documents, also such that come back, and with weights dropped.
    sample([2, 2, 4, 3], [2, 1, 4, 3], { causal: true, scale: 0.5 }, { segments: { shape: [2, 4] } }),
    sample([2, 5, 2, 3], [2, 5, 2, 3], { causal: false, scale: 0.5, inside: true }, { segments: { shape: [2, 5] } }),
    sample(
      [1, 1, 150, 2],
      [1, 1, 150, 2],
      { causal: true, scale: 0.7 },
      { segments: { shape: [1, 150], values: documents(30, 1, 50, 69) } },
    ),
    sample(
      [1, 2, 9, 3],
      [1, 1, 9, 3],
      { causal: true, scale: 0.7, rate: 0.3 },
      { segments: { shape: [1, 9], values: documents(2, 4, 3) }, mask: { shape: [1, 1, 9, 9] } },
    ),
  ],
  errors: [
    { ...sample([1, 3, 2, 2], [1, 2, 2, 2], { causal: false, scale: 1 }), message: "do not divide 3 heads" },
    { ...sample([1, 2, 2, 2], [1, 2, 2, 3], { causal: false, scale: 1 }), message: "the B and D of q" },
    { ...sample([1, 2, 2, 2], [1, 2, 0, 2], { causal: false, scale: 1 }), message: "at least one key" },
    {
      ...sample([1, 2, 2, 2], [1, 2, 2, 2], { causal: false, scale: 1 }, { mask: { shape: [1, 2, 1, 2] } }),
      message: "[B or 1, H or 1, T, S]",
    },
    { ...sample([1, 2, 2, 2], [1, 2, 2, 2], { causal: false, scale: NaN }), message: "must be finite" },
    {
      inputs: [float([1, 1, 2, 2]), float([1, 1, 2, 2]), float([1, 1, 2, 2]), float([1, 1, 2, 2])],
      attrs: { causal: false, scale: 1 },
      message: "the mask is bool",
    },
    {
      ...sample([1, 2, 2, 2], [1, 2, 3, 2], { causal: true, scale: 1 }, { segments: { shape: [1, 2] } }),
      message: "with as many keys as queries",
    },
    { ...sample([1, 2, 2, 2], [1, 2, 2, 2], { causal: true, scale: 1, rate: 1 }), message: "`rate` must be in [0, 1)" },
    {
      inputs: [float([1, 1, 2, 2]), float([1, 1, 2, 2]), float([1, 1, 2, 2])],
      attrs: { causal: false, scale: 1, rate: 0.5 },
      message: "a key is given where weights are dropped",
    },
    {
      inputs: [...[0, 1, 2].map(() => float([1, 1, 2, 2])), { dtype: "uint32", shape: [3] }],
      attrs: { causal: false, scale: 1, rate: 0.5 },
      message: "a key is uint32[2]",
    },
  ],
  terms: (types, { inside }) => {
    const { keys, depth } = attentionDims(types, inside);
    return keys + depth;
  },
};

/** Attention of q [B,H,T,D] over k and v [B,G,S,D]; `scale` is 1/√D unless said. */
export const attention: OpFunction<
  (
    q: Value,
    rest: { readonly k: Value; readonly v: Value } & AttentionExtras,
    options?: Partial<AttentionAttrs>,
  ) => Value,
  AttentionAttrs
> = withOp(
  attentionOp,
  (q, { k, v, ...extras }, { causal = false, scale = 1 / Math.sqrt(q.shape.at(-1) ?? 1), rate = 0 } = {}) =>
    bind1(attentionOp, [q, k, v, ...extrasOf(extras)], { causal, scale, ...(rate === 0 ? {} : { rate }) }),
);
