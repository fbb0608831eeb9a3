// Cross-entropies: through the logits where they are known, else from clipped probabilities as Keras computes them.
import { ArgumentError, formatType, sameShape, ShapeError } from "../../engine/core/index.ts";
import { crossEntropy, log, logSoftmax, softplus, where, type Tensor } from "../../engine/tensor/index.ts";
import { aligned, meanOverRest, type Loss } from "./loss.ts";
import { logitsOf, type Logits } from "./logits.ts";
import { flag, real } from "./options.ts";

/** Probabilities are kept this far from 0 and 1 before their logarithm is taken (Keras's `epsilon()`). */
export const PROBABILITY_EPSILON = 1e-7;

export interface CrossEntropyOptions {
  /** The predictions are logits. Not needed behind a softmax or sigmoid activation: its logits are found by themselves. */
  readonly fromLogits?: boolean;
  /** Share of the target that is spread evenly over all classes (Szegedy et al. 2016). */
  readonly labelSmoothing?: number;
}

export interface SparseCrossEntropyOptions {
  readonly fromLogits?: boolean;
  /** A label that does not count: the mean is taken over the other ones of the batch. */
  readonly ignoreClass?: number | null;
}

// The logits of the predictions if they are known: given as such, or behind a softmax or sigmoid.
function logitsFor(
  name: string,
  yPred: Tensor,
  { fromLogits, kind }: { fromLogits: boolean; kind: Logits["kind"] },
): Tensor | undefined {
  const tag = logitsOf(yPred);
  if (!fromLogits) return tag?.kind === kind ? tag.logits : undefined;
  if (tag !== undefined) {
    throw new ArgumentError(name, `\`fromLogits\` is true, but the predictions went through ${tag.kind}`, {
      hint: `drop fromLogits (the loss finds the logits behind a ${tag.kind} by itself) or the activation`,
    });
  }
  return yPred;
}

const clipped = (p: Tensor): Tensor => p.clamp(PROBABILITY_EPSILON, 1 - PROBABILITY_EPSILON);

// Divided by its sum; rows of zeros (a dead ReLU) stay zeros instead of becoming NaN.
const normalized = (p: Tensor): Tensor => p.div(p.sum({ axis: -1, keepDims: true }).maximum(PROBABILITY_EPSILON));

/**
 * Cross-entropy of integer labels: `−ln p[label]`. yTrue: [batch, …] or [batch, …, 1] whole numbers in [0, classes);
 * yPred: [batch, …, classes] probabilities, or logits with `fromLogits`. A label out of range is an IndexError.
 *
 * @example
 * sparseCategoricalCrossentropy({ fromLogits: true }).perSample(tensor([1]), tensor([[0, 1e4]])).toNested(); // [0]
 */
export function sparseCategoricalCrossentropy(options: SparseCrossEntropyOptions = {}): Loss {
  const name = "sparse_categorical_crossentropy";
  const fromLogits = flag(name, "fromLogits", options.fromLogits ?? false);
  const ignoreClass = options.ignoreClass ?? null;
  const perSample = (yTrue: Tensor, yPred: Tensor): Tensor => {
    const rest = yPred.shape.slice(0, -1);
    const squeezed = sameShape(yTrue.shape, [...rest, 1]) ? yTrue.squeeze(-1) : yTrue;
    if (yPred.rank < 2 || !sameShape(squeezed.shape, rest)) {
      throw new ShapeError(
        name,
        `needs labels [batch, …] and predictions [batch, …, classes]: received ${formatType(yTrue)} and ${formatType(yPred)}`,
        {
          hint: "one-hot targets go with categorical_crossentropy",
        },
      );
    }
    const labels = squeezed.cast("int32");
    // Probabilities: the logarithm is a logit up to a constant.
    const logits = logitsFor(name, yPred, { fromLogits, kind: "softmax" }) ?? log(clipped(yPred));
    if (ignoreClass === null) return meanOverRest(crossEntropy(logits, labels));
    const counts = labels.notEqual(ignoreClass);
    const losses = where(counts, crossEntropy(logits, where(counts, labels, 0)), 0);
    const scale = counts.cast("float32").sum().maximum(1).div(counts.size);
    return meanOverRest(losses.div(scale));
  };
  return { name, perSample, config: { fromLogits, ignoreClass } };
}

/**
 * Cross-entropy of class distributions: `−Σ t ln p` over the last axis. yTrue, yPred: [batch, …, classes].
 * Probabilities are divided by their sum first, as in Keras.
 */
