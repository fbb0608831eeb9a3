// Explanation: one training step of one sample as plain data, every number of it. What explain() returns and renderers draw.
import type { Formula } from "./formula.ts";

/** An array of numbers as plain data, row by row. The batch axis of size 1 is taken off. */
export interface NumberArray {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** Numbers that say what an array is like. `norm` is the root of the sum of squares. */
export interface Statistics {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Standard deviation. */
  readonly std: number;
  readonly norm: number;
}

/** An array and its statistics. */
export interface Quantity extends NumberArray {
  readonly statistics: Statistics;
}

/** Arrays by parameter name: `kernel`, `bias`, … */
export type Quantities = { readonly [name: string]: Quantity };

/**
 * dense: `z = W a + b` and a function of z · activation: a function of each element · layout: the same numbers in another
 * shape · other: shown by its operations and statistics.
 */
export type LayerRole = "dense" | "activation" | "layout" | "other";

/** One neuron's sum, written out: `z = Σ w·a + b`. */
export interface Neuron {
  readonly index: number;
  /** The terms of largest size: input number, weight, input, product. */
  readonly terms: readonly {
    readonly input: number;
    readonly weight: number;
    readonly value: number;
    readonly product: number;
  }[];
  /** Terms that are not listed, and how many of them are zero. */
  readonly others: number;
  readonly zeros: number;
  readonly bias: number | null;
  readonly z: number;
  readonly activation: number;
  readonly delta: number;
}

/** A layer with its numbers in all four steps. */
export interface ExplainedLayer {
  /** Where it is in the model: `layers.0`. A second call of the same layer has `#2` behind it. */
  readonly path: string;
  /** Its class: `Dense`. */
  readonly kind: string;
  readonly role: LayerRole;
  /** The l of a⁽ˡ⁾, z⁽ˡ⁾, δ⁽ˡ⁾; layers that only move numbers carry on with the number of their input. */
  readonly number: number;
  /** The number of the layer each input comes from; 0 is the sample. */
  readonly from: readonly number[];
  /** The activation function by name, where the layer has one. */
  readonly nonlinearity: string | null;
  /** The operations the layer is made of in the program, in order, and how often each occurs in a row. */
  readonly operations: readonly string[];
  readonly formulas: {
    readonly forward: readonly Formula[];
    readonly backward: readonly Formula[];
    readonly gradients: readonly Formula[];
    readonly update: readonly Formula[];
  };
  readonly input: readonly Quantity[];
  /** What the activation function is applied to, where there is such a place. */
  readonly z: Quantity | null;
  /** What the layer gives: a = σ(z). */
  readonly activation: Quantity;
  /** ∂L/∂a, what the layers after it hand back; null where the loss does not depend on it, or reads z instead. */
  readonly activationGradient: Quantity | null;
  /** σ′(z), where the activation works on each number alone. */
  readonly slope: Quantity | null;
  /** δ = ∂L/∂z; for layers without a z the gradient of their output. */
  readonly delta: Quantity | null;
  /** ∂L/∂(input), null for inputs without influence or that are whole numbers. */
  readonly inputGradient: readonly (Quantity | null)[];
  /** ∂L/∂parameter, for those that are trained. */
  readonly gradients: Quantities;
  readonly before: Quantities;
  /** parameter − η ∂L/∂parameter, for those that are trained. */
  readonly after: Quantities;
  /** Names of parameters that keep their value. */
  readonly frozen: readonly string[];
  /** The neuron with the largest |δ|, written out. */
  readonly neuron: Neuron | null;
  readonly notes: readonly string[];
}

/** One gradient beside its central difference. */
export interface GradientCheck {
  /** Path of the parameter: `layers.0.kernel`. */
  readonly path: string;
  readonly index: readonly number[];
  /** The parameter's number before the step. */
  readonly value: number;
  readonly epsilon: number;
  /** By backpropagation. */
  readonly analytic: number;
  /** `(L(w + ε) − L(w − ε)) / 2ε`, two runs of the forward program. */
  readonly numeric: number;
  /** |analytic − numeric| / max(|analytic|, |numeric|); 0 where both are 0. */
  readonly relativeError: number;
}

/** What the network said. */
export interface Prediction extends Quantity {
  /** For a classifier: the class with the largest output. */
  readonly label: number | null;
}

/** The loss before and after the step. */
export interface ExplainedLoss {
  readonly name: string;
  /** All of it: data and penalty. */
  readonly value: number;
  /** What the prediction costs. */
  readonly data: number;
  /** Regularization; null where no parameter has any. */
  readonly penalty: number | null;
  readonly formulas: readonly Formula[];
  /** The loss of the same sample with the updated parameters. */
  readonly after: number;
  /** What the gradient promised: −η Σ g². */
  readonly promised: number;
}

/** One training step of one sample: forward, loss, backward, update. Plain data: JSON.stringify keeps all of it. */
export interface Explanation {
  readonly model: { readonly kind: string; readonly parameters: number };
  /** Where the numbers were computed. */
  readonly device: string;
  /** Whether dropout and batch statistics behaved as in training. */
  readonly training: boolean;
  readonly learningRate: number;
  readonly sample: {
    readonly input: readonly Quantity[];
    /** Height, width and channels where the input is a picture. */
    readonly image: readonly [number, number, number] | null;
    readonly target: NumberArray;
    /** The class number, for a classifier. */
    readonly label: number | null;
  };
  readonly classNames: readonly string[] | null;
  readonly layers: readonly ExplainedLayer[];
  readonly loss: ExplainedLoss;
  readonly prediction: Prediction;
  readonly checks: readonly GradientCheck[];
  /** The text of the traced step: loss, gradients, updates. */
  readonly program: string;
  readonly notes: readonly string[];
}
