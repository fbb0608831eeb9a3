// The closed table of layers: the only classes a file can name.
import { ArgumentError, isPlainObject, join, type DType } from "../../engine/core/index.ts";
import * as activations from "./activation-layers.ts";
import { MultiHeadAttention } from "./attention.ts";
import * as transposed from "./conv-transpose.ts";
import * as conv from "./conv.ts";
import { Dense } from "./dense.ts";
import * as dropouts from "./dropout.ts";
import { Embedding } from "./embedding.ts";
import { Graph } from "./graph.ts";
import { type Layer, type LayerJson, type LayerOptions } from "./layer.ts";
import * as merges from "./merge.ts";
import { unknownName, type Json, type JsonObject } from "./named.ts";
import * as normalization from "./normalization.ts";
import * as pooling from "./pooling.ts";
import { flag } from "./options.ts";
import { Recurrent } from "./recurrent.ts";
import * as rnn from "./rnn.ts";
import * as shaping from "./shaping.ts";
import { Stack } from "./stack.ts";
import { input, type SymbolicTensor } from "./symbolic.ts";
import { Bidirectional, TimeDistributed } from "./wrappers.ts";

/** Any layer, whatever it takes and gives. */
export type AnyLayer = Layer<never, unknown>;
type Options = JsonObject & LayerOptions;
/** Makes a layer from its configuration. */
export type LayerMaker = (options: Options) => AnyLayer;

// Constructors check their options one by one, so what comes from a file may be handed to them as it is.
function maker(layer: new (options: never) => AnyLayer): LayerMaker {
  return (options) => new layer(options as never);
}

/** Keras's class names and what they make. Nothing outside this table is ever made because a file says so. */
export const layers: { readonly [kind: string]: LayerMaker } = {
  Dense: maker(Dense),
  Embedding: maker(Embedding),
  Conv1D: maker(conv.Conv1D),
  Conv2D: maker(conv.Conv2D),
  DepthwiseConv2D: maker(conv.DepthwiseConv2D),
  SeparableConv2D: maker(conv.SeparableConv2D),
  Conv1DTranspose: maker(transposed.Conv1DTranspose),
  Conv2DTranspose: maker(transposed.Conv2DTranspose),
  MaxPooling1D: maker(pooling.MaxPooling1D),
  MaxPooling2D: maker(pooling.MaxPooling2D),
  AveragePooling1D: maker(pooling.AveragePooling1D),
  AveragePooling2D: maker(pooling.AveragePooling2D),
  GlobalMaxPooling1D: maker(pooling.GlobalMaxPooling1D),
  GlobalMaxPooling2D: maker(pooling.GlobalMaxPooling2D),
  GlobalAveragePooling1D: maker(pooling.GlobalAveragePooling1D),
  GlobalAveragePooling2D: maker(pooling.GlobalAveragePooling2D),
  BatchNormalization: maker(normalization.BatchNormalization),
  LayerNormalization: maker(normalization.LayerNormalization),
  RMSNormalization: maker(normalization.RMSNormalization),
  GroupNormalization: maker(normalization.GroupNormalization),
  UnitNormalization: maker(normalization.UnitNormalization),
  Activation: maker(activations.Activation),
  ReLU: maker(activations.ReLU),
  LeakyReLU: maker(activations.LeakyReLU),
  ELU: maker(activations.ELU),
  PReLU: maker(activations.PReLU),
  Softmax: maker(activations.Softmax),
  Dropout: maker(dropouts.Dropout),
  SpatialDropout1D: maker(dropouts.SpatialDropout1D),
  SpatialDropout2D: maker(dropouts.SpatialDropout2D),
  GaussianNoise: maker(dropouts.GaussianNoise),
  Flatten: maker(shaping.Flatten),
  Reshape: maker(shaping.Reshape),
  Permute: maker(shaping.Permute),
  RepeatVector: maker(shaping.RepeatVector),
  ZeroPadding1D: maker(shaping.ZeroPadding1D),
  ZeroPadding2D: maker(shaping.ZeroPadding2D),
  UpSampling1D: maker(shaping.UpSampling1D),
  UpSampling2D: maker(shaping.UpSampling2D),
  Add: maker(merges.Add),
  Subtract: maker(merges.Subtract),
  Multiply: maker(merges.Multiply),
  Average: maker(merges.Average),
  Maximum: maker(merges.Maximum),
  Minimum: maker(merges.Minimum),
  Concatenate: maker(merges.Concatenate),
  SimpleRNN: maker(rnn.SimpleRNN),
  LSTM: maker(rnn.LSTM),
  GRU: maker(rnn.GRU),
  MultiHeadAttention: maker(MultiHeadAttention),
  Bidirectional: ({ layer, backwardLayer, ...options }) => {
    const [forward, backward] = [recurrent("layer", layer), recurrent("backwardLayer", backwardLayer)];
    return new Bidirectional({ ...options, forwardLayer: forward, backwardLayer: backward });
  },
  TimeDistributed: ({ layer, ...options }) =>
    new TimeDistributed({ ...options, layer: layerFromJson(layer) as unknown as Layer }),
  Sequential: ({ layers: list, sampleShape, ...options }) => {
    if (!Array.isArray(list) || (sampleShape !== undefined && !Array.isArray(sampleShape)))
      throw new ArgumentError("Sequential", "has `layers`, a list, and perhaps `sampleShape`, a list");
    const made = (list as readonly Json[]).map(layerFromJson) as unknown as Layer[];
    return new Stack({ ...options, layers: made, sampleShape: sampleShape as readonly number[] | undefined });
  },
  Functional: (options) => graphFromJson(options),
};

