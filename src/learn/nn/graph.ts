// Graph: the modules between symbolic inputs and outputs, as one layer. Shared layers, several inputs and outputs.
import { ArgumentError, formatType, ShapeError, type Shape } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import type { Context } from "./context.ts";
import { Layer, layerToJson, uniqueNames, type LayerOptions } from "./layer.ts";
import type { Module } from "./module.ts";
import type { Json, JsonObject } from "./named.ts";
import { SymbolicTensor, type Call, type SymbolicInput } from "./symbolic.ts";

/** One Tensor, or one for each input or output in order. */
export type GraphValue = Tensor | readonly Tensor[];

/** Where a value of a graph comes from: output `[1]` of call `[0]`; call −1 are the inputs of the graph. */
type Reference = readonly [number, number];

/**
 * The part of a network between symbolic inputs and outputs (Keras's functional API).
 *
 * @example
 * const x = input({ shape: [4] });
 * const h = dense(8, { activation: "relu", name: "hidden" }).apply(x);
 * const graph = new Graph({ inputs: x, outputs: dense(1, { name: "out" }).apply(h) });
 * graph.parameters().map(({ path }) => path); // ["hidden.kernel", "hidden.bias", "out.kernel", "out.bias"]
 */
export class Graph extends Layer<GraphValue, GraphValue> {
  readonly kind: string = "Functional";
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
  /** Every call between inputs and outputs, in an order in which they can run. */
  readonly calls: readonly Call[];
  /** The modules by name, each once. */
  readonly members: readonly (readonly [string, Module<never, unknown>])[];
  readonly #single: { readonly input: boolean; readonly output: boolean };

  constructor({
    inputs,
    outputs,
    ...options
  }: LayerOptions & { readonly inputs: SymbolicInput; readonly outputs: SymbolicInput }) {
    super(options);
    this.#single = { input: inputs instanceof SymbolicTensor, output: outputs instanceof SymbolicTensor };
    this.inputs = listOf("inputs", inputs);
    this.outputs = listOf("outputs", outputs);
    this.calls = sortedCalls(this.inputs, this.outputs);
    const modules = [...new Set(this.calls.map((call) => call.module))];
    const names = uniqueNames(modules);
    this.members = modules.map((module, i) => [names[i]!, module]);
  }

  /** The modules by name: parameters are named `dense_1.kernel`. */
  override children(): [string, Module<never, unknown>][] {
    return this.members.map(([name, module]) => [name, module]);
  }

  protected forward(given: GraphValue, context: Context): GraphValue {
    const values = Array.isArray(given) ? (given as readonly Tensor[]) : [given as Tensor];
    const known = new Map<SymbolicTensor, Tensor>();
    if (values.length !== this.inputs.length) {
      throw new ArgumentError("graph", `has ${this.inputs.length} inputs: received ${values.length}`);
    }
    this.inputs.forEach((place, i) => {
      expectSample(place, values[i]!, i);
      known.set(place, values[i]!);
    });
    for (const { module, inputs, outputs, single } of this.calls) {
      const args = inputs.map((place) => known.get(place)!);
      const result: unknown = (module as unknown as Module<unknown, unknown>).call(single ? args[0] : args, context);
      const results = Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
      outputs.forEach((place, i) => known.set(place, results[i]!));
    }
    const results = this.outputs.map((place) => known.get(place)!);
    return this.#single.output ? results[0]! : results;
  }

  /** The graph as JSON: its inputs, its layers by name, the calls in order, its outputs. */
  get config(): JsonObject {
    const places = new Map<SymbolicTensor, Reference>(this.inputs.map((place, i) => [place, [-1, i]]));
    this.calls.forEach(({ outputs }, c) => outputs.forEach((place, i) => places.set(place, [c, i])));
    const names = new Map(this.members.map(([name, module]) => [module, name]));
    const layers = this.members.map(([name, module]): JsonObject => {
      if (module instanceof Layer) return layerToJson(module as Layer<never, unknown>, name);
      throw new ArgumentError("graph", `"${name}" is a module of your own, which no file can hold`, {
        hint: "save the weights alone and build the model in your program",
      });
    });
    const one = (place: SymbolicTensor): Json => places.get(place)!;
    const references = (list: readonly SymbolicTensor[], single: boolean): Json =>
      single ? one(list[0]!) : list.map(one);
    return {
      inputs: this.inputs.map(({ sampleShape, dtype, name }) => ({
        shape: sampleShape,
        dtype,
        ...(name === undefined ? {} : { name }),
      })),
      singleInput: this.#single.input,
      layers,
      calls: this.calls.map(({ module, inputs, single }) => ({
        layer: names.get(module)!,
        inputs: references(inputs, single),
      })),
      outputs: references(this.outputs, this.#single.output),
    };
  }
}

function listOf(what: string, given: SymbolicInput): readonly SymbolicTensor[] {
  const list = given instanceof SymbolicTensor ? [given] : [...given];
  if (list.length === 0 || list.some((one) => !(one instanceof SymbolicTensor)))
    throw new ArgumentError(
      "graph",
      `\`${what}\` must be symbolic tensors: received ${list.length === 0 ? "none" : String(list[0])}`,
    );
  return list;
}

// Depth first from the outputs: every call comes after the calls it needs.
function sortedCalls(inputs: readonly SymbolicTensor[], outputs: readonly SymbolicTensor[]): Call[] {
  const given = new Set(inputs);
  const used = new Set<SymbolicTensor>();
  const done = new Set<Call>();
  const order: Call[] = [];
  const visit = (place: SymbolicTensor): void => {
    if (given.has(place)) {
      used.add(place);
      return;
    }
    const { call } = place;
    if (call === undefined) {
      const name = place.name === undefined ? "" : ` "${place.name}"`;
      throw new ArgumentError(
        "graph",
        `the outputs need the input${name} [${place.shape.join(",")}], which is not among \`inputs\``,
      );
    }
    if (done.has(call)) return;
    done.add(call);
    call.inputs.forEach(visit);
    order.push(call);
  };
  outputs.forEach(visit);
  const idle = inputs.findIndex((place) => !used.has(place));
  if (idle >= 0) throw new ArgumentError("graph", `input ${idle} leads to no output: remove it from \`inputs\``);
  return order;
}

function expectSample(place: SymbolicTensor, value: Tensor, index: number): void {
  const shape: Shape = value.shape.slice(1);
  if (value.rank > 0 && shape.length === place.sampleShape.length && shape.every((n, i) => n === place.sampleShape[i]))
    return;
  const name = place.name === undefined ? String(index) : `"${place.name}"`;
  throw new ShapeError(
    "graph",
    `input ${name} is [batch,${place.sampleShape.join(",")}]: received ${formatType(value)}`,
  );
}
