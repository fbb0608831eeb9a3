// The objective of language models: the mean cross-entropy over the tokens that are trained on.
import { ArgumentError, formatType, sameShape, ShapeError } from "../../engine/core/index.ts";
import { crossEntropy, full, Tensor, where } from "../../engine/tensor/index.ts";
import type { Objective } from "./objective.ts";

/**
 * Mean cross-entropy of logits over trained tokens: `Σ wₜ ℓₜ / Σ wₜ`. The model gives logits float32 [batch, time, vocabulary];
 * `y[0]` holds labels int32 [batch, time], negative where a token is not trained on; `weights[0]`, where given, float32
 * [batch, time] or [batch]. A batch without trained tokens has the loss 0. Its `count` is Σ w: micro-batches of a step are
 * weighed by their tokens.
 *
 * @example
 * const step = makeStep(model, { objective: tokenObjective(), optimizer: adamw(), accumulate: 4 });
 */
export function tokenObjective(): Objective {
  return (output, { y, weights }) => {
    const [labels, given] = [y[0], weights?.[0]];
    if (!(output instanceof Tensor) || output.rank < 2 || y.length !== 1)
      throw new ArgumentError("tokenObjective", "needs one output, logits [batch, time, vocabulary]");
    if (labels?.dtype !== "int32" || !sameShape(labels.shape, output.shape.slice(0, -1))) {
      throw new ShapeError(
        "tokenObjective",
        `labels are int32, one for each row of logits: received ${labels === undefined ? "none" : formatType(labels)} and ${formatType(output)}`,
      );
    }
    const trained = labels.greaterEqual(0);
    // Labels that do not count must still be in range.
    const each = crossEntropy(output, where(trained, labels, 0));
    const ones = trained.cast("float32");
    const w = given === undefined ? ones : ones.mul(perToken(given, labels));
    const count = w.sum();
    const loss = each
      .mul(w)
      .sum()
      .div(where(count.greater(0), count, full([], 1)));
    return { loss, parts: [], count };
  };
}

// Weights of samples count for all their tokens.
function perToken(weights: Tensor, labels: Tensor): Tensor {
  if (sameShape(weights.shape, labels.shape)) return weights;
  if (!sameShape(weights.shape, labels.shape.slice(0, 1))) {
    throw new ShapeError(
      "tokenObjective",
      `weights are one a token or one a sample: received ${formatType(weights)} for labels ${formatType(labels)}`,
    );
  }
  return weights.reshape([weights.shape[0]!, ...labels.shape.slice(1).map(() => 1)]);
}
