// Scaled dot-product attention with grouped heads, causal order and masks, and its gradient.
import {
  ArgumentError,
  DtypeError,
  formatType,
  sameShape,
  ShapeError,
  type DType,
  type TensorType,
} from "../core/index.ts";
import { anyOp, type Equation, type OpRecord, type Value } from "../program/index.ts";
import { mul, sub } from "./arith.ts";
import { lessEqual, logicalAnd, where } from "./compare.ts";
import { matmul } from "./contract.ts";
import { fullLike, iota, zerosLike } from "./create.ts";
import { bind, bind1, expectDtype, float, withOp, type OpFunction } from "./define.ts";
import { scaled, shifted, spread } from "./fused-parts.ts";
import { softmax } from "./fused-softmax.ts";
import { broadcast, reshape, sum, transpose } from "./layout.ts";

/** What attention is told: `inside` where heads lie inside rows, q [B,T,H,D] and k, v [B,S,G,D], the result too. */
export type AttentionAttrs = { readonly causal: boolean; readonly scale: number; readonly inside?: boolean };

// Low enough that e^x is 0 beside any real score, and finite, so that rows without an allowed key meet no ∞ − ∞.
const FORBIDDEN = -1e30;

/** Sizes of an attention: H query heads in G groups, T queries and S keys of depth D. */
export interface AttentionDims {
  readonly batch: number;
  readonly heads: number;
  readonly groups: number;
  readonly queries: number;
  readonly keys: number;
  readonly depth: number;
}

// [B,H,T,D] and [B,T,H,D] are each other's.
const SWAP = [0, 2, 1, 3];

function swapAxes<T>(shape: readonly T[]): readonly T[] {
  return shape.length === 4 ? SWAP.map((axis) => shape[axis]!) : shape;
}

// The inputs with their heads outside, mask aside: what the decompositions are written for.
function outside(inputs: readonly Value[], masked: boolean): Value[] {
  return inputs.map((x, i) => (masked && i === 3 ? x : transpose(x, SWAP)));
}

// Whether all inputs are arrays with their heads inside, turned around: then these arrays, which are read as they lie.
function unswapped(
  inputs: readonly Value[],
  masked: boolean,
  producer: (value: Value) => Equation | undefined,
): Value[] | undefined {
  const found = inputs.map((x, i) => {
    if (masked && i === 3) return x;
    const maker = producer(x);
    const turned = maker?.op === anyOp(transpose.op);
    const { permutation } = (turned ? maker.attrs : { permutation: [] }) as { permutation: readonly number[] };
    return turned && permutation.length === 4 && SWAP.every((axis, j) => permutation[j] === axis)
      ? maker.inputs[0]!
      : undefined;
  });
  return found.every((x) => x !== undefined) ? found : undefined;
}

/** Reads the sizes off the inputs q [B,H,T,D], k and v [B,G,S,D], mask [B|1, H|1, T, S]; refuses what does not fit. */
export function attentionDims(types: readonly TensorType[], inside = false): AttentionDims {
  if (inside) {
    const swapped = types.map((type, i) => (i < 3 ? { ...type, shape: swapAxes(type.shape) } : type));
    return attentionDims(swapped);
  }
  const fail = (problem: string): ShapeError =>
    new ShapeError("attention", `${problem}: received ${types.map(formatType).join(" and ")}`);
  if (types.length !== 3 && types.length !== 4) throw fail("takes q, k, v and perhaps a mask");
  const [q, k, v, mask] = types as [TensorType, TensorType, TensorType, TensorType | undefined];
  expectDtype("attention", [q, k, v], ["float32"]);
  if (q.shape.length !== 4 || k.shape.length !== 4) throw fail("expected q [B,H,T,D] and k [B,G,S,D]");
  const [batch, heads, queries, depth] = q.shape as [number, number, number, number];
  const [, groups, keys] = k.shape as [number, number, number, number];
  const expected = [batch, groups, keys, depth];
  if ([k, v].some(({ shape }) => shape.length !== 4 || shape.some((n, i) => n !== expected[i]))) {
    throw fail("k and v are [B,G,S,D] with the B and D of q");
  }
  if (groups === 0 || heads % groups !== 0) throw fail(`${groups} groups of keys do not divide ${heads} heads`);
  if (keys === 0) throw fail("needs at least one key");
  if (mask !== undefined) {
    if (mask.dtype !== "bool") {
      throw new DtypeError("attention", `the mask is bool, true where a query may look: received ${formatType(mask)}`);
    }
    const fits =
      mask.shape.length === 4 &&
      [batch, heads].every((n, i) => mask.shape[i] === n || mask.shape[i] === 1) &&
      mask.shape[2] === queries &&
      mask.shape[3] === keys;
    if (!fits) throw fail("the mask is [B or 1, H or 1, T, S]");
  }
  return { batch, heads, groups, queries, keys, depth };
}

