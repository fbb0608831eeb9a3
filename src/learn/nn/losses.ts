// Losses on numbers and distributions, and the closed table losses are chosen from.
import { ArgumentError } from "../../engine/core/index.ts";
import { log, logicalOr, rsqrt, softplus, where, type Tensor } from "../../engine/tensor/index.ts";
import {
  binaryCrossentropy,
  binaryFocalCrossentropy,
  categoricalCrossentropy,
  PROBABILITY_EPSILON,
  sparseCategoricalCrossentropy,
} from "./cross-entropy.ts";
import { aligned, meanOverRest, type Loss } from "./loss.ts";
import { resolveNamed, type JsonObject, type NamedEntry, type Spec } from "./named.ts";
import { real } from "./options.ts";

// A loss that is a mean of one number an element.
function elementwise(name: string, fn: (t: Tensor, p: Tensor) => Tensor, config: JsonObject = {}): Loss {
  return { name, perSample: (yTrue, yPred) => meanOverRest(fn(...aligned(name, yTrue, yPred))), config };
}

// A loss that is one number for each row (the last axis).
function rowwise(name: string, fn: (t: Tensor, p: Tensor) => Tensor): Loss {
  return elementwise(name, fn);
}

/**
 * `mean (t − p)²`
 *
 * @example
 * meanSquaredError().perSample(tensor([[1, 2]]), tensor([[2, 4]])).toNested(); // [2.5]
 */
export function meanSquaredError(): Loss {
  return elementwise("mean_squared_error", (t, p) => p.sub(t).square());
}

/** `mean |t − p|` */
export function meanAbsoluteError(): Loss {
  return elementwise("mean_absolute_error", (t, p) => p.sub(t).abs());
}

/** `100 · mean |t − p| / max(|t|, 1e-7)` */
export function meanAbsolutePercentageError(): Loss {
  return elementwise("mean_absolute_percentage_error", (t, p) =>
    t.sub(p).div(t.abs().maximum(PROBABILITY_EPSILON)).abs().mul(100),
  );
}

/** `mean (ln(1 + t) − ln(1 + p))²`, negative numbers taken as 0. */
export function meanSquaredLogarithmicError(): Loss {
  const ln = (x: Tensor): Tensor => log(x.maximum(PROBABILITY_EPSILON).add(1));
  return elementwise("mean_squared_logarithmic_error", (t, p) => ln(p).sub(ln(t)).square());
}

/** `½ e²` where `|e| ≤ δ`, else `δ |e| − ½ δ²`, e = p − t (Huber 1964). */
export function huber({ delta = 1 }: { readonly delta?: number } = {}): Loss {
  real("huber", "delta", delta, [0, Number.MAX_VALUE]);
  const fn = (t: Tensor, p: Tensor): Tensor => {
    const size = p.sub(t).abs();
    const quadratic = size.square().mul(0.5);
    return where(size.lessEqual(delta), quadratic, size.mul(delta).sub(0.5 * delta * delta));
  };
  return elementwise("huber", fn, { delta });
}

/** `mean ln cosh(p − t)`, without overflow. */
export function logCosh(): Loss {
  return elementwise("log_cosh", (t, p) => {
    const e = p.sub(t);
    return e.add(softplus(e.mul(-2))).sub(Math.LN2);
  });
}

// Targets of 0 and 1 are read as −1 and 1.
function signs(t: Tensor): Tensor {
  const binary = logicalOr(t.equal(0), t.equal(1)).cast("float32").min().equal(1);
  return where(binary, t.mul(2).sub(1), t);
}

/** `mean max(1 − t p, 0)`; targets −1 and 1, or 0 and 1. */
export function hinge(): Loss {
  return elementwise("hinge", (t, p) => signs(t).mul(p).neg().add(1).maximum(0));
}

/** `mean max(1 − t p, 0)²` */
export function squaredHinge(): Loss {
  return elementwise("squared_hinge", (t, p) => signs(t).mul(p).neg().add(1).maximum(0).square());
}

