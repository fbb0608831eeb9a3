// The formulas of backpropagation for the layers and losses they are known for, as trees with layer numbers filled in.
import type { Value } from "../../engine/program/index.ts";
import type { Loss } from "../nn/index.ts";
import type { Layer, Readers } from "./analyse.ts";
import type { ExplainedLayer } from "./explanation.ts";
import {
  apply,
  derivative,
  formula,
  fraction,
  group,
  number,
  operator,
  partial,
  row,
  square,
  sub,
  sum,
  symbol,
  transposed,
  word,
  type Formula,
  type Node,
} from "./formula.ts";

/** What the formulas of a layer depend on besides the layer. */
export interface Surroundings {
  readonly layers: readonly Layer[];
  readonly readers: ReadonlyMap<Value, Readers>;
  readonly loss: Loss;
  /** Outputs of the model for one sample. */
  readonly outputs: number;
}

const CATEGORICAL = new Set(["sparse_categorical_crossentropy", "categorical_crossentropy"]);

// With smoothed or ignored labels the formulas below do not hold as they stand.
const plain = ({ config = {} }: Loss): boolean =>
  (config["labelSmoothing"] ?? 0) === 0 && (config["ignoreClass"] ?? null) === null;
const isCategorical = (loss: Loss): boolean => CATEGORICAL.has(loss.name) && plain(loss);
const isBinary = (loss: Loss): boolean => loss.name === "binary_crossentropy" && plain(loss);
const isSquared = (loss: Loss): boolean => loss.name === "mean_squared_error";

const a = (layer: number): Node => symbol("a", layer);
const z = (layer: number): Node => symbol("z", layer);
const delta = (layer: number): Node => symbol("δ", layer);
const target: Node = symbol("y");

const SYMBOLS: { readonly [name: string]: string } = { kernel: "W", bias: "b" };
/** How a parameter is written: W and b for kernel and bias, its own name otherwise. */
export const parameterNode = (name: string, layer: number): Node =>
  SYMBOLS[name] === undefined ? word(name) : symbol(SYMBOLS[name], layer);

/** All formulas of a layer. */
export function formulasOf(layer: Layer, around: Surroundings): ExplainedLayer["formulas"] {
  return {
    forward: forwardOf(layer),
    backward: backwardOf(layer, around),
    gradients: gradientsOf(layer),
    update: layer.parameters
      .filter(({ trained }) => trained)
      .map(({ name }) => {
        const w = parameterNode(name, layer.number);
        return formula(w, "←", w, "−", symbol("η"), partial(w));
      }),
  };
}

function forwardOf(layer: Layer): Formula[] {
  const { role, number: l, from, nonlinearity } = layer;
  const input = a(from[0] ?? 0);
  if (role === "layout") return [];
  if (role === "activation") return [formula(a(l), "=", apply(word(nonlinearity!), input))];
  const activated = nonlinearity === null ? [] : [formula(a(l), "=", apply(word(nonlinearity), z(l)))];
  if (role !== "dense") return activated;
  const product = [symbol("W", l), input];
  const biased = layer.parameters.some(({ name }) => name === "bias") || layer.parameters.length > 1;
  const left = nonlinearity === null ? row(a(l), "=", z(l)) : z(l);
  return [formula(left, "=", ...product, ...(biased ? ["+", symbol("b", l)] : [])), ...activated];
}

function gradientsOf(layer: Layer): Formula[] {
  const { number: l, from, role } = layer;
  if (role !== "dense") return [];
  return layer.parameters
    .filter(({ trained }) => trained)
    .map(({ name, value, regularized }) => {
      const w = parameterNode(name, l);
      // Δ with a penalty: what the data says, and the slope of the penalty.
      const penalty = regularized ? ["+", fraction(row(operator("∂"), word("penalty")), row(operator("∂"), w))] : [];
      const data = value.shape.length === 2 ? [delta(l), symbol("a", from[0] ?? 0, true)] : [delta(l)];
      return formula(partial(w), "=", ...data, ...penalty);
    });
}

function backwardOf(layer: Layer, around: Surroundings): Formula[] {
  const { number: l, nonlinearity, elementwise, role } = layer;
  if (role === "layout") return [];
  const place = layer.z ?? layer.output;
  const straight = lossSlope(layer, place, around);
  if (straight !== undefined) return [formula(delta(l), "=", straight)];
  const upstream = upstreamOf(layer, around);
  if (layer.z === undefined || layer.z === layer.output) return [formula(delta(l), "=", upstream)];
  if (!elementwise) return [formula(delta(l), "=", transposed(group(jacobian(l))), upstream)];
  const factor = upstream.is === "row" ? group(upstream) : upstream;
  return [formula(delta(l), "=", factor, "⊙", apply(derivative(nonlinearity!), z(l)))];
}

