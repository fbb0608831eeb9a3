// How a state lies in memory: weights and optimizer memory in bfloat16, rounded at random so that small updates are not lost.
import { sameShape, type Path } from "../../engine/core/index.ts";
import { flattenTensors, random, roundRandomly, type Tensor, type TensorTree } from "../../engine/tensor/index.ts";
import type { OptimizerState, TensorMap } from "../optim/index.ts";

/** What numbers are kept in between two steps. */
export type StorageFormat = "float32" | "bfloat16";

/**
 * How a state is kept; float32 unless said. In bfloat16 are matrices alone: what has one axis or none is a thousandth of the
 * memory. Everything is computed in float32.
 */
export interface Storage {
  readonly weights?: StorageFormat;
  /** What the optimizer keeps of each weight: moments, velocities. */
  readonly states?: StorageFormat;
}

/** How an updated value becomes bfloat16: up or down at random so that it is right on average, or to the nearest. */
export type Rounding = "stochastic" | "nearest";

/** What a storage is about. */
export type Stored = { readonly params: TensorMap; readonly optState: OptimizerState };

/** Everything that is bfloat16 as float32. */
export function widen<T extends TensorTree>(tree: T): T {
  const flat = flattenTensors(tree, "state");
  return flat.rebuild(flat.tensors.map((x) => (x.dtype === "bfloat16" ? x.cast("float32") : x))) as T;
}

/** A fresh state as it is to be kept, to the nearest. The float32 Tensors that are replaced are used up. */
export function store(stored: Stored, { weights = "float32", states = "float32" }: Storage): Stored {
  const flat = flattenTensors(stored, "state");
  const next = flat.tensors.map((x, i) => {
    const path = flat.paths[i]!;
    const format = path.startsWith("params.") ? weights : states;
    if (format === "float32" || x.rank < 2 || ownerOf(path, x, stored.params) === undefined) return x;
    const half = x.cast("bfloat16");
    x.dispose();
    return half;
  });
  return flat.rebuild(next) as Stored;
}

/**
 * How a step keeps what it makes: as its state was before. To be called ahead of the update: so the compiler sees the random
 * words early and can round each value as soon as it is there. Each kept value has 16 random bits of its own; two of the
 * same weight share a draw. Source of the rounding: Gupta et al. (2015).
 */
export function keeper(
  before: Stored,
  { key, rounding }: { readonly key: Tensor; readonly rounding: Rounding },
): (next: Stored) => Stored {
  const { params, optState } = before;
  const { tensors, paths } = flattenTensors({ params, optState }, "state");
  const keep = new Map<Path, (x: Tensor) => Tensor>();
  const draws = new Map<Path, { bits: Tensor; used: number }>();
  let stream = 0;
  tensors.forEach((old, i) => {
    if (old.dtype !== "bfloat16") return;
    if (rounding === "nearest") {
      keep.set(paths[i]!, (x) => x.cast("bfloat16"));
      return;
    }
    const owner = ownerOf(paths[i]!, old, before.params)!;
    let draw = draws.get(owner);
    if (draw === undefined || draw.used === 2)
      draws.set(owner, (draw = { bits: random.bits(random.foldIn(key, stream++), old.shape), used: 0 }));
    const { bits } = draw;
    const upper = draw.used++ === 1;
    keep.set(paths[i]!, (x) => roundRandomly(x, bits, { upper }));
  });
  return (next) => {
    const made = flattenTensors(next, "state");
    return made.rebuild(made.tensors.map((x, i) => keep.get(made.paths[i]!)?.(x) ?? x)) as Stored;
  };
}

// The weight a value belongs to: the one whose path its own ends with, of the same shape.
function ownerOf(path: Path, { shape }: Tensor, params: TensorMap): Path | undefined {
  const parts = path.split(".");
  for (let i = 1; i < parts.length; i++) {
    const end = parts.slice(i).join(".");
    if (Object.hasOwn(params, end)) return sameShape(params[end]!.shape, shape) ? end : undefined;
  }
  return undefined;
}
