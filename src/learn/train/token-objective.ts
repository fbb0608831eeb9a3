// The objective of language models: the mean cross-entropy over the tokens that are trained on.
import { ArgumentError, checkRange, formatType, sameShape, ShapeError } from "../../engine/core/index.ts";
import { crossEntropy, full, logSumExp, Tensor, where } from "../../engine/tensor/index.ts";
import type { Objective } from "./objective.ts";

export interface TokenObjectiveOptions {
  /** Share ε of the target that is spread evenly over the vocabulary (Szegedy et al. 2016). Default 0. */
  readonly labelSmoothing?: number;
  /** Factor of `(ln Σ eˣ)²`, which keeps logits from drifting; PaLM's is 1e-4 (Chowdhery et al. 2022). Default 0. */
  readonly zLoss?: number;
}

/**
 * Mean cross-entropy of logits over trained tokens: `Σ wₜ ℓₜ / Σ wₜ`, with `ℓ = (1 − ε)(Z − x[label]) + ε (Z − mean x) + ζ Z²`
 * where `Z = ln Σ eˣ`, ε the label smoothing, ζ the factor of the z-loss. The model gives logits float32 [batch, time, vocabulary];
 * `y[0]` holds labels int32 [batch, time], negative where a token is not trained on; `weights[0]`, where given, float32
 * [batch, time] or [batch]. A batch without trained tokens has the loss 0. Its `count` is Σ w: micro-batches of a step are
 * weighed by their tokens.
 *
 * @example
 * const step = makeStep(model, { objective: tokenObjective(), optimizer: adamw(), accumulate: 4 });
 */
export function tokenObjective(options: TokenObjectiveOptions = {}): Objective {
  const { labelSmoothing = 0, zLoss = 0 } = options;
  checkRange("tokenObjective", "labelSmoothing", labelSmoothing, 0, 1);
  checkRange("tokenObjective", "zLoss", zLoss, 0);
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
    const entropy = crossEntropy(output, where(trained, labels, 0));
    const each =
      labelSmoothing === 0 && zLoss === 0 ? entropy : regularized(entropy, output, { labelSmoothing, zLoss });
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

function regularized(
  entropy: Tensor,
  logits: Tensor,
  { labelSmoothing, zLoss }: Required<TokenObjectiveOptions>,
): Tensor {
  const logZ = logSumExp(logits, { axis: -1 });
  const spread = logZ.sub(logits.mean({ axis: -1 })); // the cross-entropy against all classes alike
  const smooth = entropy.mul(1 - labelSmoothing).add(spread.mul(labelSmoothing));
  return (labelSmoothing === 0 ? entropy : smooth).add(logZ.square().mul(zLoss));
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