function recurrent(name: string, json: Json | undefined): Recurrent {
  const layer: unknown = layerFromJson(json);
  if (layer instanceof Recurrent) return layer as Recurrent;
  throw new ArgumentError("Bidirectional", `\`${name}\` must be a recurrent layer`);
}

/**
 * A layer from JSON (`layerToJson`). Throws ArgumentError for classes outside the table, unknown options and values that
 * the layer does not take.
 *
 * @example
 * layerFromJson(JSON.parse(JSON.stringify(layerToJson(dense(3))))).kind; // "Dense"
 */
export function layerFromJson(json: unknown): AnyLayer {
  if (!isPlainObject(json)) throw new ArgumentError("layer", `must be an object: received ${JSON.stringify(json)}`);
  const { layer, config, name, inputShape, trainable, ...rest } = json as unknown as LayerJson & JsonObject;
  const alien = Object.keys(rest)[0];
  if (alien !== undefined) throw new ArgumentError("layer", `has no entry \`${alien}\``);
  if (typeof layer !== "string" || !Object.hasOwn(layers, layer)) {
    throw unknownName("layer", String(layer), Object.keys(layers));
  }
  if (!isPlainObject(config))
    throw new ArgumentError(layer, `\`config\` must be an object: received ${String(config)}`);
  const own = Object.keys(config).find((key) => ["name", "inputShape", "trainable"].includes(key));
  if (own !== undefined) throw new ArgumentError(layer, `\`${own}\` stands beside \`config\`, not in it`);
  if (inputShape !== undefined && !Array.isArray(inputShape))
    throw new ArgumentError(layer, `\`inputShape\` must be a list: received ${JSON.stringify(inputShape)}`);
  if (trainable !== undefined && typeof trainable !== "boolean")
    throw new ArgumentError(layer, `\`trainable\` must be true or false: received ${String(trainable)}`);
  const made = layers[layer]!({ ...config, name, inputShape, trainable } as Options);
  // What the layer does not repeat in its own configuration, it did not read.
  const unread = Object.keys(config).find((key) => !Object.hasOwn(made.config, key));
  if (unread === undefined) return made;
  throw new ArgumentError(layer, `has no option \`${unread}\``, {
    hint: `its options are ${Object.keys(made.config).join(", ")}`,
  });
}

interface GraphJson {
  readonly inputs: readonly { readonly shape: readonly number[]; readonly dtype: DType; readonly name?: string }[];
  readonly singleInput: boolean;
  readonly layers: readonly LayerJson[];
  readonly calls: readonly { readonly layer: string; readonly inputs: Json }[];
  readonly outputs: Json;
}

const DTYPES: readonly DType[] = ["float32", "int32", "uint32", "bool"];

function graphFromJson({ name, inputShape, trainable, ...config }: Options): Graph {
  for (const key of ["inputs", "layers", "calls"]) {
    if (!Array.isArray(config[key])) throw new ArgumentError("Functional", `\`${key}\` must be a list`);
  }
  const json = config as unknown as GraphJson;
  const inputs = json.inputs.map((one) => {
    if (!isPlainObject(one) || !Array.isArray(one.shape) || !DTYPES.includes(one.dtype))
      throw new ArgumentError("Functional", `an input has a shape and a dtype: received ${JSON.stringify(one)}`);
    return input(one);
  });
  const members = new Map<string, AnyLayer>();
  for (const one of json.layers) {
    const layer = layerFromJson(one);
    if (layer.name === undefined || members.has(layer.name))
      throw new ArgumentError("Functional", `each layer needs a name of its own: received ${String(layer.name)}`);
    members.set(layer.name, layer);
  }
  const made: (readonly SymbolicTensor[])[] = [];
  const find = (reference: Json): SymbolicTensor => {
    const [call, output] = Array.isArray(reference) ? (reference as readonly Json[]) : [];
    const place = (call === -1 ? inputs : made[call as number])?.[output as number];
    if (place !== undefined) return place;
    throw new ArgumentError("Functional", `nothing stands at ${JSON.stringify(reference)}`);
  };
  // [2, 0] is one place, [[2, 0]] a list of one.
  const places = (json: Json): SymbolicTensor | readonly SymbolicTensor[] =>
    Array.isArray(json) && Array.isArray((json as readonly Json[])[0])
      ? (json as readonly Json[]).map(find)
      : find(json);
  json.calls.forEach((call, i) => {
    const layer = isPlainObject(call) ? members.get(call.layer) : undefined;
    if (layer === undefined)
      throw new ArgumentError(
        "Functional",
        `${join("calls", String(i))} names no layer: received ${JSON.stringify(call)}`,
      );
    const result: unknown = layer.apply(places(call.inputs));
    made.push(Array.isArray(result) ? (result as readonly SymbolicTensor[]) : [result as SymbolicTensor]);
  });
  const single = flag("Functional", "singleInput", json.singleInput);
  return new Graph({
    inputs: single ? inputs[0]! : inputs,
    outputs: places(json.outputs),
    name,
    inputShape,
    trainable,
  });
}