/** `max(1 + max((1 − t) p) − Σ t p, 0)`: the margin of the right class over the best wrong one; t one-hot. */
export function categoricalHinge(): Loss {
  return rowwise("categorical_hinge", (t, p) => {
    const right = t.mul(p).sum({ axis: -1 });
    const wrong = t.neg().add(1).mul(p).max({ axis: -1 });
    return wrong.sub(right).add(1).maximum(0);
  });
}

/** Kullback–Leibler divergence `Σ t ln(t / p)` of distributions along the last axis. */
export function klDivergence(): Loss {
  return rowwise("kl_divergence", (t, p) => {
    const [truth, guess] = [t.clamp(PROBABILITY_EPSILON, 1), p.clamp(PROBABILITY_EPSILON, 1)];
    return truth.mul(log(truth.div(guess))).sum({ axis: -1 });
  });
}

/** `mean p − t ln p`: counts with mean p. */
export function poisson(): Loss {
  return elementwise("poisson", (t, p) => p.sub(t.mul(log(p.add(PROBABILITY_EPSILON)))));
}

/** Minus the cosine of the angle between target and prediction, along the last axis: −1 is the same direction. */
export function cosineSimilarity(): Loss {
  const unit = (x: Tensor): Tensor => x.mul(rsqrt(x.square().sum({ axis: -1, keepDims: true }).maximum(1e-14)));
  return rowwise("cosine_similarity", (t, p) => unit(t).mul(unit(p)).sum({ axis: -1 }).neg());
}

const entry = (make: (options: never) => Loss, ...options: readonly string[]): NamedEntry<Loss> => ({ make, options });
const crossEntropyOptions = ["fromLogits", "labelSmoothing"];

const table: { readonly [name: string]: NamedEntry<Loss> } = {
  sparse_categorical_crossentropy: entry(sparseCategoricalCrossentropy, "fromLogits", "ignoreClass"),
  categorical_crossentropy: entry(categoricalCrossentropy, ...crossEntropyOptions),
  binary_crossentropy: entry(binaryCrossentropy, ...crossEntropyOptions),
  bce: entry(binaryCrossentropy, ...crossEntropyOptions),
  binary_focal_crossentropy: entry(
    binaryFocalCrossentropy,
    ...crossEntropyOptions,
    "gamma",
    "alpha",
    "applyClassBalancing",
  ),
  mean_squared_error: entry(meanSquaredError),
  mse: entry(meanSquaredError),
  mean_absolute_error: entry(meanAbsoluteError),
  mae: entry(meanAbsoluteError),
  mean_absolute_percentage_error: entry(meanAbsolutePercentageError),
  mape: entry(meanAbsolutePercentageError),
  mean_squared_logarithmic_error: entry(meanSquaredLogarithmicError),
  msle: entry(meanSquaredLogarithmicError),
  huber: entry(huber, "delta"),
  log_cosh: entry(logCosh),
  hinge: entry(hinge),
  squared_hinge: entry(squaredHinge),
  categorical_hinge: entry(categoricalHinge),
  kl_divergence: entry(klDivergence),
  kld: entry(klDivergence),
  poisson: entry(poisson),
  cosine_similarity: entry(cosineSimilarity),
};

/** The names `resolveLoss` knows. */
export const lossNames: readonly string[] = Object.keys(table);

/** A loss by name, by name with options, or as an object. */
export type LossLike = Spec | Loss;

/**
 * The loss of this name (Keras's names, snake_case or camelCase), or the loss itself.
 *
 * @example
 * resolveLoss("mse").name; // "mean_squared_error"
 */
export function resolveLoss(loss: LossLike): Loss {
  if (typeof loss === "string" || (typeof loss === "object" && loss !== null && !("perSample" in loss)))
    return resolveNamed("loss", table, loss);
  if (typeof (loss as Loss | null)?.perSample === "function") return loss as Loss;
  throw new ArgumentError("loss", `must be a name or an object with perSample: received ${String(loss)}`);
}

/** A loss as a name with its options, for a file. Throws ArgumentError for a loss of your own. */
export function lossSpec(loss: Loss): Spec {
  if (!Object.hasOwn(table, loss.name) || loss.config === undefined)
    throw new ArgumentError("loss", `"${loss.name}" is a loss of your own, which no file can hold`);
  return Object.keys(loss.config).length === 0 ? loss.name : { ...loss.config, name: loss.name };
}
