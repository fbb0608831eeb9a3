// The config.json of Llama and of the families that are configurations of it: Mistral, Mixtral, Qwen2, Qwen3.
import type { JsonValue } from "../../data/formats/index.ts";
import { ConfigReader, type ConfigJson } from "./config.ts";

/** What is read of a config.json of Llama's kind, with what the `model_type` decides. */
export interface LlamaConfig {
  readonly model_type: string;
  /** The class name in the files of the field. */
  readonly architecture: string;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  /** Groups of heads that share keys and values; one a head unless said. */
  readonly num_key_value_heads: number;
  /** hidden_size / num_attention_heads unless said. */
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  /** Biases of the projections to queries, keys and values, and of the one back. */
  readonly qkv_bias: boolean;
  readonly output_bias: boolean;
  readonly mlp_bias: boolean;
  /** Whether queries and keys of each head are normed. */
  readonly qk_norm: boolean;
  readonly tie_word_embeddings: boolean;
  readonly initializer_range: number;
  readonly attention_dropout: number;
  /** Experts of the feed-forward part; undefined where there is one MLP. */
  readonly num_local_experts: number | undefined;
  readonly num_experts_per_tok: number;
  readonly router_aux_loss_coef: number;
}

/** What a family takes for granted: where its files leave a field out. */
interface FamilyDefaults {
  readonly architecture: string;
  readonly qkvBias: boolean | "field";
  readonly qkNorm: boolean;
  readonly epsilon: number;
  readonly maxPositions: number;
  readonly groups?: number;
  readonly headDim?: number;
  readonly tied?: boolean;
}

/** Families by `model_type`; defaults are those of the classes in Hugging Face's transformers. */
export const llamaFamilies: { readonly [modelType: string]: FamilyDefaults } = {
  llama: { architecture: "LlamaForCausalLM", qkvBias: "field", qkNorm: false, epsilon: 1e-6, maxPositions: 2048 },
  mistral: {
    architecture: "MistralForCausalLM",
    qkvBias: false,
    qkNorm: false,
    epsilon: 1e-6,
    maxPositions: 131072,
    groups: 8,
  },
  mixtral: {
    architecture: "MixtralForCausalLM",
    qkvBias: false,
    qkNorm: false,
    epsilon: 1e-5,
    maxPositions: 131072,
    groups: 8,
  },
  qwen2: { architecture: "Qwen2ForCausalLM", qkvBias: true, qkNorm: false, epsilon: 1e-6, maxPositions: 32768 },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    qkvBias: "field",
    qkNorm: true,
    epsilon: 1e-6,
    maxPositions: 32768,
    headDim: 128,
  },
};

/** Checks a config.json. Throws FormatError for fields that are wrong, unknown, or ask for what is not built. */
export function llamaConfig(json: JsonValue): LlamaConfig {
  const named = (json as ConfigJson | null)?.["model_type"];
  const type = typeof named === "string" ? named : "llama";
  const family = llamaFamilies[type] ?? llamaFamilies["llama"]!;
  const read = new ConfigReader(type, json);
  read.only("model_type", ...Object.keys(llamaFamilies));
  read.only("hidden_act", "silu");
  const heads = read.whole("num_attention_heads");
  const groups = read.whole("num_key_value_heads", Math.min(heads, family.groups ?? heads));
  read.divides(groups, "num_attention_heads", heads);
  const width = read.whole("hidden_size");
  const depth = read.whole("head_dim", family.headDim ?? width / heads);
  read.divides(2, "head_dim", depth);
  const positions = read.whole("max_position_embeddings", family.maxPositions);
  refuseWindow(read, positions);
  read.ignore("pretraining_tp", "output_router_logits", "router_jitter_noise", "max_window_layers");
  const attentionBias = family.qkvBias === "field" ? read.flag("attention_bias", false) : false;
  if (family.qkvBias !== "field") read.only("attention_bias", family.qkvBias);
  const config: LlamaConfig = {
    model_type: type,
    architecture: family.architecture,
    vocab_size: read.whole("vocab_size"),
    hidden_size: width,
    intermediate_size: read.whole("intermediate_size"),
    num_hidden_layers: read.whole("num_hidden_layers"),
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: depth,
    max_position_embeddings: positions,
    rms_norm_eps: read.real("rms_norm_eps", family.epsilon),
    rope_theta: ropeTheta(read),
    qkv_bias: family.qkvBias === "field" ? attentionBias : family.qkvBias,
    output_bias: attentionBias,
    mlp_bias: read.flag("mlp_bias", false),
    qk_norm: family.qkNorm,
    tie_word_embeddings: read.flag("tie_word_embeddings", false),
    initializer_range: read.real("initializer_range", 0.02),
    attention_dropout: read.rate("attention_dropout", 0),
    ...experts(read),
  };
  read.finish();
  return config;
}

type Experts = Pick<LlamaConfig, "num_local_experts" | "num_experts_per_tok" | "router_aux_loss_coef">;

function experts(read: ConfigReader): Experts {
  const count = read.has("num_local_experts") ? read.whole("num_local_experts") : undefined;
  const perToken = read.whole("num_experts_per_tok", count === undefined ? 1 : Math.min(2, count));
  if (perToken > (count ?? 1)) read.refuse("num_experts_per_tok", `is at most \`num_local_experts\` (${count ?? 1})`);
  return {
    num_local_experts: count,
    num_experts_per_tok: perToken,
    router_aux_loss_coef: read.real("router_aux_loss_coef", 0.001),
  };
}

// The base of the angles. Scalings of positions other than none are refused: computed without, they give other logits.
function ropeTheta(read: ConfigReader): number {
  const plain = (name: string): ConfigJson => {
    const value = read.raw(name);
    if (value === null) return {};
    if (typeof value !== "object" || Array.isArray(value)) return read.refuse(name, "must be an object");
    const fields = value;
    const kind = fields["rope_type"] ?? fields["type"] ?? "default";
    const known = Object.keys(fields).every((field) => ["rope_type", "type", "rope_theta"].includes(field));
    if (kind !== "default" || !known) return read.refuse(name, "is supported as absent or of type default");
    return fields;
  };
  plain("rope_scaling");
  const given = plain("rope_parameters")["rope_theta"];
  if (given === undefined) return read.real("rope_theta", 10000);
  if (typeof given !== "number" || !(given > 0)) return read.refuse("rope_parameters", "needs a `rope_theta` above 0");
  return given;
}

// A sliding window changes nothing where it is as long as the context, or where the config turns it off (Qwen).
function refuseWindow(read: ConfigReader, positions: number): void {
  const off = read.has("use_sliding_window") && !read.flag("use_sliding_window");
  const window = read.raw("sliding_window");
  if (window === null || off || (typeof window === "number" && window >= positions)) {
    read.only("layer_types", ...(Array.isArray(read.raw("layer_types")) ? [fullLayers(read)] : []));
    return;
  }
  read.refuse("sliding_window", `is supported as absent, or at least \`max_position_embeddings\` (${positions})`);
}

function fullLayers(read: ConfigReader): JsonValue {
  const types = read.raw("layer_types") as readonly JsonValue[];
  return types.every((one) => one === "full_attention")
    ? (types as JsonValue)
    : read.refuse("layer_types", "is supported as full_attention in each layer");
}
