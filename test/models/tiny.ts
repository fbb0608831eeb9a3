// Tiny models of every kind, for tests that need weights of any value.
import type { ConfigJson } from "../../src/models/index.ts";

const llama = {
  vocab_size: 64,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 48,
};

/** Configs by the name of what is special about them. */
export const tinyConfigs: { readonly [name: string]: ConfigJson } = {
  gpt2: {
    model_type: "gpt2",
    vocab_size: 64,
    n_positions: 48,
    n_embd: 24,
    n_layer: 2,
    n_head: 3,
    attn_pdrop: 0,
    resid_pdrop: 0,
    embd_pdrop: 0,
  },
  llama: { model_type: "llama", ...llama },
  qwen2: { model_type: "qwen2", ...llama, tie_word_embeddings: true },
  qwen3: { model_type: "qwen3", ...llama, head_dim: 10 },
  mistral: { model_type: "mistral", ...llama, rope_theta: 1000 },
  mixtral: { model_type: "mixtral", ...llama, num_local_experts: 4, num_experts_per_tok: 2 },
};
