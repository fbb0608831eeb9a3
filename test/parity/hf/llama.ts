// Llama (Touvron et al. 2023): rotary positions, RMS norms, gated MLP, heads that share keys and values in groups.
import type { JsonValue } from "../../../src/data/index.ts";
import { arange, attention, rotary, silu, type Tensor } from "../../../src/engine/tensor/index.ts";
import { dense, initializers, Module, rmsNormalization, type Context } from "../../../src/learn/nn/index.ts";
import { ConfigReader } from "./config.ts";
import { checkIds, mergeHeads, splitHeads, TokenEmbedding } from "./parts.ts";
import { projectionRows, type NameTable } from "./weights.ts";

/** What is read of a config.json with `model_type` "llama". */
export interface LlamaConfig {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  /** Groups of heads that share keys and values; one a head unless said. */
  readonly num_key_value_heads: number;
  /** hidden_size / num_attention_heads unless said. */
  readonly head_dim: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly attention_bias: boolean;
  readonly mlp_bias: boolean;
  readonly tie_word_embeddings: boolean;
  readonly initializer_range: number;
}

/** Checks a config.json. Throws FormatError for fields that are wrong or ask for what is not built. */
export function llamaConfig(json: JsonValue): LlamaConfig {
  const read = new ConfigReader("llama", json);
  read.only("hidden_act", "silu");
  read.only("rope_scaling");
  read.only("rope_parameters");
  read.only("attention_dropout", 0);
  const heads = read.whole("num_attention_heads");
  const groups = read.whole("num_key_value_heads", heads);
  read.divides(groups, "num_attention_heads", heads);
  const width = read.whole("hidden_size");
  const depth = read.whole("head_dim", width / heads);
  read.divides(2, "head_dim", depth);
  return {
    vocab_size: read.whole("vocab_size"),
    hidden_size: width,
    intermediate_size: read.whole("intermediate_size"),
    num_hidden_layers: read.whole("num_hidden_layers"),
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: depth,
    rms_norm_eps: read.real("rms_norm_eps", 1e-6),
    rope_theta: read.real("rope_theta", 10000),
    attention_bias: read.flag("attention_bias", false),
    mlp_bias: read.flag("mlp_bias", false),
    tie_word_embeddings: read.flag("tie_word_embeddings", false),
    initializer_range: read.real("initializer_range", 0.02),
  };
}

function projection(units: number, config: LlamaConfig, useBias: boolean): Module {
  return dense(units, {
    useBias,
    kernelInitializer: initializers.randomNormal({ stddev: config.initializer_range }),
  });
}

class Attention extends Module {
  readonly query: Module;
  readonly key: Module;
  readonly value: Module;
  readonly output: Module;
  readonly #config: LlamaConfig;

  constructor(config: LlamaConfig) {
    super();
    this.#config = config;
    const { num_attention_heads: heads, num_key_value_heads: groups, head_dim, attention_bias } = config;
    this.query = projection(heads * head_dim, config, attention_bias);
    this.key = projection(groups * head_dim, config, attention_bias);
    this.value = projection(groups * head_dim, config, attention_bias);
    this.output = projection(config.hidden_size, config, attention_bias);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const { num_attention_heads: heads, num_key_value_heads: groups, rope_theta: base } = this.#config;
    const positions = arange(x.shape[1]!);
    const q = rotary(splitHeads(this.query.call(x, context), heads), positions, { base }); // [B, H, T, D]
    const k = rotary(splitHeads(this.key.call(x, context), groups), positions, { base }); // [B, G, T, D]
    const v = splitHeads(this.value.call(x, context), groups); // [B, G, T, D]
    return this.output.call(mergeHeads(attention(q, { k, v, causal: true })), context); // [B, T, C]
  }
}

/** SwiGLU (Shazeer 2020): `(silu(x W₁) ⊙ x W₂) W₃`. */
class GatedMlp extends Module {
  readonly gate: Module;
  readonly up: Module;
  readonly down: Module;