const sample = (
  q: readonly number[],
  k: readonly number[],
  attrs: AttentionAttrs,
  mask?: { shape: readonly number[]; values?: readonly number[] },
): OpRecord<AttentionAttrs>["samples"][number] => ({
  inputs: [
    float(q),
    float(k),
    float(k),
    ...(mask === undefined ? [] : [{ dtype: "bool" as DType, low: 0, high: 1, ...mask }]),
  ],
  attrs,
});

function expectScale(name: string, scale: number): void {
  if (!Number.isFinite(scale)) throw new ArgumentError(name, `\`scale\` must be finite: received ${scale}`);
}

// The heads of one group stand side by side, so their queries are one longer list: keys are never repeated.
function together(x: Value, types: readonly TensorType[]): Value {
  const { batch, heads, groups, queries } = attentionDims(types);
  return reshape(x, [batch, groups, (heads / groups) * queries, x.shape[3]!]);
}

// The weights [B,H,T,S] of q, k, v and perhaps a mask.
function weightsOf(inputs: readonly Value[], { causal, scale }: AttentionAttrs): Value {
  const [q, k, , mask] = inputs as [Value, Value, Value, Value | undefined];
  const { batch, heads, queries, keys } = attentionDims(inputs);
  const scores = [batch, heads, queries, keys];
  const grouped = matmul(together(q, inputs), k, { transposeB: true });
  const allowed = combine(mask && broadcast(mask, scores), causal ? causalMask(queries, keys, scores) : undefined);
  let x = scaled(reshape(grouped, scores), scale);
  if (allowed !== undefined) x = where(allowed, x, fullLike(FORBIDDEN, x));
  const weights = softmax(x, 3);
  return allowed === undefined ? weights : where(allowed, weights, zerosLike(weights));
}

