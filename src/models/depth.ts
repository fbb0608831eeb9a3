// One dial: the depth of a model gives its width, heads, learning rate, batch and token horizon (nanochat's idea).
import { ArgumentError } from "../engine/core/index.ts";
import type { ConfigJson } from "./parts/config.ts";

export interface DepthOptions {
  readonly vocabSize: number;
  /** Tokens of a row; 1024 unless said. */
  readonly contextLength?: number;
  /** Training tokens for each parameter; 12 unless said (nanochat's; Hoffmann et al. 2022 found about 20). */
  readonly tokensPerParameter?: number;
}

/** What a depth gives. */
export interface DepthSettings {
  /** A GPT-2 of these sizes without dropout: with one token for each 12 to 20 parameters nothing is seen twice. */
  readonly config: ConfigJson;
  /** Parameters that work on each token: blocks, norms and the head; not the table of positions. */
  readonly parameters: number;
  /** All of them. */
  readonly allParameters: number;
  /** Peak learning rate for AdamW. */
  readonly learningRate: number;
  /** Tokens of one update. */
  readonly batchTokens: number;
  /** Tokens of the whole training. */
  readonly tokens: number;
}

const ASPECT = 64; // width over depth
const HEAD = 128; // depth of a head
const REFERENCE = { depth: 12, width: 768, learningRate: 6e-4, batchTokens: 2 ** 19 };

/**
 * Settings of a depth L:
 * - width `C = 64 L`, rounded up to whole heads of 128 (one head of 64 where C is 64);
 * - learning rate `6e-4 · √(768 / C)`: GPT-3 Small's at its width (Brown et al. 2020), shrunk with the width as nanochat
 *   does for its AdamW groups;
 * - tokens `12 · parameters`;
 * - batch `2¹⁹ · (tokens / tokens of L = 12)^0.383`, rounded to a power of two, at least one row: the growth of the best
 *   batch with the horizon measured by Bergsma et al. 2025 ("Power Lines"), from nanochat's reference point.
 *
 * @example
 * depthDial(4, { vocabSize: 4096 }).config["n_embd"]; // 256
 */
export function depthDial(depth: number, options: DepthOptions): DepthSettings {
  const whole = (name: string, value: number): void => {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ArgumentError("depthDial", `\`${name}\` must be a whole number ≥ 1: received ${value}`);
  };
  const { vocabSize, contextLength = 1024, tokensPerParameter = 12 } = options;
  whole("depth", depth);
  whole("vocabSize", vocabSize);
  whole("contextLength", contextLength);
  if (!(tokensPerParameter > 0))
    throw new ArgumentError("depthDial", `\`tokensPerParameter\` must be above 0: received ${tokensPerParameter}`);
  const width = widthOf(depth);
  const parameters = parametersOf(depth, vocabSize);
  const tokens = tokensPerParameter * parameters;
  const growth = (parameters / parametersOf(REFERENCE.depth, vocabSize)) ** 0.383;
  return {
    config: {
      model_type: "gpt2",
      vocab_size: vocabSize,
      n_positions: contextLength,
      n_embd: width,
      n_layer: depth,
      n_head: Math.max(1, width / HEAD),
      attn_pdrop: 0,
      resid_pdrop: 0,
      embd_pdrop: 0,
    },
    parameters,
    allParameters: parameters + contextLength * width,
    learningRate: REFERENCE.learningRate * Math.sqrt(REFERENCE.width / width),
    batchTokens: Math.max(contextLength, 2 ** Math.round(Math.log2(REFERENCE.batchTokens * growth))),
    tokens,
  };
}

function widthOf(depth: number): number {
  const width = ASPECT * depth;
  return width < HEAD ? width : Math.ceil(width / HEAD) * HEAD;
}

// A block has 12 C² weights, 9 C biases and 4 C of its two norms; then the last norm and the table.
function parametersOf(depth: number, vocabSize: number): number {
  const width = widthOf(depth);
  return depth * (12 * width ** 2 + 13 * width) + 2 * width + vocabSize * width;
}