  constructor(config: LlamaConfig) {
    super();
    this.gate = projection(config.intermediate_size, config, config.mlp_bias);
    this.up = projection(config.intermediate_size, config, config.mlp_bias);
    this.down = projection(config.hidden_size, config, config.mlp_bias);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const wide = silu(this.gate.call(x, context)).mul(this.up.call(x, context)); // [B, T, intermediate_size]
    return this.down.call(wide, context); // [B, T, C]
  }
}

class Block extends Module {
  readonly norm1: Module;
  readonly attention: Module;
  readonly norm2: Module;
  readonly mlp: Module;

  constructor(config: LlamaConfig) {
    super();
    this.norm1 = rmsNormalization({ epsilon: config.rms_norm_eps });
    this.attention = new Attention(config);
    this.norm2 = rmsNormalization({ epsilon: config.rms_norm_eps });
    this.mlp = new GatedMlp(config);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const attended = x.add(this.attention.call(this.norm1.call(x, context), context));
    return attended.add(this.mlp.call(this.norm2.call(attended, context), context));
  }
}

/**
 * Llama: ids int32 [B, T] → logits [B, T, V].
 *
 * @example
 * const model = new Llama(llamaConfig(json)).init(0, { dtype: "int32", shape: [1, 1] });
 */
export class Llama extends Module {
  readonly tokens: TokenEmbedding;
  readonly blocks: readonly Module[];
  readonly norm: Module;
  /** Absent where the table of tokens makes the logits. */
  readonly head: Module | undefined;

  constructor(config: LlamaConfig) {
    super();
    const normal = initializers.randomNormal({ stddev: config.initializer_range });
    this.tokens = new TokenEmbedding(config.vocab_size, config.hidden_size, normal);
    this.blocks = Array.from({ length: config.num_hidden_layers }, () => new Block(config));
    this.norm = rmsNormalization({ epsilon: config.rms_norm_eps });
    this.head = config.tie_word_embeddings ? undefined : projection(config.vocab_size, config, false);
  }

  protected forward(ids: Tensor, context: Context): Tensor {
    checkIds(ids);
    const embedded = this.tokens.call(ids, context); // [B, T, C]
    const h = this.norm.call(
      this.blocks.reduce((x, block) => block.call(x, context), embedded),
      context,
    );
    return this.head === undefined ? this.tokens.logits(h) : this.head.call(h, context); // [B, T, V]
  }
}

/** Llama's weights in files; its projections (Linear) lie there as [out, in]. */
export const llamaNames: NameTable = {
  rows: [
    { file: "model.embed_tokens.weight", path: "tokens.embeddings" },
    { file: "model.layers.*.input_layernorm.weight", path: "blocks.*.norm1.scale" },
    ...projectionRows("model.layers.*.self_attn.q_proj", "blocks.*.attention.query", "outIn"),
    ...projectionRows("model.layers.*.self_attn.k_proj", "blocks.*.attention.key", "outIn"),
    ...projectionRows("model.layers.*.self_attn.v_proj", "blocks.*.attention.value", "outIn"),
    ...projectionRows("model.layers.*.self_attn.o_proj", "blocks.*.attention.output", "outIn"),
    { file: "model.layers.*.post_attention_layernorm.weight", path: "blocks.*.norm2.scale" },
    ...projectionRows("model.layers.*.mlp.gate_proj", "blocks.*.mlp.gate", "outIn"),
    ...projectionRows("model.layers.*.mlp.up_proj", "blocks.*.mlp.up", "outIn"),
    ...projectionRows("model.layers.*.mlp.down_proj", "blocks.*.mlp.down", "outIn"),
    { file: "model.norm.weight", path: "norm.scale" },
    { file: "lm_head.weight", path: "head.kernel", transposed: true },
  ],
  copies: { "lm_head.weight": "model.embed_tokens.weight" },
  constants: ["model.layers.*.self_attn.rotary_emb.inv_freq"],
};
