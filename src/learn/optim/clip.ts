// Clipping: gradients kept inside bounds before an optimizer sees them.
import { ArgumentError, checkRange } from "../../engine/core/index.ts";
import { asTensor, type Tensor } from "../../engine/tensor/index.ts";
import { mapTensors, noState, stateless, type GradientTransformation, type TensorMap } from "./transformation.ts";

/** Each element into [−limit, limit]; Keras's `clipvalue`. */
export function clipByValue(limit: number): GradientTransformation {
  checkLimit("clipByValue", limit);
  return stateless((gradient) => gradient.clamp(-limit, limit));
}

/** Each gradient on its own to an L2 norm of at most `limit`: `g · limit / max(‖g‖, limit)`; Keras's `clipnorm`. */
export function clipByNorm(limit: number): GradientTransformation {
  checkLimit("clipByNorm", limit);
  return stateless((gradient) => gradient.mul(shrink(gradient.square().sum().sqrt(), limit)));
}

/**
 * All gradients together to an L2 norm of at most `limit`: `g · limit / max(‖all‖, limit)`; Keras's `global_clipnorm`.
 * Source: Pascanu, Mikolov, Bengio (2013).
 *
 * @example
 * chain(clipByGlobalNorm(1), scale(-0.01));
 */
export function clipByGlobalNorm(limit: number): GradientTransformation {
  checkLimit("clipByGlobalNorm", limit);
  return {
    init: () => noState,
    update: (gradients, state) => {
      const factor = shrink(globalNorm(gradients), limit);
      return { updates: mapTensors(gradients, (gradient) => gradient.mul(factor)), state };
    },
  };
}

/** The L2 norm of all elements of all Tensors: `√Σ g²`. */
export function globalNorm(tensors: TensorMap): Tensor {
  const squares = Object.values(tensors).map((x) => x.square().sum());
  if (squares.length === 0) return asTensor(0);
  return squares.reduce((a, b) => a.add(b)).sqrt();
}

// 1 for norms within the limit, so that small gradients pass bit for bit.
function shrink(norm: Tensor, limit: number): Tensor {
  return asTensor(limit).div(norm.maximum(limit));
}

function checkLimit(where: string, limit: number): void {
  checkRange(where, "limit", limit, 0);
  if (limit === 0 || limit === Infinity) {
    throw new ArgumentError(where, `\`limit\` must be above 0 and finite: received ${limit}`);
  }
}
