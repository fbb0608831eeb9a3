// A cache of keys and values: writing rows at a place known only when it runs, and attention over the filled part.
import { DtypeError, formatType, IndexError, ShapeError, sizeOf, type TensorType } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { add } from "./arith.ts";
import { lessEqual } from "./compare.ts";
import { iota, zerosLike } from "./create.ts";
import { bind1, expectDtype, expectInputs, float, int, none, withOp, type None, type OpFunction } from "./define.ts";
import { attentionDims, expectAttrs, SWAP } from "./attention-parts.ts";
import { attention } from "./fused-attention.ts";
import { scaled, shifted } from "./fused-parts.ts";
import { gather } from "./gather.ts";
import { broadcast, reshape, transpose } from "./layout.ts";

/** What attention over a cache is told. */
export type CachedAttentionAttrs = { readonly scale: number };

function expectPlaces(where: string, types: readonly TensorType[], batch: number | undefined): void {
  for (const type of types) {
    if (type.dtype !== "int32")
      throw new DtypeError(where, `rows and places must be int32: received ${formatType(type)}`);
    if (type.shape.length !== 1 || type.shape[0] !== batch)
      throw new ShapeError(where, `needs one row and one place a block [${batch}]: received ${formatType(type)}`);
  }
}

// Where row t of block i lies among the rows of the base, all N · S of them in one list: int32 [B · T].
function placesOf(base: Value, block: Value, [rows, starts]: readonly [Value, Value]): Value {
  const [batch, time] = block.shape as [number, number];
  const places = [batch, time];
  const first = add(scaled(rows, base.shape[1]!), starts);
  return reshape(add(broadcast(first, places, [0]), broadcast(iota([time], 0, "int32"), places, [1])), [batch * time]);
}

const writeBlocksOp: OpRecord<None> = {
  name: "writeBlocks",
  doc: "An array with blocks written over it at places known only when it runs: `y = base`, then `y[rows[i], starts[i] + t] = block[i, t]`. Blocks must not overlap.",
  traits: { kind: "index", recompute: "costly" },
  shape: (types) => {
    expectInputs("writeBlocks", types, 4);
    const [base, block, rows, starts] = types as [TensorType, TensorType, TensorType, TensorType];
    if (base.dtype !== block.dtype)
      throw new DtypeError("writeBlocks", `dtypes differ: received ${formatType(base)} and ${formatType(block)}`);
    const fits =
      base.shape.length >= 2 &&
      block.shape.length === base.shape.length &&
      block.shape[1]! <= base.shape[1]! &&
      base.shape.every((n, i) => i < 2 || block.shape[i] === n);
    if (!fits) {
      throw new ShapeError(
        "writeBlocks",
        `expected base [N,S,…] and block [B,T,…] with T ≤ S: received ${formatType(base)} and ${formatType(block)}`,
      );
    }
    expectPlaces("writeBlocks", [rows, starts], block.shape[0]);
    return [{ dtype: base.dtype, shape: base.shape }];
  },
  evaluate: ([base, block, rows, starts], _, { inputs }) => {
    const [{ shape }, blockType] = inputs as [TensorType, TensorType];
    const [count, places] = shape as [number, number];
    const [batch, time] = blockType.shape as [number, number];
    const width = sizeOf(shape.slice(2));
    const out = base!.slice();
    for (let i = 0; i < batch; i++) {
      const [row, start] = [rows![i]!, starts![i]!];
      refuseOutside(row, count);
      refuseOutside(start, places - time + 1);
      const size = time * width;
      out.set(block!.subarray(i * size, (i + 1) * size), (row * places + start) * width);
    }
    return [out];
  },
  vjp: ({ inputs: [base, block, rows, starts], cts: [ct] }) => {
    const flat = reshape(ct!, [base!.shape[0]! * base!.shape[1]!, ...base!.shape.slice(2)]);
    const read = gather(flat, placesOf(base!, block!, [rows!, starts!]), 0);
    const kept = writeBlocks(ct!, { block: zerosLike(block!), rows: rows!, starts: starts! });
    return [kept, reshape(read, block!.shape), undefined, undefined];
  },
  samples: [
    { inputs: [float([2, 5]), float([1, 2]), places(1), places(3)], attrs: none },
    { inputs: [float([3, 6, 2]), float([2, 3, 2]), places(2, 0), places(3, 1)], attrs: none },
    { inputs: [float([2, 4, 2, 17]), float([2, 1, 2, 17]), places(0, 1), places(3, 0)], attrs: none },
    { inputs: [float([2, 4, 3]), float([2, 2, 3]), places(1, 1), places(2, 0)], attrs: none },
    { inputs: [float([1, 3, 4]), float([1, 3, 4]), places(0), places(0)], attrs: none },
    { inputs: [float([2, 3, 4]), float([0, 2, 4]), places(), places()], attrs: none },
    { inputs: [int([2, 4], -9, 9), int([1, 2], -9, 9), places(0), places(1)], attrs: none },
  ],
  errors: [
    { inputs: [float([2, 3]), float([1, 4]), places(0), places(0)], attrs: none, message: "T ≤ S" },
    { inputs: [float([2, 3, 2]), float([1, 2, 3]), places(0), places(0)], attrs: none, message: "base [N,S,…]" },
    { inputs: [float([2, 3]), float([1, 2]), float([1]), places(0)], attrs: none, message: "must be int32" },
    { inputs: [float([2, 3]), float([2, 2]), places(0), places(0)], attrs: none, message: "one place a block [2]" },
    {
      inputs: [float([2, 3]), float([1, 2]), places(2), places(0)],
      attrs: none,
      message: "index 2 is out of range [0, 2)",
    },
    {
      inputs: [float([2, 3]), float([1, 2]), places(0), places(2)],
      attrs: none,
      message: "index 2 is out of range [0, 2)",
    },
  ],
};

