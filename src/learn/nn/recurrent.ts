// Recurrent layers: what they share. One scan over the steps; inputs of all steps are projected in one product before it.
import { ArgumentError, formatType, ShapeError } from "../../engine/core/index.ts";
import { dropout, ones, reverse, scan, zeros, type Tensor } from "../../engine/tensor/index.ts";
import { resolveActivation, type Activation, type ActivationLike } from "./activations.ts";
import type { Context } from "./context.ts";
import { resolveInitializer, type InitializerLike } from "./initializers.ts";
import { Layer, type LayerOptions } from "./layer.ts";
import { specOf, type JsonObject } from "./named.ts";
import { expectAxes, flag, rate as checkRate, whole } from "./options.ts";
import type { Initializer, Regularizer } from "./parameter.ts";
import { resolveRegularizer, type RegularizerLike } from "./regularizers.ts";
import { regularizerSpec } from "./weighted.ts";

export interface RecurrentOptions extends LayerOptions {
  /** Of the new state; tanh unless said. */
  readonly activation?: ActivationLike | null | undefined;
  readonly useBias?: boolean | undefined;
  /** The state after every step instead of after the last. */
  readonly returnSequences?: boolean | undefined;
  /** The last states as well: the result is `[output, ...states]`. */
  readonly returnState?: boolean | undefined;
  /** From the last step to the first; sequences come out in that order. */
  readonly goBackwards?: boolean | undefined;
  /** Share of the inputs dropped in training, the same ones at every step. */
  readonly dropout?: number | undefined;
  /** Share of the state dropped in training, the same elements at every step (Gal & Ghahramani 2016). */
  readonly recurrentDropout?: number | undefined;
  readonly kernelInitializer?: InitializerLike | undefined;
  readonly recurrentInitializer?: InitializerLike | undefined;
  readonly biasInitializer?: InitializerLike | undefined;
  readonly kernelRegularizer?: RegularizerLike | null | undefined;
  readonly recurrentRegularizer?: RegularizerLike | null | undefined;
  readonly biasRegularizer?: RegularizerLike | null | undefined;
}

/** A sequence, or a sequence and the states to begin with. */
export type RecurrentInput = Tensor | readonly Tensor[];
/** The output, or the output and the last states (`returnState`). */
export type RecurrentOutput = Tensor | readonly Tensor[];

/** The weights of one call, with the recurrent dropout of this pass. */
export interface RecurrentWeights {
  readonly recurrentKernel: Tensor;
  /** `undefined` where the bias is added to the inputs alone. */
  readonly recurrentBias: Tensor | undefined;
  readonly mask: Tensor | undefined;
}

/** A layer that carries states from step to step. Subclasses say what one step does. */
export abstract class Recurrent<Output extends RecurrentOutput = Tensor> extends Layer<RecurrentInput, Output> {
  /** Number of gates: the kernel has `gates · units` columns. */
  protected abstract readonly gates: number;
  /** Number of states. */
  protected abstract readonly stateCount: number;
  readonly units: number;
  readonly returnSequences: boolean;
  readonly returnState: boolean;
  readonly goBackwards: boolean;
  protected readonly activation: Activation;
  protected readonly useBias: boolean;
  readonly #rates: { readonly inputs: number; readonly state: number };
  readonly #initializers: { readonly kernel: Initializer; readonly recurrent: Initializer; readonly bias: Initializer };
  readonly #regularizers: Record<"kernel" | "recurrent" | "bias", Regularizer | undefined>;

