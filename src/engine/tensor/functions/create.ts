// Tensors from nothing.
import { ArgumentError, HostArray, type DType, type Shape } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import { applyValues } from "../dispatch.ts";
import { Tensor } from "../tensor.ts";

function make(fn: () => ReturnType<typeof ops.full>): Tensor {
  return new Tensor(applyValues(() => [fn()], [])[0]!);
}

/** One number everywhere. */
export function full(shape: Shape, value: number, dtype: DType = "float32"): Tensor {
  return make(() => ops.full(value, { dtype, shape }));
}

/** @example zeros([2, 3]).sum().item(); // 0 */
export function zeros(shape: Shape, dtype: DType = "float32"): Tensor {
  return full(shape, 0, dtype);
}

/** @example ones([2, 3]).sum().item(); // 6 */
export function ones(shape: Shape, dtype: DType = "float32"): Tensor {
  return full(shape, 1, dtype);
}

export function zerosLike(x: Tensor): Tensor {
  return full(x.shape, 0, x.dtype);
}

export function onesLike(x: Tensor): Tensor {
  return full(x.shape, 1, x.dtype);
}

/**
 * Whole numbers from 0 to before n, or from `start` to before `stop` in steps.
 *
 * @example
 * arange(3).toNested(); // [0, 1, 2]
 */
export function arange(
  start: number,
  stop?: number,
  { step = 1, dtype = "int32" }: { readonly step?: number; readonly dtype?: DType } = {},
): Tensor {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (step === 0) throw new ArgumentError("arange", "step must not be 0");
  const n = Math.max(0, Math.ceil((to - from) / step));
  const type = { dtype, shape: [n] };
  return make(() => ops.add(ops.mul(ops.iota([n], 0, dtype), ops.full(step, type)), ops.full(from, type)));
}

/** The identity matrix. */
export function eye(n: number, dtype: DType = "float32"): Tensor {
  return make(() => ops.cast(ops.equal(ops.iota([n, n], 0, "int32"), ops.iota([n, n], 1, "int32")), dtype));
}

/** 1 where the index is the label, else 0: a new last axis of size `depth`. */
export function oneHot(labels: Tensor, depth: number, dtype: DType = "float32"): Tensor {
  const shape = [...labels.shape, depth];
  return new Tensor(
    applyValues(
      ([l]) => {
        const axes = labels.shape.map((_, i) => i);
        return [
          ops.cast(
            ops.equal(ops.broadcast(ops.cast(l!, "int32"), shape, axes), ops.iota(shape, shape.length - 1, "int32")),
            dtype,
          ),
        ];
      },
      [labels.content],
    )[0]!,
  );
}

/** Evenly spaced numbers, both ends included. */
export function linspace(start: number, stop: number, count: number): Tensor {
  const data = Float64Array.from({ length: count }, (_, i) => start + ((stop - start) * i) / Math.max(1, count - 1));
  return make(() => ops.constant(new HostArray("float64", [count], data)));
}
