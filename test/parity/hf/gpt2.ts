// GPT-2 (Radford et al. 2019): learned positions, a layer norm before each part, one table for tokens and logits.
import type { JsonValue } from "../../../src/data/index.ts";
import { ArgumentError, ShapeError } from "../../../src/engine/core/index.ts";
import { arange, attention, gelu, split, type Tensor } from "../../../src/engine/tensor/index.ts";
import { dense, initializers, layerNormalization, Module, type Context } from "../../../src/learn/nn/index.ts";
import { ConfigReader } from "./config.ts";
import { checkIds, mergeHeads, splitHeads, TokenEmbedding } from "./parts.ts";
import { projectionRows, type NameRow, type NameTable } from "./weights.ts";

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

/** Checks a config.json. Throws FormatError for fields that are wrong or ask for what is not built. */
export function gpt2Config(json: JsonValue): Gpt2Config {
  const read = new ConfigReader("gpt2", json);
  read.only("activation_function", "gelu_new", "gelu_pytorch_tanh");
  read.only("tie_word_embeddings", true);
  read.only("scale_attn_weights", true);
  read.only("scale_attn_by_inverse_layer_idx", false);
  read.only("add_cross_attention", false);
  const [width, heads] = [read.whole("n_embd"), read.whole("n_head")];
  read.divides(heads, "n_embd", width);
  return {
    vocab_size: read.whole("vocab_size"),
    n_positions: read.whole("n_positions"),
    n_embd: width,
    n_layer: read.whole("n_layer"),
    n_head: heads,
    n_inner: read.whole("n_inner", 4 * width),
    layer_norm_epsilon: read.real("layer_norm_epsilon", 1e-5),
    initializer_range: read.real("initializer_range", 0.02),
    attn_pdrop: read.real("attn_pdrop", 0.1),
    resid_pdrop: read.real("resid_pdrop", 0.1),
    embd_pdrop: read.real("embd_pdrop", 0.1),
  };
}

/** A projection; what is added to the residual stream begins smaller, so that depth does not raise its variance. */
function projection(
  units: number,
  config: Gpt2Config,
  { residual = false }: { readonly residual?: boolean } = {},
): Module {
  const stddev = config.initializer_range / (residual ? Math.sqrt(2 * config.n_layer) : 1);
  return dense(units, { kernelInitializer: initializers.randomNormal({ stddev }) });
}

class Attention extends Module {
  readonly qkv: Module;
  readonly output: Module;
  readonly #heads: number;

  constructor(config: Gpt2Config) {
    super();
    this.#heads = config.n_head;
    this.qkv = projection(3 * config.n_embd, config);
    this.output = projection(config.n_embd, config, { residual: true });
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const parts = split(this.qkv.call(x, context), 3, -1); // three of [B, T, C]
    const [q, k, v] = parts.map((part) => splitHeads(part, this.#heads)) as [Tensor, Tensor, Tensor]; // [B, H, T, D]
    return this.output.call(mergeHeads(attention(q, { k, v, causal: true })), context); // [B, T, C]
  }
}

class Mlp extends Module {
  readonly up: Module;
  readonly down: Module;

  constructor(config: Gpt2Config) {
    super();
    this.up = projection(config.n_inner, config);
    this.down = projection(config.n_embd, config, { residual: true });
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const wide = gelu(this.up.call(x, context), { approximate: true }); // [B, T, n_inner]
    return this.down.call(wide, context); // [B, T, C]
  }
}

class Block extends Module {
  readonly norm1: Module;
  readonly attention: Module;
  readonly norm2: Module;
  readonly mlp: Module;

  constructor(config: Gpt2Config) {
    super();
    this.norm1 = layerNormalization({ epsilon: config.layer_norm_epsilon });
    this.attention = new Attention(config);
    this.norm2 = layerNormalization({ epsilon: config.layer_norm_epsilon });
    this.mlp = new Mlp(config);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const attended = x.add(this.attention.call(this.norm1.call(x, context), context));
    return attended.add(this.mlp.call(this.norm2.call(attended, context), context));
  }
}

/**
 * GPT-2: ids int32 [B, T] → logits [B, T, V]. Dropout is not built: training with rates above 0 is refused.
 *
 * @example
 * const model = new GPT2(gpt2Config(json)).init(0, { dtype: "int32", shape: [1, 1] });
 */
export class GPT2 extends Module {
  readonly tokens: TokenEmbedding;
  readonly positions: TokenEmbedding;
  readonly blocks: readonly Module[];
  readonly norm: Module;
  readonly config: Gpt2Config;

  constructor(config: Gpt2Config) {
    super();
    this.config = config;
    const normal = initializers.randomNormal({ stddev: config.initializer_range });
    this.tokens = new TokenEmbedding(config.vocab_size, config.n_embd, normal);
    this.positions = new TokenEmbedding(config.n_positions, config.n_embd, normal);
    this.blocks = Array.from({ length: config.n_layer }, () => new Block(config));
    this.norm = layerNormalization({ epsilon: config.layer_norm_epsilon });
  }

  protected forward(ids: Tensor, context: Context): Tensor {
    checkIds(ids);
    const { n_positions, attn_pdrop, resid_pdrop, embd_pdrop } = this.config;
    const time = ids.shape[1]!;
    if (time > n_positions) throw new ShapeError("ids", `the model has ${n_positions} positions: received ${time}`);
    if (context.training && Math.max(attn_pdrop, resid_pdrop, embd_pdrop) > 0) {
      throw new ArgumentError("gpt2", "training with dropout is not built", {
        hint: "set attn_pdrop, resid_pdrop and embd_pdrop to 0",
      });
    }
    const embedded = this.tokens.call(ids, context).add(this.positions.call(arange(time), context)); // [B, T, C]
    const h = this.blocks.reduce((x, block) => block.call(x, context), embedded);
    return this.tokens.logits(this.norm.call(h, context)); // [B, T, V]
  }
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
