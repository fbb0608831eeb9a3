// GPT-2 (Radford et al. 2019): learned positions, a layer norm before each part, one table for tokens and logits.
import type { JsonValue } from "../data/formats/index.ts";
import { gelu, split, type Tensor } from "../engine/tensor/index.ts";
import { headLogits, initializers, layerNormalization, Module, type Context } from "../learn/nn/index.ts";
import { attend, splitHeads } from "./parts/attention.ts";
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
import { ConfigReader, type ConfigJson } from "./parts/config.ts";
import { drop, pickTokens, projection, TokenEmbedding } from "./parts/layers.ts";
import { runBlocks } from "./parts/blocks.ts";
import { projectionRows, type NameRow, type NameTable } from "./parts/weights.ts";

/** What is read of a config.json with `model_type` "gpt2". */
export interface Gpt2Config {
  readonly vocab_size: number;
  readonly n_positions: number;
  readonly n_embd: number;
  readonly n_layer: number;
  readonly n_head: number;
  /** Width of the MLP; 4 · n_embd unless said. */
  readonly n_inner: number;
  readonly layer_norm_epsilon: number;
  readonly initializer_range: number;
  readonly attn_pdrop: number;
  readonly resid_pdrop: number;
  readonly embd_pdrop: number;
}

/** Checks a config.json. Throws FormatError for fields that are wrong, unknown, or ask for what is not built. */
export function gpt2Config(json: JsonValue): Gpt2Config {
  const read = new ConfigReader("gpt2", json);
  read.only("activation_function", "gelu_new", "gelu_pytorch_tanh");
  read.only("tie_word_embeddings", true);
  read.only("scale_attn_weights", true);
  read.only("scale_attn_by_inverse_layer_idx", false);
  read.only("add_cross_attention", false);
  // Upcasting changes nothing where everything is float32; summary_* describe a classification head; n_ctx is n_positions.
  read.ignore("reorder_and_upcast_attn", "n_ctx");
  read.ignore(
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
  );
  const [width, heads] = [read.whole("n_embd"), read.whole("n_head")];
  read.divides(heads, "n_embd", width);
  const config = {
    vocab_size: read.whole("vocab_size"),
    n_positions: read.whole("n_positions"),
    n_embd: width,
    n_layer: read.whole("n_layer"),
    n_head: heads,
    n_inner: read.whole("n_inner", 4 * width),
    layer_norm_epsilon: read.real("layer_norm_epsilon", 1e-5),
    initializer_range: read.real("initializer_range", 0.02),
    attn_pdrop: read.rate("attn_pdrop", 0.1),
    resid_pdrop: read.rate("resid_pdrop", 0.1),
    embd_pdrop: read.rate("embd_pdrop", 0.1),
  };
  read.finish();
  return config;
}

/** A projection; what is added to the residual stream begins smaller, so that depth does not raise its variance. */
function linear(units: number, config: Gpt2Config, { residual = false }: { readonly residual?: boolean } = {}): Module {
  const stddev = config.initializer_range / (residual ? Math.sqrt(2 * config.n_layer) : 1);
  return projection(units, stddev, { useBias: true });
}

class Attention extends Module<BlockInput, { readonly y: Tensor; readonly cache: LayerCache | undefined }> {
  readonly qkv: Module;
  readonly output: Module;
  readonly #config: Gpt2Config;

  constructor(config: Gpt2Config) {
    super();
    this.#config = config;
    this.qkv = linear(3 * config.n_embd, config);
    this.output = linear(config.n_embd, config, { residual: true });
  }

  protected forward({ x, pass, cache }: BlockInput, context: Context): { y: Tensor; cache: LayerCache | undefined } {
    const { n_head, attn_pdrop } = this.#config;
    const parts = split(this.qkv.call(x, context), 3, -1); // three of [B, T, C]
    const [q, k, v] = parts.map((part) => splitHeads(part, n_head)) as [Tensor, Tensor, Tensor]; // [B, T, H, D]
    const attended = attend({ q, k, v }, pass, { cache, rate: attn_pdrop });
    return { y: this.output.call(attended.y, context), cache: attended.cache }; // [B, T, C]
  }
}

class Mlp extends Module {
  readonly up: Module;
  readonly down: Module;

  constructor(config: Gpt2Config) {
    super();
    this.up = linear(config.n_inner, config);
    this.down = linear(config.n_embd, config, { residual: true });
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const wide = gelu(this.up.call(x, context), { approximate: true }); // [B, T, n_inner]
    return this.down.call(wide, context); // [B, T, C]
  }
}

class Block extends Module<BlockInput, BlockOutput> {
  readonly norm1: Module;
  readonly attention: Attention;
  readonly norm2: Module;
  readonly mlp: Module;
  readonly #rate: number;

