// Activation functions with Keras's names and formulas, and the closed table they are chosen from.
import { ArgumentError } from "../../engine/core/index.ts";
import * as tensors from "../../engine/tensor/index.ts";
import { where, type Tensor } from "../../engine/tensor/index.ts";
import { tagLogits } from "./logits.ts";
import { named, resolveNamed, type JsonObject, type NamedEntry, type Spec } from "./named.ts";

/** A function of a Tensor, the same shape out. */
export type Activation = (x: Tensor) => Tensor;
/** An activation by name, by name with options, or as a function. */
export type ActivationLike = Spec | Activation;

/** `x` */
export const linear: Activation = named("linear", {}, (x) => x);

/** `max(x, 0)`; for negative numbers `negativeSlope · x`, cut off at `maxValue`. The gradient at 0 is 0. */
export function relu(
  x: Tensor,
  { negativeSlope = 0, maxValue }: { readonly negativeSlope?: number; readonly maxValue?: number } = {},
): Tensor {
  const positive = tensors.relu(x);
  const both = negativeSlope === 0 ? positive : positive.sub(tensors.relu(x.neg()).mul(negativeSlope));
  return maxValue === undefined ? both : both.minimum(maxValue);
}

/** `min(max(x, 0), 6)` */
export function relu6(x: Tensor): Tensor {
  return x.clamp(0, 6);
}

/** `x` for positive numbers, `negativeSlope · x` for negative ones (Maas et al. 2013). */
export function leakyRelu(x: Tensor, { negativeSlope = 0.2 }: { readonly negativeSlope?: number } = {}): Tensor {
  return relu(x, { negativeSlope });
}

// eˣ − 1 of what is not positive: the branch that is not taken must not overflow, or its gradient would be NaN.
const expm1Negative = (x: Tensor): Tensor => tensors.expm1(x.minimum(0));

