// Parameter: a named place in a module for numbers that are trained (weights) or carried along (running statistics).
import { ArgumentError, formatType, sameShape, ShapeError, type DType, type Shape } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";

/** Makes the first value of a parameter from a key: the same key, the same value. */
export type Initializer = (key: Tensor, shape: Shape) => Tensor;

/** A penalty added to the loss: a scalar of a parameter's value. */
export type Regularizer = (value: Tensor) => Tensor;

export interface ParameterOptions {
  readonly dtype?: DType;
  readonly regularizer?: Regularizer | undefined;
}

/** weights are trained; states (running statistics) change in the forward pass. */
export type ParameterKind = "weight" | "state";

/** One named array of a module. */
export class Parameter {
  readonly name: string;
  readonly kind: ParameterKind;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly initializer: Initializer;
  readonly regularizer: Regularizer | undefined;
  /** False freezes it: it keeps its value and gets no gradient. */
  trainable: boolean;
  #value: Tensor | undefined;

  constructor(name: string, kind: ParameterKind, spec: { shape: Shape; initializer: Initializer } & ParameterOptions) {
    this.name = name;
    this.kind = kind;
    this.shape = spec.shape;
    this.dtype = spec.dtype ?? "float32";
    this.initializer = spec.initializer;
    this.regularizer = spec.regularizer;
    this.trainable = kind === "weight";
  }

  /** Whether it has a value. */
  get ready(): boolean {
    return this.#value !== undefined;
  }

  get value(): Tensor {
    if (this.#value === undefined) {
      throw new ArgumentError(this.name, "has no value yet", {
        hint: "initialize the model first: model.init(key, exampleInput)",
      });
    }
    return this.#value;
  }

  set value(next: Tensor) {
    if (!sameShape(next.shape, this.shape) || next.dtype !== this.dtype) {
      throw new ShapeError(this.name, `expected ${formatType(this)}: received ${formatType(next)}`);
    }
    this.#value = next;
  }
}
