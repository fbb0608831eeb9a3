// Sizes by name: GPT-2's four, Shakespeare's three, a few of Llama's kind; every one is a config.json.
import type { ConfigJson } from "./parts/config.ts";

function gpt2Size(layers: number, heads: number, width: number): ConfigJson {
  return { model_type: "gpt2", vocab_size: 50257, n_positions: 1024, n_embd: width, n_layer: layers, n_head: heads };
}

// 65 characters; rates of dropout and lengths are nanoGPT's.
function shakespeare(layers: number, width: number, { time, dropout }: { time: number; dropout: number }): ConfigJson {
  const rates = { attn_pdrop: dropout, resid_pdrop: dropout, embd_pdrop: dropout };
  const sizes = { n_positions: time, n_embd: width, n_layer: layers, n_head: layers };
  return { model_type: "gpt2", vocab_size: 65, ...sizes, ...rates };
}

function llamaSize(layers: number, heads: number, width: number, rest: ConfigJson): ConfigJson {
  const sizes = { hidden_size: width, num_hidden_layers: layers, num_attention_heads: heads };
  return { model_type: "llama", ...sizes, ...rest };
}

/**
 * Configs by name. Sources: GPT-2 (Radford et al. 2019), nanoGPT's settings for Shakespeare's characters, llama2.c's
 * TinyStories models, SmolLM2-135M and Qwen3-0.6B as their config.json say.
 *
 * @example
 * createModel({ ...presets["shakespeare"]!, vocab_size: 80 }).contextLength; // 256
 */
export const presets: { readonly [name: string]: ConfigJson } = {
  gpt2: gpt2Size(12, 12, 768),
  "gpt2-medium": gpt2Size(24, 16, 1024),
  "gpt2-large": gpt2Size(36, 20, 1280),
  "gpt2-xl": gpt2Size(48, 25, 1600),
  "shakespeare-tiny": shakespeare(2, 64, { time: 32, dropout: 0 }),
  "shakespeare-cpu": shakespeare(4, 128, { time: 64, dropout: 0 }),
  shakespeare: shakespeare(6, 384, { time: 256, dropout: 0.2 }),
  "stories-15m": llamaSize(6, 6, 288, {
    vocab_size: 32000,
    intermediate_size: 768,
    max_position_embeddings: 256,
    tie_word_embeddings: true,
  }),
  "stories-110m": llamaSize(12, 12, 768, {
    vocab_size: 32000,
    intermediate_size: 2048,
    max_position_embeddings: 1024,
    tie_word_embeddings: true,
  }),
  "smollm2-135m": llamaSize(30, 9, 576, {
    vocab_size: 49152,
    intermediate_size: 1536,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    tie_word_embeddings: true,
  }),
  "qwen3-0.6b": {
    model_type: "qwen3",
    vocab_size: 151936,
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    max_position_embeddings: 40960,
    rope_theta: 1000000,
    tie_word_embeddings: true,
  },
};
