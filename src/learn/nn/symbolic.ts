// Symbolic tensors: what layers are connected by before there are numbers. Shapes are found at once, by tracing the layer.
import { ArgumentError, checkShape, type DType, type Shape, type TensorType } from "../../engine/core/index.ts";
import { Tensor } from "../../engine/tensor/index.ts";
import type { Module } from "./module.ts";

/** A module at one place of a graph: what goes in, what comes out. A shared layer has one call for each place. */
export interface Call {
  readonly module: Module<never, unknown>;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  /** Whether the module takes one Tensor or an array of them. */
  readonly single: boolean;
}

/** The place of a Tensor in a graph. */
export class SymbolicTensor {
  readonly dtype: DType;
  /** Shape of one sample, without the batch. */
  readonly sampleShape: Shape;
  /** The name of an input. */
  readonly name: string | undefined;
  /** The call that makes it; `undefined` for inputs. */
  readonly call: Call | undefined;

  constructor(type: TensorType, origin: { readonly name?: string | undefined; readonly call?: Call } = {}) {
    this.dtype = type.dtype;
    this.sampleShape = type.shape;
    this.name = origin.name;
    this.call = origin.call;
  }

  /** The shape with `null` for the batch. */
  get shape(): readonly (number | null)[] {
    return [null, ...this.sampleShape];
  }

  /** The type for a batch of this size. */
  type(batch: number): TensorType {
    return { dtype: this.dtype, shape: [batch, ...this.sampleShape] };
  }
}

/** What a layer is applied to: one symbolic tensor, or several. */
export type SymbolicInput = SymbolicTensor | readonly SymbolicTensor[];

/** The symbolic counterpart of a layer's result. */
export type SymbolicOf<Output> = [Output] extends [Tensor]
  ? SymbolicTensor
  : [Output] extends [readonly Tensor[]]
    ? readonly SymbolicTensor[]
    : SymbolicInput;

/**
 * An input of a graph: samples of this shape (without the batch).
 *
 * @example
 * const x = input({ shape: [784] });
 * const y = dense(10, { activation: "softmax" }).apply(x);
 * y.shape; // [null, 10]
 */
export function input({
  shape,
  dtype = "float32",
  name,
}: {
  readonly shape: Shape;
  readonly dtype?: DType;
  readonly name?: string;
}): SymbolicTensor {
  checkShape("input", shape);
  return new SymbolicTensor({ dtype, shape: [...shape] }, { name });
}

// Shapes do not depend on the batch; two samples show a layer that mixes them up.
const BATCH = 2;

/** Calls a module on symbolic tensors: its parameters are declared and the shapes of its results known. */
export function connect<I, O>(module: Module<I, O>, at: SymbolicInput): SymbolicOf<O> {
  const single = at instanceof SymbolicTensor;
  const inputs = Array.isArray(at) ? (at as readonly SymbolicTensor[]) : [at as SymbolicTensor];
  for (const one of inputs) {
    if (!(one instanceof SymbolicTensor)) {
      throw new ArgumentError("apply", `takes symbolic tensors: received ${String(one)}`, {
        hint: "make the first with input({ shape }); numbers go through call()",
      });
    }
  }
  const outputs: SymbolicTensor[] = [];
  const call: Call = { module, inputs, outputs, single };
  const types = outputTypes(module, { inputs: inputs.map((one) => one.type(BATCH)), single });
  for (const type of [types].flat()) {
    if (type.shape[0] !== BATCH) {
      throw new ArgumentError(
        "apply",
        `the first axis is the batch and must stay as it is: received [${type.shape.join(",")}]`,
      );
    }
    outputs.push(new SymbolicTensor({ dtype: type.dtype, shape: type.shape.slice(1) }, { call }));
  }
  return (Array.isArray(types) ? outputs : outputs[0]!) as SymbolicOf<O>;
}

/** The type of a module's result on inputs of these types, found by tracing: one, or several where it returns an array. */
export function outputTypes<I, O>(
  module: Module<I, O>,
  { inputs, single }: { readonly inputs: readonly TensorType[]; readonly single: boolean },
): TensorType | readonly TensorType[] {
  let result: unknown;
  module.trace(
    inputs,
    (called, _, output) => {
      if (called === (module as unknown)) result = output;
    },
    { single },
  );
  const typeOf = (x: unknown): TensorType => {
    if (x instanceof Tensor) return { dtype: x.dtype, shape: x.shape };
    throw new ArgumentError("apply", "a layer of a graph returns a Tensor or an array of Tensors");
  };
  return Array.isArray(result) ? result.map(typeOf) : typeOf(result);
}