export function categoricalCrossentropy(options: CrossEntropyOptions = {}): Loss {
  const name = "categorical_crossentropy";
  const fromLogits = flag(name, "fromLogits", options.fromLogits ?? false);
  const labelSmoothing = real(name, "labelSmoothing", options.labelSmoothing ?? 0, [0, 1]);
  const perSample = (yTrue: Tensor, yPred: Tensor): Tensor => {
    if (yPred.rank < 2 || !sameShape(yTrue.shape, yPred.shape)) {
      throw new ShapeError(
        name,
        `needs targets and predictions [batch, …, classes]: received ${formatType(yTrue)} and ${formatType(yPred)}`,
        {
          hint: "integer labels go with sparse_categorical_crossentropy",
        },
      );
    }
    const classes = yPred.shape.at(-1)!;
    const target = yTrue
      .cast("float32")
      .mul(1 - labelSmoothing)
      .add(labelSmoothing / classes);
    const logits = logitsFor(name, yPred, { fromLogits, kind: "softmax" });
    const logP = logits === undefined ? log(clipped(normalized(yPred))) : logSoftmax(logits);
    return meanOverRest(target.mul(logP).sum({ axis: -1 }).neg());
  };
  return { name, perSample, config: { fromLogits, labelSmoothing } };
}

// −t ln σ(x) − (1 − t) ln(1 − σ(x)), without overflow: softplus(x) − t x.
const binaryFromLogits = (target: Tensor, logits: Tensor): Tensor => softplus(logits).sub(target.mul(logits));

function binaryFromProbabilities(target: Tensor, p: Tensor): Tensor {
  const safe = clipped(p);
  return target
    .mul(log(safe))
    .add(
      target
        .neg()
        .add(1)
        .mul(log(safe.neg().add(1))),
    )
    .neg();
}

/**
 * Cross-entropy of yes-or-no targets, each output by itself: `−t ln p − (1 − t) ln(1 − p)`. yTrue, yPred: [batch, …].
 */
export function binaryCrossentropy(options: CrossEntropyOptions = {}): Loss {
  const name = "binary_crossentropy";
  const fromLogits = flag(name, "fromLogits", options.fromLogits ?? false);
  const labelSmoothing = real(name, "labelSmoothing", options.labelSmoothing ?? 0, [0, 1]);
  const perSample = (yTrue: Tensor, yPred: Tensor): Tensor => {
    const [target] = aligned(name, yTrue, yPred);
    const smooth = target.mul(1 - labelSmoothing).add(0.5 * labelSmoothing);
    const logits = logitsFor(name, yPred, { fromLogits, kind: "sigmoid" });
    if (logits !== undefined) return meanOverRest(binaryFromLogits(smooth.reshape(logits.shape), logits));
    return meanOverRest(binaryFromProbabilities(smooth.reshape(yPred.shape), yPred));
  };
  return { name, perSample, config: { fromLogits, labelSmoothing } };
}

export interface FocalOptions extends CrossEntropyOptions {
  /** How much well-classified samples are played down; 2 unless said. */
  readonly gamma?: number;
  /** Weight of the positive class, with `applyClassBalancing`. */
  readonly alpha?: number;
  readonly applyClassBalancing?: boolean;
}

/** Binary cross-entropy times `(1 − p_t)^γ`, p_t the probability of the truth (Lin et al. 2017). */
export function binaryFocalCrossentropy(options: FocalOptions = {}): Loss {
  const name = "binary_focal_crossentropy";
  const fromLogits = flag(name, "fromLogits", options.fromLogits ?? false);
  const labelSmoothing = real(name, "labelSmoothing", options.labelSmoothing ?? 0, [0, 1]);
  const gamma = real(name, "gamma", options.gamma ?? 2, [0, Number.MAX_VALUE]);
  const alpha = real(name, "alpha", options.alpha ?? 0.25, [0, 1]);
  const applyClassBalancing = flag(name, "applyClassBalancing", options.applyClassBalancing ?? false);
  const perSample = (yTrue: Tensor, yPred: Tensor): Tensor => {
    const [target] = aligned(name, yTrue, yPred);
    const t = target
      .reshape(yPred.shape)
      .mul(1 - labelSmoothing)
      .add(0.5 * labelSmoothing);
    const logits = logitsFor(name, yPred, { fromLogits, kind: "sigmoid" });
    const p = logits === undefined ? yPred : logits.sigmoid();
    const entropy = logits === undefined ? binaryFromProbabilities(t, yPred) : binaryFromLogits(t, logits);
    const truth = t.mul(p).add(t.neg().add(1).mul(p.neg().add(1)));
    const focal = truth.neg().add(1).pow(gamma).mul(entropy);
    if (!applyClassBalancing) return meanOverRest(focal);
    return meanOverRest(
      focal.mul(
        t.mul(alpha).add(
          t
            .neg()
            .add(1)
            .mul(1 - alpha),
        ),
      ),
    );
  };
  return { name, perSample, config: { fromLogits, labelSmoothing, gamma, alpha, applyClassBalancing } };
}
