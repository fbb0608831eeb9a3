// What attention and its gradient share: their inputs by name, their sizes, and the weights as they are written in the paper.
import {
  ArgumentError,
  DtypeError,
  formatType,
  sameShape,
  ShapeError,
  type DType,
  type TensorType,
} from "../core/index.ts";
import { anyOp, type Equation, type OpRecord, type SampleInput, type Value } from "../program/index.ts";
import { equal, lessEqual, logicalAnd, where } from "./compare.ts";
import { matmul } from "./contract.ts";
import { fullLike, iota, zerosLike } from "./create.ts";
import { expectDtype, float } from "./define.ts";
import { dropout } from "./fused-dropout.ts";
import { scaled, shifted } from "./fused-parts.ts";
import { softmax } from "./fused-softmax.ts";
import { broadcast, reshape, transpose } from "./layout.ts";

/**
 * What attention is told: `inside` where heads lie inside rows, q [B,T,H,D] and k, v [B,S,G,D], the result too;
 * `rate` the share of weights that are dropped.
 */
export type AttentionAttrs = {
  readonly causal: boolean;
  readonly scale: number;
  readonly inside?: boolean;
  readonly rate?: number;
};

/** The inputs of an attention. Behind q, k and v each lies where it is given, and is known by its dtype. */
export interface AttentionInputs<T> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
  /** bool [B or 1, H or 1, T, S]: true where a query may look. */
  readonly mask: T | undefined;
  /** int32 [B, T], for as many keys as queries: a query sees the keys with its own number. */
  readonly segments: T | undefined;
  /** uint32 [2]: which weights are dropped. */
  readonly key: T | undefined;
}

/** What may be given beside q, k and v. */
export type AttentionExtras = Partial<Pick<AttentionInputs<Value>, "mask" | "segments" | "key">>;

/** The extras in the order they have among the inputs. */
export function extrasOf({ mask, segments, key }: AttentionExtras): Value[] {
  return [mask, segments, key].filter((x) => x !== undefined);
}

/** The inputs by name; refuses what is no input of attention. */
export function attentionInputs<T extends TensorType>(inputs: readonly T[]): AttentionInputs<T> {
  const [q, k, v, ...rest] = inputs;
  const take = (dtype: DType): T | undefined => (rest[0]?.dtype === dtype ? rest.shift() : undefined);
  const extras = { mask: take("bool"), segments: take("int32"), key: take("uint32") };
  const received = (): string => inputs.map(formatType).join(" and ");
  if (q === undefined || k === undefined || v === undefined)
    throw new ShapeError("attention", `takes q, k and v: received ${received()}`);
  if (rest.length > 0) {
    throw new DtypeError(
      "attention",
      `behind q, k and v the mask is bool, true where a query may look, segments are int32, a key is uint32, in this order: received ${received()}`,
    );
  }
  return { q, k, v, ...extras };
}

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
export const SWAP: readonly number[] = [0, 2, 1, 3];

function swapAxes<T>(shape: readonly T[]): readonly T[] {
  return shape.length === 4 ? SWAP.map((axis) => shape[axis]!) : shape;
}

/** The inputs with their heads outside: what the decompositions are written for. Extras lie as they are. */
export function outside(inputs: readonly Value[]): Value[] {
  return inputs.map((x) => (x.dtype === "float32" ? transpose(x, SWAP) : x));
}

/** Whether all arrays have their heads inside and were turned around: then these, which are read as they lie. */
export function unswapped(
  inputs: readonly Value[],
  producer: (value: Value) => Equation | undefined,
): Value[] | undefined {
  const found = inputs.map((x) => {
    if (x.dtype !== "float32") return x;
    const maker = producer(x);
    const turned = maker?.op === anyOp(transpose.op);
    const { permutation } = (turned ? maker.attrs : { permutation: [] }) as { permutation: readonly number[] };
    return turned && permutation.length === 4 && SWAP.every((axis, j) => permutation[j] === axis)
      ? maker.inputs[0]!
      : undefined;
  });
  return found.every((x) => x !== undefined) ? found : undefined;
}

/**
 * Reads the sizes off the inputs q [B,H,T,D], k and v [B,G,S,D], mask [B|1, H|1, T, S], segments [B, T], key [2];
 * refuses what does not fit.
 */
