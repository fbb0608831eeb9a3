// The recurrent cells: simple, LSTM, GRU. Gates in Keras's order.
import { concat, split, type Tensor } from "../../engine/tensor/index.ts";
import { resolveActivation, type Activation, type ActivationLike } from "./activations.ts";
import { ones as oneInitializer } from "./initializers.ts";
import { specOf, type JsonObject } from "./named.ts";
import { flag } from "./options.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import {
  maskedState,
  Recurrent,
  type RecurrentOptions,
  type RecurrentOutput,
  type RecurrentWeights,
} from "./recurrent.ts";

/** See `simpleRNN`. */
export class SimpleRNN<Output extends RecurrentOutput = Tensor> extends Recurrent<Output> {
  readonly kind: string = "SimpleRNN";
  readonly config: JsonObject;
  protected readonly gates: number = 1;
  protected readonly stateCount: number = 1;

  constructor(options: RecurrentOptions & { readonly units: number }) {
    super(options);
    this.config = this.recurrentConfig();
  }

  protected step(projected: Tensor, states: readonly Tensor[], weights: RecurrentWeights): readonly Tensor[] {
    return [this.activation(projected.add(maskedState(states[0]!, weights).matmul(weights.recurrentKernel)))];
  }
}

export interface GatedOptions extends RecurrentOptions {
  /** Of the gates; sigmoid unless said. */
  readonly recurrentActivation?: ActivationLike | null | undefined;
}

function gateActivation(options: GatedOptions): Activation {
  return resolveActivation(options.recurrentActivation === undefined ? "sigmoid" : options.recurrentActivation);
}

export interface LstmOptions extends GatedOptions {
  /** The forget gate's bias begins at 1 (Jozefowicz et al. 2015); true unless said. */
  readonly unitForgetBias?: boolean | undefined;
}

/** See `lstm`. */
export class LSTM<Output extends RecurrentOutput = Tensor> extends Recurrent<Output> {
  readonly kind: string = "LSTM";
  readonly config: JsonObject;
  protected readonly gates: number = 4;
  protected readonly stateCount: number = 2;
  readonly #gate: Activation;
  readonly #unitForgetBias: boolean;