const attentionOp: OpRecord<AttentionAttrs> = {
  name: "attention",
  doc: "Each query's mean of the values, weighted by softmax over the keys it may see: `softmax(scale · q kᵀ) v` (Vaswani et al. 2017); head h reads group ⌊h·G/H⌋ of keys (Ainslie et al. 2023). Causal: query t sees keys up to t + S − T, the last query all. A query that sees no key gives 0.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { scale, inside }) => {
    attentionDims(types, inside);
    expectScale("attention", scale);
    return [{ dtype: "float32", shape: types[0]!.shape }];
  },
  decompose: (inputs, attrs) => {
    if (attrs.inside === true) {
      const plain = outside(inputs, inputs.length === 4);
      return attentionOp.decompose!(plain, { ...attrs, inside: false }).map((y) => transpose(y, SWAP));
    }
    const [q, , v] = inputs as [Value, Value, Value];
    return [reshape(matmul(together(weightsOf(inputs, attrs), inputs), v), q.shape)];
  },
  vjp: ({ inputs: [q, k, v, mask], outputs: [output], attrs, cts: [ct] }) => {
    const [dq, dk, dv] = attentionGrad(q!, { k: k!, v: v!, mask, output: output!, ct: ct! }, attrs);
    return mask === undefined ? [dq, dk, dv] : [dq, dk, dv, undefined];
  },
  simplify: ({ inputs, attrs, producer }) => {
    const rows = attrs.inside === true ? undefined : unswapped(inputs, inputs.length === 4, producer);
    if (rows === undefined) return undefined;
    return [transpose(bind1(attentionOp, rows, { ...attrs, inside: true }), SWAP)];
  },
  samples: [
    sample([1, 3, 2, 4], [1, 3, 2, 4], { causal: true, scale: 0.5, inside: true }),
    sample([2, 5, 4, 19], [2, 7, 2, 19], { causal: false, scale: 0.3, inside: true }, { shape: [2, 4, 5, 7] }),
    sample([2, 1, 4, 5], [2, 9, 2, 5], { causal: true, scale: 0.3, inside: true }),
    sample([1, 2, 3, 4], [1, 2, 3, 4], { causal: false, scale: 0.5 }),
    sample([1, 2, 3, 4], [1, 2, 3, 4], { causal: true, scale: 0.5 }),
    sample([2, 4, 3, 2], [2, 2, 5, 2], { causal: true, scale: 0.7 }),
    sample([1, 3, 2, 2], [1, 1, 4, 2], { causal: false, scale: 1 }),
    sample([1, 1, 4, 2], [1, 1, 2, 2], { causal: true, scale: 1 }),
    sample([2, 2, 3, 2], [2, 1, 3, 2], { causal: false, scale: 1 }, { shape: [2, 1, 3, 3] }),
    sample([1, 2, 3, 2], [1, 2, 3, 2], { causal: true, scale: 1 }, { shape: [1, 2, 3, 3] }),
    sample(
      [1, 2, 2, 2],
      [1, 2, 3, 2],
      { causal: false, scale: 1 },
      { shape: [1, 1, 2, 3], values: [0, 0, 0, 1, 0, 1] },
    ),
    sample([0, 2, 3, 2], [0, 2, 3, 2], { causal: false, scale: 1 }),
    sample([1, 2, 19, 8], [1, 1, 19, 8], { causal: true, scale: 0.35 }),
    // Past the tiles of the kernels (64 queries, 128 keys), and depths that are no whole vectors.
    sample([1, 2, 66, 1], [1, 1, 131, 1], { causal: true, scale: 0.7 }, { shape: [1, 2, 66, 131] }),
    sample([2, 2, 5, 19], [2, 1, 7, 19], { causal: false, scale: 0.2 }, { shape: [1, 2, 5, 7] }),
    sample([1, 1, 130, 1], [1, 1, 66, 1], { causal: true, scale: 0.7 }),
    sample([1, 1, 70, 2], [1, 1, 75, 2], { causal: true, scale: 0.7 }),
    // A step of decoding.
    sample([2, 4, 1, 19], [2, 2, 37, 19], { causal: true, scale: 0.3 }),
    sample([1, 2, 1, 33], [1, 1, 5, 33], { causal: false, scale: 0.3 }, { shape: [1, 2, 1, 5] }),
  ],
  errors: [
    { ...sample([1, 3, 2, 2], [1, 2, 2, 2], { causal: false, scale: 1 }), message: "do not divide 3 heads" },
    { ...sample([1, 2, 2, 2], [1, 2, 2, 3], { causal: false, scale: 1 }), message: "the B and D of q" },
    { ...sample([1, 2, 2, 2], [1, 2, 0, 2], { causal: false, scale: 1 }), message: "at least one key" },
    {
      ...sample([1, 2, 2, 2], [1, 2, 2, 2], { causal: false, scale: 1 }, { shape: [1, 2, 1, 2] }),
      message: "[B or 1, H or 1, T, S]",
    },
    { ...sample([1, 2, 2, 2], [1, 2, 2, 2], { causal: false, scale: NaN }), message: "must be finite" },
    {
      inputs: [float([1, 1, 2, 2]), float([1, 1, 2, 2]), float([1, 1, 2, 2]), float([1, 1, 2, 2])],
      attrs: { causal: false, scale: 1 },
      message: "the mask is bool",
    },
  ],
  terms: (types, { inside }) => {
    const { keys, depth } = attentionDims(types, inside);
    return keys + depth;
  },
};

function combine(a: Value | undefined, b: Value | undefined): Value | undefined {
  return a === undefined ? b : b === undefined ? a : logicalAnd(a, b);
}

// The last query sees all keys: a step of decoding with cached keys is the last row of the whole.
function causalMask(queries: number, keys: number, shape: readonly number[]): Value {
  const key = iota([queries, keys], 1, "int32");
  const last = shifted(iota([queries, keys], 0, "int32"), keys - queries);
  return broadcast(lessEqual(key, last), shape);
}

/** Attention of q [B,H,T,D] over k and v [B,G,S,D]; `scale` is 1/√D unless said. */
export const attention: OpFunction<
  (q: Value, kv: { k: Value; v: Value; mask?: Value | undefined }, options?: Partial<AttentionAttrs>) => Value,
  AttentionAttrs
> = withOp(attentionOp, (q, { k, v, mask }, { causal = false, scale = 1 / Math.sqrt(q.shape.at(-1) ?? 1) } = {}) =>
  bind1(attentionOp, mask === undefined ? [q, k, v] : [q, k, v, mask], { causal, scale }),
);

const gradSample = (
  q: readonly number[],
  k: readonly number[],
  attrs: AttentionAttrs,
  mask?: { shape: readonly number[]; values?: readonly number[] },
): OpRecord<AttentionAttrs>["samples"][number] => {
  const forward = sample(q, k, attrs, mask);
  return { ...forward, inputs: [...forward.inputs, float(q), float(q)] };
};