function places(...values: number[]): { dtype: "int32"; shape: readonly number[]; values: readonly number[] } {
  return { dtype: "int32", shape: [values.length], values };
}

function refuseOutside(index: number, size: number): void {
  if (index >= 0 && index < size) return;
  throw new IndexError("writeBlocks", `index ${index} is out of range [0, ${size})`);
}

/** `base` [N, S, …] with block [B, T, …] written at rows int32 [B], from places `starts` int32 [B] on. */
export const writeBlocks: OpFunction<
  (base: Value, parts: { readonly block: Value; readonly rows: Value; readonly starts: Value }) => Value,
  None
> = withOp(writeBlocksOp, (base, { block, rows, starts }) => bind1(writeBlocksOp, [base, block, rows, starts], none));

const cachedAttentionOp: OpRecord<CachedAttentionAttrs> = {
  name: "cachedAttention",
  doc: "Attention of the last tokens of rows over their cached keys: query t of block b sees the keys s ≤ lengths[b] − T + t of row rows[b], `softmax(scale · q kᵀ) v` (Vaswani et al. 2017). Places behind are not read. A query that sees no key gives 0.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { scale }) => {
    expectInputs("cachedAttention", types, 5);
    const [q, k, v, rows, lengths] = types as [TensorType, TensorType, TensorType, TensorType, TensorType];
    expectDtype("cachedAttention", [q, k, v], ["float32"]);
    if (q.shape.length !== 4 || k.shape.length !== 4)
      throw new ShapeError(
        "cachedAttention",
        `expected q [B,T,H,D] and k [N,S,G,D]: received ${types.map(formatType).join(" and ")}`,
      );
    const [batch] = q.shape as [number];
    const one = [k, v].map((type) => ({ ...type, shape: [batch, ...type.shape.slice(1)] }));
    if (k.shape[0] !== v.shape[0])
      throw new ShapeError(
        "cachedAttention",
        `k and v have the same rows: received ${formatType(k)} and ${formatType(v)}`,
      );
    attentionDims([q, ...one], true);
    expectPlaces("cachedAttention", [rows, lengths], batch);
    expectAttrs("cachedAttention", types.slice(0, 3), { causal: false, scale });
    return [{ dtype: "float32", shape: q.shape }];
  },
  decompose: ([q, k, v, rows, lengths], { scale }) => {
    const [batch, time] = q!.shape as [number, number];
    const seen = [batch, 1, time, k!.shape[1]!];
    const last = add(broadcast(shifted(lengths!, -time), seen, [0]), iota(seen, 2, "int32"));
    const mask = lessEqual(iota(seen, 3, "int32"), last);
    const outside = (x: Value): Value => transpose(x, SWAP);
    const row = (x: Value): Value => outside(gather(x, rows!, 0));
    return [outside(attention(outside(q!), { k: row(k!), v: row(v!), mask }, { causal: false, scale }))];
  },
  samples: [
    { inputs: [float([1, 1, 2, 4]), ...two([1, 6, 2, 4]), places(0), places(4)], attrs: { scale: 0.5 } },
    { inputs: [float([2, 1, 4, 19]), ...two([3, 37, 2, 19]), places(2, 0), places(37, 9)], attrs: { scale: 0.3 } },
    { inputs: [float([2, 3, 2, 5]), ...two([2, 9, 1, 5]), places(1, 0), places(3, 7)], attrs: { scale: 0.4 } },
    { inputs: [float([1, 66, 2, 2]), ...two([2, 140, 1, 2]), places(1), places(131)], attrs: { scale: 0.7 } },
    { inputs: [float([2, 2, 1, 3]), ...two([1, 4, 1, 3]), places(0, 0), places(1, 4)], attrs: { scale: 1 } },
    { inputs: [float([0, 1, 2, 4]), ...two([1, 6, 2, 4]), places(), places()], attrs: { scale: 0.5 } },
  ],
  errors: [
    {
      inputs: [float([1, 1, 3, 4]), ...two([1, 6, 2, 4]), places(0), places(4)],
      attrs: { scale: 1 },
      message: "do not divide 3",
    },
    {
      inputs: [float([1, 1, 2, 4]), ...two([1, 6, 2, 4]), places(0, 1), places(4)],
      attrs: { scale: 1 },
      message: "[1]",
    },
    {
      inputs: [float([1, 1, 2, 4]), ...two([1, 6, 2, 4]), places(1), places(4)],
      attrs: { scale: 1 },
      message: "index 1 is out of range [0, 1)",
    },
    {
      inputs: [float([1, 1, 2, 4]), ...two([1, 6, 2, 4]), places(0), places(4)],
      attrs: { scale: NaN },
      message: "must be finite",
    },
  ],
  terms: (types) => types[1]!.shape[1]! + types[1]!.shape[3]!,
};

function two(shape: readonly number[]): ReturnType<typeof float>[] {
  return [float(shape), float(shape)];
}

/** Attention of q [B, T, H, D] over a cache k, v [N, S, G, D]; the T tokens are the last of `lengths`. `scale` is 1/√D unless said. */
export const cachedAttention: OpFunction<
  (
    q: Value,
    cache: { readonly k: Value; readonly v: Value; readonly rows: Value; readonly lengths: Value },
    options?: Partial<CachedAttentionAttrs>,
  ) => Value,
  CachedAttentionAttrs
> = withOp(cachedAttentionOp, (q, { k, v, rows, lengths }, { scale = 1 / Math.sqrt(q.shape.at(-1) ?? 1) } = {}) =>
  bind1(cachedAttentionOp, [q, k, v, rows, lengths], { scale }),
);