  constructor(options: RecurrentOptions & { readonly units: number }) {
    super(options);
    const where = "recurrent";
    this.units = whole(where, "units", options.units);
    this.returnSequences = flag(where, "returnSequences", options.returnSequences ?? false);
    this.returnState = flag(where, "returnState", options.returnState ?? false);
    this.goBackwards = flag(where, "goBackwards", options.goBackwards ?? false);
    this.activation = resolveActivation(options.activation === undefined ? "tanh" : options.activation);
    this.useBias = flag(where, "useBias", options.useBias ?? true);
    this.#rates = {
      inputs: checkRate(where, "dropout", options.dropout ?? 0),
      state: checkRate(where, "recurrentDropout", options.recurrentDropout ?? 0),
    };
    this.#initializers = {
      kernel: resolveInitializer(options.kernelInitializer ?? "glorot_uniform"),
      recurrent: resolveInitializer(options.recurrentInitializer ?? "orthogonal"),
      bias: resolveInitializer(options.biasInitializer ?? "zeros"),
    };
    this.#regularizers = {
      kernel: resolveRegularizer(options.kernelRegularizer),
      recurrent: resolveRegularizer(options.recurrentRegularizer),
      bias: resolveRegularizer(options.biasRegularizer),
    };
  }

  /** The shared options as JSON. */
  protected recurrentConfig(): JsonObject {
    return {
      units: this.units,
      activation: specOf(this.activation),
      useBias: this.useBias,
      returnSequences: this.returnSequences,
      returnState: this.returnState,
      goBackwards: this.goBackwards,
      dropout: this.#rates.inputs,
      recurrentDropout: this.#rates.state,
      kernelInitializer: specOf(this.#initializers.kernel),
      recurrentInitializer: specOf(this.#initializers.recurrent),
      biasInitializer: specOf(this.#initializers.bias),
      kernelRegularizer: regularizerSpec(this.#regularizers.kernel),
      recurrentRegularizer: regularizerSpec(this.#regularizers.recurrent),
      biasRegularizer: regularizerSpec(this.#regularizers.bias),
    };
  }

  /** One step: the projected input [batch, gates · units] and the states, to the next states; the first is the output. */
  protected abstract step(projected: Tensor, states: readonly Tensor[], weights: RecurrentWeights): readonly Tensor[];

  /** The bias of the inputs and, where it has one of its own, of the state. */
  protected biases(initializer: Initializer, regularizer: Regularizer | undefined): readonly (Tensor | undefined)[] {
    if (!this.useBias) return [];
    return [this.param("bias", [this.gates * this.units], initializer, { regularizer })];
  }

  protected forward(given: RecurrentInput, context: Context): Output {
    const [sequence, ...initial] = Array.isArray(given) ? (given as readonly Tensor[]) : [given as Tensor];
    if (sequence === undefined) throw new ArgumentError(this.kind, "needs a sequence: received an empty array");
    expectAxes(this.kind, sequence, "batch, steps, features");
    const [batch, steps, features] = sequence.shape as [number, number, number];
    if (steps === 0) throw new ShapeError(this.kind, `needs at least one step: received ${formatType(sequence)}`);
    const states = this.#begin(initial, batch);

    const width = this.gates * this.units;
    const regularizers = this.#regularizers;
    const kernel = this.param("kernel", [features, width], this.#initializers.kernel, {
      regularizer: regularizers.kernel,
    });
    const recurrentKernel = this.param("recurrentKernel", [this.units, width], this.#initializers.recurrent, {
      regularizer: regularizers.recurrent,
    });
    const [bias, recurrentBias] = this.biases(this.#initializers.bias, regularizers.bias);
    const dropped = (shape: readonly number[], rate: number): Tensor | undefined =>
      context.training && rate > 0 ? dropout(ones(shape), context.key(), rate) : undefined;
    const inputMask = dropped([batch, 1, features], this.#rates.inputs);
    const weights = { recurrentKernel, recurrentBias, mask: dropped([batch, this.units], this.#rates.state) };

    const masked = inputMask === undefined ? sequence : sequence.mul(inputMask);
    const product = masked.transpose([1, 0, 2]).matmul(kernel);
    const projected = bias === undefined ? product : product.add(bias);
    const { carry, ys } = scan(
      (now: readonly Tensor[], x: Tensor) => {
        const next = this.step(x, now, weights);
        return [next, this.returnSequences ? next[0]! : null] as const;
      },
      { init: states, xs: projected, reverse: this.goBackwards },
    );
    return this.#result(ys, carry);
  }

  #begin(initial: readonly Tensor[], batch: number): readonly Tensor[] {
    const shape = [batch, this.units];
    if (initial.length === 0) return Array.from({ length: this.stateCount }, () => zeros(shape));
    const fits = initial.length === this.stateCount && initial.every((s) => s.rank === 2 && s.shape[1] === this.units);
    if (!fits) {
      const received = initial.map(formatType).join(" and ");
      throw new ShapeError(
        this.kind,
        `${this.stateCount} states are float32[${shape.join(",")}]: received ${received}`,
      );
    }
    return initial;
  }

  #result(ys: Tensor | null, states: readonly Tensor[]): Output {
    let output = states[0]!;
    // The scan stacks by time; sequences come out in the order in which they were made.
    if (ys !== null) output = (this.goBackwards ? reverse(ys, 0) : ys).transpose([1, 0, 2]);
    return (this.returnState ? [output, ...states] : output) as Output;
  }
}

/** The state a step multiplies: with this pass's dropout, if any. */
export function maskedState(state: Tensor, { mask }: RecurrentWeights): Tensor {
  return mask === undefined ? state : state.mul(mask);
}
