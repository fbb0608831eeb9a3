// Model: Keras's functional API. A graph of layers between symbolic inputs and outputs, with compile, fit, evaluate, predict.
import type { DType } from "../../../engine/core/index.ts";
import { Graph, type Context, type JsonObject, type Module, type SymbolicInput } from "../../nn/index.ts";
import { BaseModel, type ModelInput, type ModelOutput } from "./base-model.ts";
import type { Port } from "./prepare.ts";

/**
 * A model of any graph of layers: several inputs and outputs, shared layers, skip connections.
 *
 * Outputs are named after the layers that make them; answers, losses and metrics of several outputs are given in order or
 * by these names.
 *
 * @example
 * const x = input({ shape: [8] });
 * const h = dense(16, { activation: "relu" }).apply(x);
 * const model = new Model({ inputs: x, outputs: [dense(1, { name: "price" }).apply(h), dense(3, { activation: "softmax", name: "kind" }).apply(h)] });
 * model.compile({ loss: { price: "mse", kind: "sparse_categorical_crossentropy" } });
 */
export class Model extends BaseModel {
  readonly kind: string = "Functional";
  readonly #graph: Graph;

  constructor({
    inputs,
    outputs,
    name,
  }: {
    readonly inputs: SymbolicInput;
    readonly outputs: SymbolicInput;
    readonly name?: string;
  }) {
    super(name === undefined ? {} : { name });
    this.#graph = new Graph({ inputs, outputs });
  }

  /** The graph itself: inputs, outputs, calls. */
  get graph(): Graph {
    return this.#graph;
  }

  get config(): JsonObject {
    return this.#graph.config;
  }

  /** Layers by name: parameters are `dense_1.kernel`. */
  override children(): [string, Module<never, unknown>][] {
    return this.#graph.children();
  }

  protected forward(given: ModelInput, context: Context): ModelOutput {
    return this.#graph.call(given, context);
  }

  protected outputNames(): readonly string[] {
    const names = new Map(this.#graph.members.map(([name, module]) => [module, name]));
    return this.#graph.outputs.map((place, o) => {
      const base = place.call === undefined ? (place.name ?? "input") : names.get(place.call.module)!;
      const twins = this.#graph.outputs.filter((other) => other.call?.module === place.call?.module);
      return twins.length === 1 ? base : `${base}_${o}`;
    });
  }

  protected ports(): { inputs: readonly Port[]; outputs: readonly Port[] } {
    const port = (place: { dtype: DType; sampleShape: readonly number[] }, name: string): Port => ({
      name,
      dtype: place.dtype,
      sampleShape: place.sampleShape,
    });
    const names = this.outputNames();
    return {
      inputs: this.#graph.inputs.map((place, i) => port(place, place.name ?? `input_${i}`)),
      outputs: this.#graph.outputs.map((place, o) => port(place, names[o]!)),
    };
  }
}