const attentionGradOp: OpRecord<AttentionAttrs> = {
  name: "attentionGrad",
  doc: "Cotangents of attention's q, k, v from its output y and the cotangent of that, with the weights `P = softmax(scale · q kᵀ)` and `dS = scale · P · (ct vᵀ − Σ ct · y)`: `dq = dS k`, `dk = dSᵀ q`, `dv = Pᵀ ct` (Dao et al. 2022).",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { scale, inside }) => {
    const [q, k, v] = types;
    const [output, ct] = types.slice(-2);
    if (types.length !== 5 && types.length !== 6) {
      throw new ShapeError(
        "attentionGrad",
        `takes q, k, v, perhaps a mask, the output and its cotangent: received ${types.length} inputs`,
      );
    }
    attentionDims(types.slice(0, -2), inside);
    expectScale("attentionGrad", scale);
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
      const plain = outside(inputs, inputs.length === 6);
      return attentionGradOp.decompose!(plain, { ...attrs, inside: false }).map((x) => transpose(x, SWAP));
    }
    const forward = inputs.slice(0, -2);
    const [output, ct] = inputs.slice(-2) as [Value, Value];
    const [q, k, v] = forward as [Value, Value, Value];
    const weights = weightsOf(forward, attrs);
    const grouped = together(ct, forward);
    const dv = matmul(together(weights, forward), grouped, { transposeA: true });
    const dweights = reshape(matmul(grouped, v, { transposeB: true }), weights.shape);
    // Σⱼ Pⱼ · dPⱼ of a row is Σ ct · y: one number a query, without the weights.
    const inner = spread(sum(mul(ct, output), 3), weights, [3]);
    const dscores = together(scaled(mul(weights, sub(dweights, inner)), attrs.scale), forward);
    const dq = reshape(matmul(dscores, k), q.shape);
    return [dq, matmul(dscores, together(q, forward), { transposeA: true }), dv];
  },
  simplify: ({ inputs, attrs, producer }) => {
    const rows = attrs.inside === true ? undefined : unswapped(inputs, inputs.length === 6, producer);
    if (rows === undefined) return undefined;
    return bind(attentionGradOp, rows, { ...attrs, inside: true }).map((x) => transpose(x, SWAP));
  },
  samples: [
    gradSample([1, 3, 2, 4], [1, 3, 2, 4], { causal: true, scale: 0.5, inside: true }),
    gradSample([2, 5, 4, 19], [2, 7, 2, 19], { causal: false, scale: 0.3, inside: true }, { shape: [2, 4, 5, 7] }),
    gradSample([1, 70, 2, 2], [1, 70, 1, 2], { causal: true, scale: 0.7, inside: true }),
    gradSample([1, 1, 2, 2], [1, 1, 2, 2], { causal: true, scale: 0.5 }),
    gradSample([1, 2, 3, 4], [1, 2, 3, 4], { causal: false, scale: 0.5 }),
    gradSample([2, 4, 3, 2], [2, 2, 5, 2], { causal: true, scale: 0.7 }),
    gradSample([1, 1, 4, 2], [1, 1, 2, 2], { causal: true, scale: 1 }),
    gradSample([2, 2, 3, 2], [2, 1, 3, 2], { causal: false, scale: 1 }, { shape: [2, 1, 3, 3] }),
    gradSample(
      [1, 2, 2, 2],
      [1, 2, 3, 2],
      { causal: false, scale: 1 },
      { shape: [1, 1, 2, 3], values: [0, 0, 0, 1, 0, 1] },
    ),
    gradSample([0, 2, 3, 2], [0, 2, 3, 2], { causal: false, scale: 1 }),
    gradSample([1, 2, 19, 8], [1, 1, 19, 8], { causal: true, scale: 0.35 }),
    // Past the tiles of the kernels (64 queries, 128 keys), and depths that are no whole vectors.
    gradSample([1, 2, 66, 1], [1, 1, 131, 1], { causal: true, scale: 0.7 }, { shape: [1, 2, 66, 131] }),
    gradSample([2, 2, 5, 19], [2, 1, 7, 19], { causal: false, scale: 0.2 }, { shape: [1, 2, 5, 7] }),
    gradSample([1, 1, 130, 1], [1, 1, 66, 1], { causal: true, scale: 0.7 }),
    gradSample([1, 1, 70, 2], [1, 1, 75, 2], { causal: true, scale: 0.7 }),
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
    rest: { k: Value; v: Value; mask?: Value | undefined; output: Value; ct: Value },
    options: AttentionAttrs,
  ) => readonly Value[],
  AttentionAttrs
> = withOp(attentionGradOp, (q, { k, v, mask, output, ct }, attrs) =>
  bind(attentionGradOp, [q, k, v, ...(mask === undefined ? [] : [mask]), output, ct], attrs),
);
