// The feed-forward part of Llama's kind: SwiGLU, alone or as experts of which each token takes the best few.
import { arange, silu, softmax, topK, type Tensor } from "../../engine/tensor/index.ts";
import { initializers, Module, type Context } from "../../learn/nn/index.ts";
import { Head, projection } from "./layers.ts";

/** Sizes of a feed-forward part. */
export interface FeedForwardOptions {
  /** C. */
  readonly width: number;
  /** F: width inside. */
  readonly inner: number;
  readonly useBias: boolean;
  readonly stddev: number;
}

/** Experts of a mixture. */
export interface ExpertOptions {
  /** E: how many there are. */
  readonly experts: number;
  /** How many each token takes. */
  readonly perToken: number;
  /** Factor of the balancing loss. */
  readonly balance: number;
}

/** What a feed-forward part gives. */
export interface FeedForwardOutput {
  /** [B, T, C]. */
  readonly y: Tensor;
  /** The balancing loss of a mixture, times its factor: a scalar. */
  readonly auxiliary: Tensor | undefined;
}

/** SwiGLU (Shazeer 2020): `(silu(x W₁) ⊙ x W₂) W₃`. */
export class GatedMlp extends Module<Tensor, FeedForwardOutput> {
  readonly gate: Module;
  readonly up: Module;
  readonly down: Module;

  constructor({ width, inner, useBias, stddev }: FeedForwardOptions) {
    super();
    this.gate = projection(inner, stddev, { useBias });
    this.up = projection(inner, stddev, { useBias });
    this.down = projection(width, stddev, { useBias });
  }

  protected forward(x: Tensor, context: Context): FeedForwardOutput {
    const wide = silu(this.gate.call(x, context)).mul(this.up.call(x, context)); // [B, T, F]
    return { y: this.down.call(wide, context), auxiliary: undefined }; // [B, T, C]
  }
}

/**
 * A mixture of SwiGLU experts (Shazeer et al. 2017; routing as in Mixtral, Jiang et al. 2024): each token takes its k
 * most probable experts, whose results are weighted by their probabilities over the sum of those k. No token is ever
 * dropped: there is no capacity. Every expert computes every token here, with weight 0 where it was not taken, so that
 * shapes stay fixed: the price is E / k times the work of the experts taken.
 * Balancing loss (Fedus et al. 2021): `E · Σ fₑ Pₑ`, fₑ the share of tokens that took e, Pₑ its mean probability.
 */
export class Mixture extends Module<Tensor, FeedForwardOutput> {
  readonly router: Head;
  readonly experts: readonly GatedMlp[];
  readonly #options: ExpertOptions;

  constructor(options: FeedForwardOptions, experts: ExpertOptions) {
    super();
    this.#options = experts;
    this.router = new Head(experts.experts, initializers.randomNormal({ stddev: options.stddev }));
    this.experts = Array.from({ length: experts.experts }, () => new GatedMlp(options));
  }

  protected forward(x: Tensor, context: Context): FeedForwardOutput {
    const { experts: count, perToken, balance } = this.#options;
    const probabilities = softmax(this.router.call(x, context)); // [B, T, E]
    const { values, indices } = topK(probabilities, perToken); // [B, T, k]
    const taken = indices.expandDims(-1).equal(arange(count)).cast("float32"); // [B, T, k, E]
    const shares = values.div(values.sum({ axis: -1, keepDims: true })); // [B, T, k]
    const weights = shares.expandDims(-1).mul(taken).sum({ axis: -2 }); // [B, T, E]
    const y = this.experts
      .map((expert, e) => expert.call(x, context).y.mul(weights.slice(e, e + 1, { axis: -1 })))
      .reduce((a, b) => a.add(b));
    if (!context.training || balance === 0) return { y, auxiliary: undefined };
    const share = taken.sum({ axis: -2 }).mean({ axis: [0, 1] }); // [E]
    const mean = probabilities.mean({ axis: [0, 1] });
    return {
      y,
      auxiliary: share
        .mul(mean)
        .sum()
        .mul(balance * count),
    };
  }
}
