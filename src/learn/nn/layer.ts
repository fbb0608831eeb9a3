// Layer: a module with a configuration, so that it can be named, summarized, saved and connected to a graph.
import { ArgumentError, checkShape, type Shape } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import { Module } from "./module.ts";
import { findCustom, type JsonObject } from "./named.ts";
import { connect, type SymbolicInput, type SymbolicOf } from "./symbolic.ts";

/** What every layer takes besides its own options. */
export interface LayerOptions {
  /** Unique in its model; `dense`, `dense_1`, … unless said. */
  readonly name?: string | undefined;
  /** Shape of one sample (without the batch), for the first layer of a Sequential. */
  readonly inputShape?: Shape | undefined;
  /** False freezes it from the start. */
  readonly trainable?: boolean | undefined;
}

/** A layer as JSON: which class of the closed table, and its options. */
export type LayerJson = {
  readonly layer: string;
  readonly name?: string;
  readonly inputShape?: readonly number[];
  readonly trainable?: boolean;
  readonly config: JsonObject;
};

/**
 * A module with a configuration. `kind` is Keras's class name and the key in the table `layers`;
 * `config` holds the constructor's options as plain JSON.
 */
export abstract class Layer<Input = Tensor, Output = Tensor> extends Module<Input, Output> {
  abstract readonly kind: string;
  abstract readonly config: JsonObject;
  /** The name given by the user, if any. */
  readonly name: string | undefined;
  readonly inputShape: Shape | undefined;

  constructor({ name, inputShape, trainable = true }: LayerOptions = {}) {
    super();
    if (name !== undefined && (typeof name !== "string" || !/^[A-Za-z0-9_-]+$/.test(name)))
      throw new ArgumentError("name", `letters, digits, _ and - make a layer's name: received ${JSON.stringify(name)}`);
    if (inputShape !== undefined) checkShape("inputShape", inputShape);
    this.name = name;
    this.inputShape = inputShape === undefined ? undefined : [...inputShape];
    this.trainable = trainable;
  }

  /** Connects the layer to a symbolic input (`input({ shape })` or another layer's result); shapes are known at once. */
  apply(input: SymbolicInput): SymbolicOf<Output> {
    return connect(this, input);
  }
}

/** A layer as JSON, under another name if asked. Throws ArgumentError where the configuration holds a function of the user's own. */
export function layerToJson(layer: Layer<never, unknown>, name: string | undefined = layer.name): LayerJson {
  const custom = findCustom(layer.config);
  if (custom !== undefined) {
    throw new ArgumentError(layer.kind, `\`${custom}\` is a function of your own, which no file can hold`, {
      hint: "use a named one, or save the weights alone and build the model in your program",
    });
  }
  return {
    layer: layer.kind,
    ...(name === undefined ? {} : { name }),
    ...(layer.inputShape === undefined ? {} : { inputShape: layer.inputShape }),
    ...(layer.trainable ? {} : { trainable: false }),
    config: layer.config,
  };
}

/** Keras's automatic name of a class: `MaxPooling2D` → `max_pooling2d`. */
export function snakeCase(kind: string): string {
  return kind
    .replaceAll(/(.)([A-Z][a-z0-9]+)/g, "$1_$2")
    .replaceAll(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();
}

/** Names for the modules of one model, in order: given names as they are, others numbered by kind from the second on. */
export function uniqueNames(modules: readonly Module<never, unknown>[]): string[] {
  const given = modules.map((module) => (module instanceof Layer ? module.name : undefined));
  const taken = new Set<string>();
  for (const name of given) {
    if (name === undefined) continue;
    if (taken.has(name)) throw new ArgumentError("name", `two layers of a model have the name "${name}"`);
    taken.add(name);
  }
  const counts = new Map<string, number>();
  return modules.map((module, i) => {
    if (given[i] !== undefined) return given[i];
    const base = snakeCase(module instanceof Layer ? module.kind : module.constructor.name);
    for (;;) {
      const n = counts.get(base) ?? 0;
      counts.set(base, n + 1);
      const name = n === 0 ? base : `${base}_${n}`;
      if (taken.has(name)) continue;
      taken.add(name);
      return name;
    }
  });
}