  constructor(options: LstmOptions & { readonly units: number }) {
    super(options);
    this.#gate = gateActivation(options);
    this.#unitForgetBias = flag("lstm", "unitForgetBias", options.unitForgetBias ?? true);
    this.config = {
      ...this.recurrentConfig(),
      recurrentActivation: specOf(this.#gate),
      unitForgetBias: this.#unitForgetBias,
    };
  }

  protected override biases(
    initializer: Initializer,
    regularizer: Regularizer | undefined,
  ): readonly (Tensor | undefined)[] {
    const { units } = this;
    const one = oneInitializer();
    const withForget: Initializer = (key, [width]) => {
      const value = initializer(key, [width!]);
      return concat([value.slice(0, units), one(key, [units]), value.slice(2 * units)]);
    };
    return super.biases(this.#unitForgetBias ? withForget : initializer, regularizer);
  }

  protected step(projected: Tensor, states: readonly Tensor[], weights: RecurrentWeights): readonly Tensor[] {
    const [h, c] = states as [Tensor, Tensor];
    const z = projected.add(maskedState(h, weights).matmul(weights.recurrentKernel));
    const [input, forget, candidate, output] = split(z, 4, 1) as [Tensor, Tensor, Tensor, Tensor];
    const gate = this.#gate;
    const cell = gate(forget)
      .mul(c)
      .add(gate(input).mul(this.activation(candidate)));
    return [gate(output).mul(this.activation(cell)), cell];
  }
}

export interface GruOptions extends GatedOptions {
  /** The reset gate works after the product with the state (as cuDNN), with a bias of its own; true unless said. */
  readonly resetAfter?: boolean | undefined;
}

/** See `gru`. */
export class GRU<Output extends RecurrentOutput = Tensor> extends Recurrent<Output> {
  readonly kind: string = "GRU";
  readonly config: JsonObject;
  protected readonly gates: number = 3;
  protected readonly stateCount: number = 1;
  readonly #gate: Activation;
  readonly #resetAfter: boolean;

  constructor(options: GruOptions & { readonly units: number }) {
    super(options);
    this.#gate = gateActivation(options);
    this.#resetAfter = flag("gru", "resetAfter", options.resetAfter ?? true);
    this.config = {
      ...this.recurrentConfig(),
      recurrentActivation: specOf(this.#gate),
      resetAfter: this.#resetAfter,
    };
  }

  protected override biases(
    initializer: Initializer,
    regularizer: Regularizer | undefined,
  ): readonly (Tensor | undefined)[] {
    if (!this.useBias || !this.#resetAfter) return super.biases(initializer, regularizer);
    const both = this.param("bias", [2, this.gates * this.units], initializer, { regularizer });
    return split(both, 2, 0).map((row) => row.squeeze(0));
  }

  protected step(projected: Tensor, states: readonly Tensor[], weights: RecurrentWeights): readonly Tensor[] {
    const h = states[0]!;
    const { units } = this;
    const seen = maskedState(h, weights);
    const cut = (x: Tensor, from: number, to: number): Tensor => x.slice(from * units, to * units, { axis: 1 });
    const { recurrentKernel: kernel, recurrentBias: bias } = weights;
    const product = seen.matmul(this.#resetAfter ? kernel : cut(kernel, 0, 2));
    const inner = bias === undefined ? product : product.add(bias);
    const gates = this.#gate(cut(projected, 0, 2).add(cut(inner, 0, 2)));
    const [update, reset] = [cut(gates, 0, 1), cut(gates, 1, 2)];
    const past = this.#resetAfter ? reset.mul(cut(inner, 2, 3)) : reset.mul(seen).matmul(cut(kernel, 2, 3));
    const candidate = this.activation(cut(projected, 2, 3).add(past));
    return [update.mul(h).add(candidate.sub(update.mul(candidate)))];
  }
}

type WithState = { readonly returnState: true };

/**
 * A recurrent layer: `h ← activation(x W + h U + b)` (Elman 1990).
 * x: [batch, steps, features]; result: [batch, units], or [batch, steps, units] with `returnSequences`.
 *
 * @example
 * simpleRNN(8, { returnSequences: true }).apply(input({ shape: [20, 3] })).shape; // [null, 20, 8]
 */
export function simpleRNN(units: number, options: RecurrentOptions & WithState): SimpleRNN<readonly Tensor[]>;
export function simpleRNN(units: number, options?: RecurrentOptions & { readonly returnState?: false }): SimpleRNN;
export function simpleRNN(units: number, options: RecurrentOptions = {}): SimpleRNN<RecurrentOutput> {
  return new SimpleRNN<RecurrentOutput>({ ...options, units });
}

/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997): `c ← σ(f) c + σ(i) tanh(g)`, `h ← σ(o) tanh(c)`, where
 * (i, f, g, o) = x W + h U + b. kernel: [features, 4 · units], gates in the order i, f, c, o; states: h, c.
 *
 * @example
 * lstm(16).apply(input({ shape: [20, 3] })).shape; // [null, 16]
 */
export function lstm(units: number, options: LstmOptions & WithState): LSTM<readonly Tensor[]>;
export function lstm(units: number, options?: LstmOptions & { readonly returnState?: false }): LSTM;
export function lstm(units: number, options: LstmOptions = {}): LSTM<RecurrentOutput> {
  return new LSTM<RecurrentOutput>({ ...options, units });
}

/**
 * Gated recurrent unit (Cho et al. 2014): `h ← z h + (1 − z) tanh(…)`. kernel: [features, 3 · units], gates in the order
 * z (update), r (reset), h; bias: [2, 3 · units] with `resetAfter`, else [3 · units].
 *
 * @example
 * gru(16).apply(input({ shape: [20, 3] })).shape; // [null, 16]
 */
export function gru(units: number, options: GruOptions & WithState): GRU<readonly Tensor[]>;
export function gru(units: number, options?: GruOptions & { readonly returnState?: false }): GRU;
export function gru(units: number, options: GruOptions = {}): GRU<RecurrentOutput> {
  return new GRU<RecurrentOutput>({ ...options, units });
}