const jacobian = (l: number): Node => fraction(row(operator("∂"), a(l)), row(operator("∂"), z(l)));

// ∂L/∂z where the loss reads z itself: a cross-entropy on logits.
function lossSlope(layer: Layer, place: Value, around: Surroundings): Node | undefined {
  const { readers, loss, layers, outputs } = around;
  const { loss: read, layers: after } = readers.get(place)!;
  const squash = isCategorical(loss) ? "softmax" : isBinary(loss) ? "sigmoid" : undefined;
  if (!read || squash === undefined) return undefined;
  const mean = (error: Node): Node =>
    squash === "softmax" || outputs === 1 ? error : row(fraction(number(1), number(outputs)), group(error));
  const inside = layer.nonlinearity === squash && layer.z !== undefined && layer.z !== layer.output;
  if (inside && after.length === 0) return mean(row(a(layer.number), "−", target));
  // Logits, with the squashing in a layer of its own behind them or left to the loss: nothing else may read them.
  const only = after.every((i) => layers[i]!.nonlinearity === squash && readers.get(layers[i]!.output)?.loss === false);
  const linear = layer.z === undefined || layer.z === layer.output;
  return linear && only ? mean(row(apply(word(squash), a(layer.number)), "−", target)) : undefined;
}

// ∂L/∂a of a layer, said by what reads it.
function upstreamOf(layer: Layer, around: Surroundings): Node {
  const { number: l } = layer;
  const reader = soleReader(layer.output, around);
  if (reader === "loss" && isSquared(around.loss)) {
    return row(fraction(number(2), number(around.outputs)), group(row(a(l), "−", target)));
  }
  if (reader === undefined || reader === "loss") return partial(a(l));
  const m = reader.number;
  if (reader.role === "dense") return row(symbol("W", m, true), delta(m));
  if (reader.role === "activation" && reader.elementwise)
    return row(delta(m), "⊙", apply(derivative(reader.nonlinearity!), a(l)));
  return partial(a(l));
}

// The one layer that reads a value, layers that only move numbers looked through.
function soleReader(value: Value, around: Surroundings): Layer | "loss" | undefined {
  const readers = around.readers.get(value)!;
  // A layer that hands its input on (dropout outside training) reads nothing.
  const layers = readers.layers.map((i) => around.layers[i]!).filter(({ output }) => output !== value);
  const [reader, ...others] = layers;
  if (reader === undefined) return readers.loss ? "loss" : undefined;
  if (readers.loss || others.length > 0) return undefined;
  return reader.role === "layout" ? soleReader(reader.output, around) : reader;
}

/** The loss of one sample, where its formula is known. */
export function lossFormulas({ loss, layers, outputs }: Surroundings): Formula[] {
  const last = layers.at(-1);
  const output = a(last?.number ?? 0);
  const i = symbol("i");
  const L = symbol("L");
  const yi = sub(target, i);
  const mean = (body: Node): Node[] =>
    outputs === 1 ? [body] : [fraction(number(1), number(outputs)), sum("i", body)];
  // Logits become probabilities first.
  const squash = isCategorical(loss) ? "softmax" : "sigmoid";
  const raw = loss.config?.["fromLogits"] === true;
  const p = raw ? symbol("p") : output;
  const first = raw ? [formula(p, "=", apply(word(squash), output))] : [];
  if (isCategorical(loss) && loss.name.startsWith("sparse"))
    return [...first, formula(L, "=", "−", word("ln"), sub(p, target))];
  if (isCategorical(loss)) return [...first, formula(L, "=", "−", sum("i", row(yi, word("ln"), sub(p, i))))];
  if (isBinary(loss)) {
    const one = row(number(1), "−", yi);
    const other = row(number(1), "−", sub(p, i));
    const body = group(row(yi, word("ln"), sub(p, i), "+", group(one), word("ln"), group(other)));
    return [...first, formula(L, "=", "−", ...mean(body))];
  }
  if (isSquared(loss)) return [formula(L, "=", ...mean(square(row(sub(output, i), "−", yi))))];
  return [];
}
