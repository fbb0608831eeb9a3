// Llama (Touvron et al. 2023): rotary positions, RMS norms, gated MLP, heads that share keys and values in groups.
// Mistral, Mixtral, Qwen2 and Qwen3 are configurations of it.
import { rotary, type Tensor } from "../engine/tensor/index.ts";
import { headLogits, initializers, Module, rmsNormalization, type Context } from "../learn/nn/index.ts";
import { attend, splitHeads, swapHeads } from "./parts/attention.ts";
import { runBlocks } from "./parts/blocks.ts";
import {
  CausalLM,
  partsOf,
  type BlockInput,
  type BlockModule,
  type BlockOutput,
  type CacheShape,
  type CachedOutput,
  type CausalInput,
  type LayerCache,
  type ModelOptions,
} from "./parts/causal-lm.ts";
import type { ConfigJson } from "./parts/config.ts";
import { GatedMlp, Mixture, type FeedForwardOutput } from "./parts/feed-forward.ts";
import { Head, pickTokens, projection, TokenEmbedding } from "./parts/layers.ts";
import { llamaConfig, type LlamaConfig } from "./parts/llama-config.ts";
import { projectionRows, type NameTable } from "./parts/weights.ts";

class Attention extends Module<BlockInput, { readonly y: Tensor; readonly cache: LayerCache | undefined }> {
  readonly query: Module;
  readonly key: Module;
  readonly value: Module;
  readonly output: Module;
  /** Norms of each head's queries and keys (Henry et al. 2020), as in Qwen3. */
  readonly queryNorm: Module | undefined;
  readonly keyNorm: Module | undefined;
  readonly #config: LlamaConfig;

  constructor(config: LlamaConfig) {
    super();
    this.#config = config;
    const { num_attention_heads: heads, num_key_value_heads: groups, head_dim, initializer_range: stddev } = config;
    const useBias = config.qkv_bias;
    this.query = projection(heads * head_dim, stddev, { useBias });
    this.key = projection(groups * head_dim, stddev, { useBias });
    this.value = projection(groups * head_dim, stddev, { useBias });
    this.output = projection(config.hidden_size, stddev, { useBias: config.output_bias });
    this.queryNorm = config.qk_norm ? rmsNormalization({ epsilon: config.rms_norm_eps }) : undefined;
    this.keyNorm = config.qk_norm ? rmsNormalization({ epsilon: config.rms_norm_eps }) : undefined;
  }

  protected forward({ x, pass, cache }: BlockInput, context: Context): { y: Tensor; cache: LayerCache | undefined } {
    const { num_attention_heads: heads, num_key_value_heads: groups, attention_dropout: rate } = this.#config;
    const q = this.#turned(splitHeads(this.query.call(x, context), heads), this.queryNorm, { pass, context });
    const k = this.#turned(splitHeads(this.key.call(x, context), groups), this.keyNorm, { pass, context });
    const v = splitHeads(this.value.call(x, context), groups); // [B, T, G, D]
    const attended = attend({ q, k, v }, pass, { cache, rate });
    return { y: this.output.call(attended.y, context), cache: attended.cache }; // [B, T, C]
  }

