// The gradient of attention: the weights are computed again, tile by tile in a kernel, and dropped by the same key.
import { formatType, sameShape, ShapeError } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { mul, sub } from "./arith.ts";
import {
  attentionDims,
  attentionInputs,
  attentionSample,
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
import { bind, float, withOp, type OpFunction } from "./define.ts";
import { scaled, spread } from "./fused-parts.ts";
import { reshape, sum, transpose } from "./layout.ts";

const gradSample = (...[q, ...rest]: Parameters<typeof attentionSample>): ReturnType<typeof attentionSample> => {
  const forward = attentionSample(q, ...rest);
  return { ...forward, inputs: [...forward.inputs, float(q), float(q)] };
};

const attentionGradOp: OpRecord<AttentionAttrs> = {
  name: "attentionGrad",
  doc: "Cotangents of attention's q, k, v from its output y and the cotangent of that, with the weights `P = softmax(scale · q kᵀ)` and `dS = scale · P · (M · ct vᵀ − Σ ct · y)`: `dq = dS k`, `dk = dSᵀ q`, `dv = (M · P)ᵀ ct`; M is 1, or 0 where a weight is dropped and 1/(1 − rate) elsewhere (Dao et al. 2022).",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, attrs) => {
    const [q, k, v] = types;
    const [output, ct] = types.slice(-2);
    if (types.length < 5 || types.length > 8) {
      throw new ShapeError(
        "attentionGrad",
        `takes q, k, v, perhaps a mask, segments and a key, the output and its cotangent: received ${types.length} inputs`,
      );
    }
    attentionDims(types.slice(0, -2), attrs.inside);
    expectAttrs("attentionGrad", types.slice(0, -2), attrs);
    if ([output, ct].some((type) => type!.dtype !== "float32" || !sameShape(type!.shape, q!.shape))) {
      throw new ShapeError(
        "attentionGrad",
        `the output and its cotangent have the type of q: received ${types.map(formatType).join(" and ")}`,
      );
    }
    return [q!, k!, v!].map(({ shape }) => ({ dtype: "float32", shape }));
  },
  decompose: (inputs, attrs) => {
    if (attrs.inside === true) {
      return attentionGradOp.decompose!(outside(inputs), { ...attrs, inside: false }).map((x) => transpose(x, SWAP));
    }
    const forward = inputs.slice(0, -2);
    const [output, ct] = inputs.slice(-2) as [Value, Value];
    const { q, k, v } = attentionInputs(forward);
    const weights = weightsOf(forward, attrs);
    const grouped = together(ct, forward);
    const dv = matmul(together(dropped(weights, forward, attrs), forward), grouped, { transposeA: true });
    const dweights = dropped(reshape(matmul(grouped, v, { transposeB: true }), weights.shape), forward, attrs);
    // Σⱼ Pⱼ · dPⱼ of a row is Σ ct · y: one number a query, without the weights.
    const inner = spread(sum(mul(ct, output), 3), weights, [3]);
    const dscores = together(scaled(mul(weights, sub(dweights, inner)), attrs.scale), forward);
    const dq = reshape(matmul(dscores, k), q.shape);
    return [dq, matmul(dscores, together(q, forward), { transposeA: true }), dv];
  },
  simplify: ({ inputs, attrs, producer }) => {
    const rows = attrs.inside === true ? undefined : unswapped(inputs, producer);
    if (rows === undefined) return undefined;
    return bind(attentionGradOp, rows, { ...attrs, inside: true }).map((x) => transpose(x, SWAP));
  },
  samples: [
    gradSample([1, 3, 2, 4], [1, 3, 2, 4], { causal: true, scale: 0.5, inside: true }),
    gradSample(
      [2, 5, 4, 19],
      [2, 7, 2, 19],
      { causal: false, scale: 0.3, inside: true },
      { mask: { shape: [2, 4, 5, 7] } },
    ),
    gradSample([1, 70, 2, 2], [1, 70, 1, 2], { causal: true, scale: 0.7, inside: true }),
    gradSample([1, 1, 2, 2], [1, 1, 2, 2], { causal: true, scale: 0.5 }),
    gradSample([1, 2, 3, 4], [1, 2, 3, 4], { causal: false, scale: 0.5 }),
    gradSample([2, 4, 3, 2], [2, 2, 5, 2], { causal: true, scale: 0.7 }),
    gradSample([1, 1, 4, 2], [1, 1, 2, 2], { causal: true, scale: 1 }),
    gradSample([2, 2, 3, 2], [2, 1, 3, 2], { causal: false, scale: 1 }, { mask: { shape: [2, 1, 3, 3] } }),
    gradSample(
      [1, 2, 2, 2],
      [1, 2, 3, 2],
      { causal: false, scale: 1 },
      { mask: { shape: [1, 1, 2, 3], values: [0, 0, 0, 1, 0, 1] } },
    ),
    gradSample([0, 2, 3, 2], [0, 2, 3, 2], { causal: false, scale: 1 }),
    gradSample([1, 2, 19, 8], [1, 1, 19, 8], { causal: true, scale: 0.35 }),
    // Past the tiles of the kernels (64 queries, 128 keys), and depths that are no whole vectors.
    gradSample([1, 2, 66, 1], [1, 1, 131, 1], { causal: true, scale: 0.7 }, { mask: { shape: [1, 2, 66, 131] } }),
    gradSample([2, 2, 5, 19], [2, 1, 7, 19], { causal: false, scale: 0.2 }, { mask: { shape: [1, 2, 5, 7] } }),
    gradSample([1, 1, 130, 1], [1, 1, 66, 1], { causal: true, scale: 0.7 }),
    gradSample([1, 1, 70, 2], [1, 1, 75, 2], { causal: true, scale: 0.7 }),
    // Weights dropped, and documents.
    gradSample([1, 1, 2, 2], [1, 1, 2, 2], { causal: true, scale: 0.5, rate: 0.4 }),
    gradSample([2, 4, 3, 2], [2, 2, 5, 2], { causal: false, scale: 0.7, rate: 0.1 }, { mask: { shape: [2, 1, 3, 5] } }),
    gradSample([1, 1, 66, 1], [1, 1, 261, 1], { causal: true, scale: 0.7, rate: 0.25 }),
    gradSample([2, 5, 4, 19], [2, 5, 2, 19], { causal: true, scale: 0.3, inside: true, rate: 0.2 }),
    gradSample([2, 2, 4, 3], [2, 1, 4, 3], { causal: true, scale: 0.5 }, { segments: { shape: [2, 4] } }),
    gradSample(
      [2, 5, 2, 3],
      [2, 5, 2, 3],
      { causal: false, scale: 0.5, inside: true },
      { segments: { shape: [2, 5] } },
    ),
    gradSample(
      [1, 1, 150, 2],
      [1, 1, 150, 2],
      { causal: true, scale: 0.7, rate: 0.3 },
      { segments: { shape: [1, 150], values: documents(30, 1, 50, 69) } },
    ),
  ],
  errors: [
    {
      inputs: [0, 1, 2, 3].map(() => float([1, 1, 2, 2])),
      attrs: { causal: false, scale: 1 },
      message: "received 4 inputs",
    },
    {
      inputs: [...[0, 1, 2, 3].map(() => float([1, 1, 2, 2])), float([1, 1, 2, 3])],
      attrs: { causal: false, scale: 1 },
      message: "have the type of q",
    },
    { ...gradSample([1, 1, 2, 2], [1, 1, 2, 2], { causal: false, scale: Infinity }), message: "must be finite" },
  ],
  terms: (types, { inside }) => {
    const { heads, groups, queries, keys, depth } = attentionDims(types.slice(0, -2), inside);
    return keys + depth + (heads / groups) * queries;
  },
};

/** Cotangents [dq, dk, dv] of `attention` from its output and the cotangent `ct` of that. */
export const attentionGrad: OpFunction<
  (
    q: Value,
    rest: { readonly k: Value; readonly v: Value; readonly output: Value; readonly ct: Value } & AttentionExtras,
    options: AttentionAttrs,
  ) => readonly Value[],
  AttentionAttrs
> = withOp(attentionGradOp, (q, { k, v, output, ct, ...extras }, attrs) =>
  bind(attentionGradOp, [q, k, v, ...extrasOf(extras), output, ct], attrs),
);