  constructor(config: Gpt2Config) {
    super();
    this.#rate = config.resid_pdrop;
    this.norm1 = layerNormalization({ epsilon: config.layer_norm_epsilon });
    this.attention = new Attention(config);
    this.norm2 = layerNormalization({ epsilon: config.layer_norm_epsilon });
    this.mlp = new Mlp(config);
  }

  protected forward({ x, pass, cache }: BlockInput, context: Context): BlockOutput {
    const attended = this.attention.call({ x: this.norm1.call(x, context), pass, cache }, context);
    const h = x.add(drop(attended.y, this.#rate, context));
    const mixed = this.mlp.call(this.norm2.call(h, context), context);
    return { x: h.add(drop(mixed, this.#rate, context)), cache: attended.cache, auxiliary: undefined };
  }
}

/**
 * GPT-2: ids int32 [B, T] → logits [B, T, V].
 *
 * @example
 * new GPT2({ vocab_size: 65, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 }).cacheShape.depth; // 4
 */
export class GPT2 extends CausalLM {
  readonly tokens: TokenEmbedding;
  readonly positions: TokenEmbedding;
  readonly blocks: readonly BlockModule[];
  readonly norm: Module;
  readonly config: Gpt2Config;
  readonly configJson: ConfigJson;
  readonly #options: ModelOptions;

  constructor(json: ConfigJson, options: ModelOptions = {}) {
    super();
    const config = gpt2Config(json);
    this.config = config;
    this.configJson = { architectures: ["GPT2LMHeadModel"], ...json, model_type: "gpt2" };
    this.#options = options;
    const normal = initializers.randomNormal({ stddev: config.initializer_range });
    this.tokens = new TokenEmbedding(config.vocab_size, config.n_embd, normal);
    this.positions = new TokenEmbedding(config.n_positions, config.n_embd, normal);
    this.blocks = Array.from({ length: config.n_layer }, () => new Block(config));
    this.norm = layerNormalization({ epsilon: config.layer_norm_epsilon });
  }

  get vocabSize(): number {
    return this.config.vocab_size;
  }
  get contextLength(): number {
    return this.config.n_positions;
  }
  get cacheShape(): CacheShape {
    const { n_layer: layers, n_head: groups, n_embd } = this.config;
    return { layers, groups, depth: n_embd / groups };
  }

  protected forward(input: CausalInput, context: Context): Tensor | CachedOutput {
    const { ids, pass, cache, pick } = partsOf(input, context, this.contextLength);
    const embedded = this.tokens.call(ids, context).add(this.positions.call(pass.positions, context)); // [B, T, C]
    const begun = drop(embedded, this.config.embd_pdrop, context);
    const { x, cache: next, auxiliary } = runBlocks(this.blocks, begun, { pass, cache, options: this.#options });
    const hidden = pickTokens(this.norm.call(x, context), pick);
    const table = this.tokens.table();
    const logits = headLogits({ hidden, project: (h) => h.matmul(table.transpose()), auxiliary }); // [B, T, V]
    return next === undefined ? logits : { logits, cache: next };
  }
}

/**
 * GPT-2 from a config in Hugging Face's names; dropout rates are 0.1 unless said.
 *
 * @example
 * gpt2({ vocab_size: 65, n_positions: 64, n_embd: 128, n_layer: 4, n_head: 4 }).contextLength; // 64
 */
export function gpt2(config: ConfigJson, options: ModelOptions = {}): GPT2 {
  return new GPT2(config, options);
}

function normRows(file: string, path: string): NameRow[] {
  return [
    { file: `${file}.weight`, path: `${path}.gamma` },
    { file: `${file}.bias`, path: `${path}.beta` },
  ];
}

/** GPT-2's weights in files; its projections (Conv1D) lie there as [in, out]. */
export const gpt2Names: NameTable = {
  prefix: "transformer.",
  rows: [
    { file: "wte.weight", path: "tokens.embeddings" },
    { file: "wpe.weight", path: "positions.embeddings" },
    ...normRows("h.*.ln_1", "blocks.*.norm1"),
    ...projectionRows("h.*.attn.c_attn", "blocks.*.attention.qkv", "inOut"),
    ...projectionRows("h.*.attn.c_proj", "blocks.*.attention.output", "inOut"),
    ...normRows("h.*.ln_2", "blocks.*.norm2"),
    ...projectionRows("h.*.mlp.c_fc", "blocks.*.mlp.up", "inOut"),
    ...projectionRows("h.*.mlp.c_proj", "blocks.*.mlp.down", "inOut"),
    ...normRows("ln_f", "norm"),
  ],
  copies: { "lm_head.weight": "wte.weight" },
  constants: ["h.*.attn.bias", "h.*.attn.masked_bias"],
};
