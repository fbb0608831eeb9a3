// The objective of language models: the mean loss over the tokens that are trained on.
import { ArgumentError, checkRange, formatType, sameShape, ShapeError } from "../../engine/core/index.ts";
import { full, Tensor, where } from "../../engine/tensor/index.ts";
import { auxiliaryLoss, tokenLosses, type TokenLossOptions } from "../nn/index.ts";
import type { Objective } from "./objective.ts";

/**
 * Mean loss of logits over trained tokens: `Σ wₜ ℓₜ / Σ wₜ`, with ℓ as `tokenLosses` says, and what the model asks to be added
 * (the balance of experts). The model gives logits float32 [batch, time, vocabulary]; `y[0]` holds labels int32
 * [batch, time], negative where a token is not trained on; `weights[0]`, where given, float32 [batch, time] or [batch].
 * A batch without trained tokens has the loss 0. Its `count` is Σ w: micro-batches of a step are weighed by their tokens.
 *
 * @example
 * const step = makeStep(model, { objective: tokenObjective(), optimizer: adamw(), accumulate: 4 });
 */
export function tokenObjective(options: TokenLossOptions = {}): Objective {
  checkRange("tokenObjective", "labelSmoothing", options.labelSmoothing ?? 0, 0, 1);
  checkRange("tokenObjective", "zLoss", options.zLoss ?? 0, 0);
  return (output, { y, weights }) => {
    const [labels, given] = [y[0], weights?.[0]];
    if (!(output instanceof Tensor) || labels === undefined || y.length !== 1)
      throw new ArgumentError("tokenObjective", "needs one output, logits [batch, time, vocabulary], and its labels");
    const each = tokenLosses(output, labels, options);
    const ones = labels.greaterEqual(0).cast("float32");
    const w = given === undefined ? ones : ones.mul(perToken(given, labels));
    const count = w.sum();
    const mean = each
      .mul(w)
      .sum()
      .div(where(count.greater(0), count, full([], 1)));
    const auxiliary = auxiliaryLoss(output);
    return { loss: auxiliary === undefined ? mean : mean.add(auxiliary), parts: [], count };
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