  // Normed where the config says so, then turned by the positions. x: [B, T, H, D].
  #turned(
    x: Tensor,
    norm: Module | undefined,
    { pass, context }: Pick<BlockInput, "pass"> & { context: Context },
  ): Tensor {
    const heads = norm === undefined ? x : norm.call(x, context);
    return swapHeads(rotary(swapHeads(heads), pass.positions, { base: this.#config.rope_theta }));
  }
}

class Block extends Module<BlockInput, BlockOutput> {
  readonly norm1: Module;
  readonly attention: Attention;
  readonly norm2: Module;
  readonly mlp: Module<Tensor, FeedForwardOutput>;

  constructor(config: LlamaConfig) {
    super();
    this.norm1 = rmsNormalization({ epsilon: config.rms_norm_eps });
    this.attention = new Attention(config);
    this.norm2 = rmsNormalization({ epsilon: config.rms_norm_eps });
    const sizes = {
      width: config.hidden_size,
      inner: config.intermediate_size,
      useBias: config.mlp_bias,
      stddev: config.initializer_range,
    };
    this.mlp =
      config.num_local_experts === undefined
        ? new GatedMlp(sizes)
        : new Mixture(sizes, {
            experts: config.num_local_experts,
            perToken: config.num_experts_per_tok,
            balance: config.router_aux_loss_coef / config.num_hidden_layers,
          });
  }

  protected forward({ x, pass, cache }: BlockInput, context: Context): BlockOutput {
    const attended = this.attention.call({ x: this.norm1.call(x, context), pass, cache }, context);
    const h = x.add(attended.y);
    const { y, auxiliary } = this.mlp.call(this.norm2.call(h, context), context);
    return { x: h.add(y), cache: attended.cache, auxiliary };
  }
}

/**
 * Llama: ids int32 [B, T] → logits [B, T, V].
 *
 * @example
 * const sizes = { hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 };
 * new Llama({ vocab_size: 65, ...sizes }).cacheShape.depth; // 4
 */
export class Llama extends CausalLM {
  readonly tokens: TokenEmbedding;
  readonly blocks: readonly BlockModule[];
  readonly norm: Module;
  /** Absent where the table of tokens makes the logits. */
  readonly head: Head | undefined;
  readonly config: LlamaConfig;
  readonly configJson: ConfigJson;
  readonly #options: ModelOptions;

  constructor(json: ConfigJson, options: ModelOptions = {}) {
    super();
    const config = llamaConfig(json);
    this.config = config;
    this.configJson = { architectures: [config.architecture], ...json, model_type: config.model_type };
    this.#options = options;
    const normal = initializers.randomNormal({ stddev: config.initializer_range });
    this.tokens = new TokenEmbedding(config.vocab_size, config.hidden_size, normal);
    this.blocks = Array.from({ length: config.num_hidden_layers }, () => new Block(config));
    this.norm = rmsNormalization({ epsilon: config.rms_norm_eps });
    this.head = config.tie_word_embeddings ? undefined : new Head(config.vocab_size, normal);
  }

  get vocabSize(): number {
    return this.config.vocab_size;
  }
  get contextLength(): number {
    return this.config.max_position_embeddings;
  }
  get cacheShape(): CacheShape {
    const { num_hidden_layers: layers, num_key_value_heads: groups, head_dim: depth } = this.config;
    return { layers, groups, depth };
  }

  protected forward(input: CausalInput, context: Context): Tensor | CachedOutput {
    const { ids, pass, cache, pick } = partsOf(input, context, this.contextLength);
    const embedded = this.tokens.call(ids, context); // [B, T, C]
    const { x, cache: next, auxiliary } = runBlocks(this.blocks, embedded, { pass, cache, options: this.#options });
    const hidden = pickTokens(this.norm.call(x, context), pick);
    const kernel =
      this.head === undefined ? this.tokens.table().transpose() : this.head.kernel(this.config.hidden_size);
    const logits = headLogits({ hidden, project: (h) => h.matmul(kernel), auxiliary }); // [B, T, V]
    return next === undefined ? logits : { logits, cache: next };
  }
}

/**
 * A model of Llama's kind from a config in Hugging Face's names; `model_type` "mistral", "mixtral", "qwen2" and "qwen3"
 * set what differs.
 *
 * @example
 * const sizes = { vocab_size: 512, hidden_size: 64, intermediate_size: 172, num_hidden_layers: 2, num_attention_heads: 4 };
 * llama({ ...sizes, max_position_embeddings: 128 }).cacheShape; // { layers: 2, groups: 4, depth: 16 }
 */
export function llama(config: ConfigJson, options: ModelOptions = {}): Llama {
  return new Llama(config, options);
}

const LAYER = "model.layers.*";

/** Llama's weights in files; its projections (Linear) lie there as [out, in]. */
export const llamaNames: NameTable = {
  rows: [
    { file: "model.embed_tokens.weight", path: "tokens.embeddings" },
    { file: `${LAYER}.input_layernorm.weight`, path: "blocks.*.norm1.scale" },
    ...projectionRows(`${LAYER}.self_attn.q_proj`, "blocks.*.attention.query", "outIn"),
    ...projectionRows(`${LAYER}.self_attn.k_proj`, "blocks.*.attention.key", "outIn"),
    ...projectionRows(`${LAYER}.self_attn.v_proj`, "blocks.*.attention.value", "outIn"),
    ...projectionRows(`${LAYER}.self_attn.o_proj`, "blocks.*.attention.output", "outIn"),
    { file: `${LAYER}.self_attn.q_norm.weight`, path: "blocks.*.attention.queryNorm.scale" },
    { file: `${LAYER}.self_attn.k_norm.weight`, path: "blocks.*.attention.keyNorm.scale" },
    { file: `${LAYER}.post_attention_layernorm.weight`, path: "blocks.*.norm2.scale" },
    ...projectionRows(`${LAYER}.mlp.gate_proj`, "blocks.*.mlp.gate", "outIn"),
    ...projectionRows(`${LAYER}.mlp.up_proj`, "blocks.*.mlp.up", "outIn"),
    ...projectionRows(`${LAYER}.mlp.down_proj`, "blocks.*.mlp.down", "outIn"),
    { file: `${LAYER}.block_sparse_moe.gate.weight`, path: "blocks.*.mlp.router.kernel", transposed: true },
    ...projectionRows(`${LAYER}.block_sparse_moe.experts.*.w1`, "blocks.*.mlp.experts.*.gate", "outIn"),
    ...projectionRows(`${LAYER}.block_sparse_moe.experts.*.w3`, "blocks.*.mlp.experts.*.up", "outIn"),
    ...projectionRows(`${LAYER}.block_sparse_moe.experts.*.w2`, "blocks.*.mlp.experts.*.down", "outIn"),
    { file: "model.norm.weight", path: "norm.scale" },
    { file: "lm_head.weight", path: "head.kernel", transposed: true },
  ],
  copies: { "lm_head.weight": "model.embed_tokens.weight" },
  constants: [`${LAYER}.self_attn.rotary_emb.inv_freq`],
};