/** `x` for positive numbers, `α (eˣ − 1)` for the others (Clevert et al. 2015). */
export function elu(x: Tensor, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor {
  return where(x.greater(0), x, expm1Negative(x).mul(alpha));
}

/** `s · elu(x, α)` with α = 1.6733, s = 1.0507: keeps mean 0 and variance 1 from layer to layer (Klambauer et al. 2017). */
export function selu(x: Tensor): Tensor {
  return elu(x, { alpha: 1.6732632423543772 }).mul(1.0507009873554805);
}

/** `max(x, 0) + min(α (e^(x/α) − 1), 0)` (Barron 2017). */
export function celu(x: Tensor, { alpha = 1 }: { readonly alpha?: number } = {}): Tensor {
  return where(x.greater(0), x, expm1Negative(x.div(alpha)).mul(alpha));
}

/** `ln(1 + eˣ)` */
export function softplus(x: Tensor): Tensor {
  return tensors.softplus(x);
}

/** `x / (1 + |x|)` */
export function softsign(x: Tensor): Tensor {
  return x.div(x.abs().add(1));
}

/** `x · sigmoid(x)` (Ramachandran et al. 2017), also called swish. */
export function silu(x: Tensor): Tensor {
  return tensors.silu(x);
}

/** `x Φ(x)`, exact unless `approximate` (Hendrycks & Gimpel 2016). */
export function gelu(x: Tensor, { approximate = false }: { readonly approximate?: boolean } = {}): Tensor {
  return tensors.gelu(x, { approximate });
}

/** `1 / (1 + e⁻ˣ)`; its logits stay known to a binary cross-entropy. */
export function sigmoid(x: Tensor): Tensor {
  return tagLogits(x.sigmoid(), { logits: x, kind: "sigmoid" });
}

/** `min(max(x/6 + 1/2, 0), 1)` */
export function hardSigmoid(x: Tensor): Tensor {
  return x.div(6).add(0.5).clamp(0, 1);
}

/** `x · hardSigmoid(x)` (Howard et al. 2019), also called hard swish. */
export function hardSilu(x: Tensor): Tensor {
  return x.mul(hardSigmoid(x));
}

/** `(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)` */
export function tanh(x: Tensor): Tensor {
  return x.tanh();
}

/** `min(max(x, −1), 1)` */
export function hardTanh(x: Tensor): Tensor {
  return x.clamp(-1, 1);
}

/** `eˣ` */
export function exponential(x: Tensor): Tensor {
  return x.exp();
}

/** `x · tanh(ln(1 + eˣ))` (Misra 2019). */
export function mish(x: Tensor): Tensor {
  return x.mul(tensors.softplus(x).tanh());
}

/** `ln(sigmoid(x))`, without underflow. */
export function logSigmoid(x: Tensor): Tensor {
  return tensors.softplus(x.neg()).neg();
}

/** `eˣ / Σ eˣ` along an axis; along the last one its logits stay known to a cross-entropy. */
export function softmax(x: Tensor, { axis = -1 }: { readonly axis?: number } = {}): Tensor {
  if (x.rank < 2) {
    throw new ArgumentError("softmax", "softmax over the batch makes no sense: the input has one axis", {
      hint: "the classes are the last of at least two axes",
    });
  }
  const probabilities = tensors.softmax(x, axis);
  const last = axis === -1 || axis === x.rank - 1;
  return last ? tagLogits(probabilities, { logits: x, kind: "softmax" }) : probabilities;
}

/** `x − ln Σ eˣ` along an axis. */
export function logSoftmax(x: Tensor, { axis = -1 }: { readonly axis?: number } = {}): Tensor {
  return tensors.logSoftmax(x, axis);
}

/** `(x + √(x² + b)) / 2` (Barron 2021). */
export function squareplus(x: Tensor, { b = 4 }: { readonly b?: number } = {}): Tensor {
  return x.square().add(b).sqrt().add(x).mul(0.5);
}

/** `x − tanh(x)` */
export function tanhShrink(x: Tensor): Tensor {
  return x.sub(x.tanh());
}

/** `x − t` above t, `x + t` below −t, 0 between. */
export function softShrink(x: Tensor, { threshold = 0.5 }: { readonly threshold?: number } = {}): Tensor {
  return tensors.relu(x.sub(threshold)).sub(tensors.relu(x.neg().sub(threshold)));
}

/** `x` outside [−t, t], 0 inside. */
export function hardShrink(x: Tensor, { threshold = 0.5 }: { readonly threshold?: number } = {}): Tensor {
  return where(x.abs().greater(threshold), x, 0);
}

type Fn = (x: Tensor, options?: never) => Tensor;

function entry(name: string, fn: Fn, ...options: readonly string[]): NamedEntry<Activation> {
  const plain = named(name, {}, (x: Tensor) => fn(x));
  named(name, {}, fn);
  return {
    make: (given: JsonObject) =>
      Object.keys(given).length === 0 ? plain : named(name, given, (x: Tensor) => fn(x, given as never)),
    options,
  };
}

const table: { readonly [name: string]: NamedEntry<Activation> } = {
  linear: entry("linear", linear),
  relu: entry("relu", relu, "negativeSlope", "maxValue"),
  relu6: entry("relu6", relu6),
  leaky_relu: entry("leaky_relu", leakyRelu, "negativeSlope"),
  elu: entry("elu", elu, "alpha"),
  selu: entry("selu", selu),
  celu: entry("celu", celu, "alpha"),
  softplus: entry("softplus", softplus),
  softsign: entry("softsign", softsign),
  silu: entry("silu", silu),
  swish: entry("silu", silu),
  gelu: entry("gelu", gelu, "approximate"),
  sigmoid: entry("sigmoid", sigmoid),
  hard_sigmoid: entry("hard_sigmoid", hardSigmoid),
  hard_silu: entry("hard_silu", hardSilu),
  hard_swish: entry("hard_silu", hardSilu),
  tanh: entry("tanh", tanh),
  hard_tanh: entry("hard_tanh", hardTanh),
  exponential: entry("exponential", exponential),
  mish: entry("mish", mish),
  log_sigmoid: entry("log_sigmoid", logSigmoid),
  softmax: entry("softmax", softmax, "axis"),
  log_softmax: entry("log_softmax", logSoftmax, "axis"),
  squareplus: entry("squareplus", squareplus, "b"),
  tanh_shrink: entry("tanh_shrink", tanhShrink),
  soft_shrink: entry("soft_shrink", softShrink, "threshold"),
  hard_shrink: entry("hard_shrink", hardShrink, "threshold"),
};

/** The names `resolveActivation` knows. */
export const activationNames: readonly string[] = Object.keys(table);

/**
 * The activation of this name (Keras's names, snake_case or camelCase), or the function itself; none is linear.
 *
 * @example
 * resolveActivation("relu")(tensor([-1, 2])).toNested(); // [0, 2]
 */
export function resolveActivation(activation: ActivationLike | null | undefined): Activation {
  if (activation === undefined || activation === null) return linear;
  return typeof activation === "function" ? activation : resolveNamed("activation", table, activation);
}
