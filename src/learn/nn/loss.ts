// What a loss is: a number for each sample. How samples are weighted and averaged is the training step's matter.
import { formatType, sameShape, ShapeError } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import type { JsonObject } from "./named.ts";

/**
 * A loss: `perSample(yTrue, yPred)` is one number for each sample, the mean over all axes but the first, as in Keras.
 * Any object of this form can be given to `compile`.
 */
export interface Loss {
  readonly name: string;
  /** yTrue, yPred: [batch, …]; result: [batch]. */
  readonly perSample: (yTrue: Tensor, yPred: Tensor) => Tensor;
  /** The options it was made with. */
  readonly config?: JsonObject;
}

/** Means over all axes but the first. */
export function meanOverRest(values: Tensor): Tensor {
  if (values.rank === 1) return values;
  return values.mean({ axis: Array.from({ length: values.rank - 1 }, (_, i) => i + 1) });
}

/**
 * Targets in the shape of the predictions: a last axis of size 1 may be missing on either side, anything else is refused
 * (broadcasting [batch] against [batch, 1] would compare every sample with every other).
 */
export function aligned(name: string, yTrue: Tensor, yPred: Tensor): readonly [Tensor, Tensor] {
  const target = yTrue.dtype === "float32" ? yTrue : yTrue.cast("float32");
  if (sameShape(target.shape, yPred.shape)) return [target, yPred];
  if (sameShape([...target.shape, 1], yPred.shape)) return [target.expandDims(-1), yPred];
  if (sameShape(target.shape, [...yPred.shape, 1])) return [target.squeeze(-1), yPred];
  throw new ShapeError(
    name,
    `targets and predictions differ in shape: received ${formatType(yTrue)} and ${formatType(yPred)}`,
    {
      hint: "the last layer must have as many units as the targets have columns",
    },
  );
}
