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
 * What a step made, kept as its state was before. The key gives the random bits: two streams for each weight, of which weight
 * and first memory share one (16 bits each) and further memories the next ones. Source of the rounding: Gupta et al. (2015).
 */
export function storeLike(
  next: Stored,
  before: Stored,
  { key, rounding }: { readonly key: Tensor; readonly rounding: Rounding },
): Stored {
  const kept = flattenTensors(before, "state");
  const formats = new Map(kept.paths.map((path, i) => [path, kept.tensors[i]!.dtype]));
  const made = flattenTensors(next, "state");
  const paths = Object.keys(before.params);
  const numbers = new Map(paths.map((path, i) => [path, i]));
  /** Values of each weight that were rounded so far, and its words. */
  const rounded = new Map<Path, { count: number; bits: Tensor | undefined }>();
  return made.rebuild(
    made.tensors.map((x, i) => {
      if (formats.get(made.paths[i]!) !== "bfloat16") return x;
      if (rounding === "nearest") return x.cast("bfloat16");
      const owner = ownerOf(made.paths[i]!, x, before.params)!;
      const drawn = rounded.get(owner) ?? { count: 0, bits: undefined };
      const upper = drawn.count % 2 === 1;
      const stream = numbers.get(owner)! + paths.length * Math.floor(drawn.count / 2);
      const bits = upper ? drawn.bits! : random.bits(random.foldIn(key, stream), x.shape);
      rounded.set(owner, { count: drawn.count + 1, bits });
      return roundRandomly(x, bits, { upper });
    }),
  ) as Stored;
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