export function attentionDims(types: readonly TensorType[], inside = false): AttentionDims {
  if (inside) {
    const swapped = types.map((type) => (type.dtype === "float32" ? { ...type, shape: swapAxes(type.shape) } : type));
    return attentionDims(swapped);
  }
  const fail = (problem: string): ShapeError =>
    new ShapeError("attention", `${problem}: received ${types.map(formatType).join(" and ")}`);
  const { q, k, v, mask, segments, key } = attentionInputs(types);
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
    const fits =
      mask.shape.length === 4 &&
      [batch, heads].every((n, i) => mask.shape[i] === n || mask.shape[i] === 1) &&
      mask.shape[2] === queries &&
      mask.shape[3] === keys;
    if (!fits) throw fail("the mask is [B or 1, H or 1, T, S]");
  }
  if (segments !== undefined && !(queries === keys && sameShape(segments.shape, [batch, queries])))
    throw fail("segments are [B, T], with as many keys as queries");
  if (key !== undefined && !sameShape(key.shape, [2])) throw fail("a key is uint32[2]");
  return { batch, heads, groups, queries, keys, depth };
}

/** Checks the attributes of attention on inputs without those that only its gradient has. */
export function expectAttrs(name: string, types: readonly TensorType[], { scale, rate = 0 }: AttentionAttrs): void {
  if (!Number.isFinite(scale)) throw new ArgumentError(name, `\`scale\` must be finite: received ${scale}`);
  if (!(rate >= 0 && rate < 1)) throw new ArgumentError(name, `\`rate\` must be in [0, 1): received ${rate}`);
  if (rate > 0 !== (attentionInputs(types).key !== undefined)) {
    throw new ArgumentError(name, `a key is given where weights are dropped, and only there: the rate is ${rate}`);
  }
}

/** The heads of one group stand side by side, so their queries are one longer list: keys are never repeated. */
export function together(x: Value, types: readonly TensorType[]): Value {
  const { batch, heads, groups, queries } = attentionDims(types);
  return reshape(x, [batch, groups, (heads / groups) * queries, x.shape[3]!]);
}

/** The weights [B,H,T,S], before any is dropped. */
export function weightsOf(inputs: readonly Value[], { causal, scale }: AttentionAttrs): Value {
  const { q, k, mask, segments } = attentionInputs(inputs);
  const { batch, heads, queries, keys } = attentionDims(inputs);
  const scores = [batch, heads, queries, keys];
  const grouped = matmul(together(q, inputs), k, { transposeB: true });
  const same = segments && equal(broadcast(segments, scores, [0, 2]), broadcast(segments, scores, [0, 3]));
  const allowed = [mask && broadcast(mask, scores), same, causal ? causalMask(queries, keys, scores) : undefined]
    .filter((x) => x !== undefined)
    .reduce<Value | undefined>((a, b) => (a === undefined ? b : logicalAnd(a, b)), undefined);
  let x = scaled(reshape(grouped, scores), scale);
  if (allowed !== undefined) x = where(allowed, x, fullLike(FORBIDDEN, x));
  const weights = softmax(x, 3);
  return allowed === undefined ? weights : where(allowed, weights, zerosLike(weights));
}

/** Weights [B,H,T,S], or their cotangent, with those dropped that the key says: element by element as `dropout` does. */
export function dropped(weights: Value, inputs: readonly Value[], { rate = 0 }: AttentionAttrs): Value {
  const { key } = attentionInputs(inputs);
  return key === undefined ? weights : dropout(weights, key, rate);
}

// The last query sees all keys: a step of decoding with cached keys is the last row of the whole.
function causalMask(queries: number, keys: number, shape: readonly number[]): Value {
  const key = iota([queries, keys], 1, "int32");
  const last = shifted(iota([queries, keys], 0, "int32"), keys - queries);
  return broadcast(lessEqual(key, last), shape);
}

/** Extras of a sample. */
type SampleExtras = {
  readonly mask?: { readonly shape: readonly number[]; readonly values?: readonly number[] };
  readonly segments?: { readonly shape: readonly number[]; readonly values?: readonly number[] };
};

/** A sample of attention: sizes of q and of k and v, and what is given beside them; a key where there is a rate. */
export function attentionSample(
  q: readonly number[],
  k: readonly number[],
  attrs: AttentionAttrs,
  { mask, segments }: SampleExtras = {},
): OpRecord<AttentionAttrs>["samples"][number] {
  const extras: SampleInput[] = [];
  if (mask !== undefined) extras.push({ dtype: "bool", low: 0, high: 1, ...mask });
  if (segments !== undefined) extras.push({ dtype: "int32", low: 0, high: 2, ...segments });
  if (attrs.rate !== undefined && attrs.rate > 0) extras.push({ dtype: "uint32", shape: [2], values: [7, 2026] });
  return { inputs: [float(q), float(k), float(k), ...extras], attrs };
}

/** Segments of one row: documents of these lengths, one after the other. */
export function documents(...lengths: readonly number[]): readonly number[] {
  return lengths.flatMap((n, i) => new Array<number>(n).fill(i));
}
