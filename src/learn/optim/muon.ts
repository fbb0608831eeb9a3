// Muon: momentum whose update is made orthogonal, for the matrices inside a network; AdamW for everything else.
import { ArgumentError, checkRange, type Path } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import { scaleByAdam } from "./adaptive.ts";
import { matcher, type ParameterMatch } from "./groups.ts";
import { makeOptimizer, type CommonOptions, type Optimizer } from "./optimizer.ts";
import { trace } from "./scale.ts";
import { chain, partition, stateless, type GradientTransformation } from "./transformation.ts";

/** Coefficients of the quintic iteration, chosen by Jordan et al. for a steep slope at 0: singular values end in [0.7, 1.2]. */
const [A, B, C] = [3.4445, -4.775, 2.0315] as const;

/**
 * A matrix with its singular values brought near 1, by Newton–Schulz iterations: `X ← a X + (b XXᵀ + c (XXᵀ)²) X` from
 * `X = G / ‖G‖`; nearly the orthogonal factor `U Vᵀ` of `G = U S Vᵀ`. x: [n, m], or [..., m] taken as a matrix of rows.
 * Source: Jordan et al., "Muon" (2024).
 *
 * @example
 * orthogonalize(tensor([[2, 0], [0, 1]])); // near the identity
 */
export function orthogonalize(x: Tensor, { steps = 5 }: { readonly steps?: number } = {}): Tensor {
  const columns = x.shape.at(-1)!;
  const matrix = x.reshape([x.size / columns, columns]);
  // The smaller side is the inner one of the squares.
  const tall = matrix.shape[0]! > columns;
  let y = tall ? matrix.transpose() : matrix;
  y = y.div(y.square().sum().sqrt().add(1e-7));
  for (let i = 0; i < steps; i++) {
    const square = y.matmul(y.transpose());
    y = y.mul(A).add(square.mul(B).add(square.matmul(square).mul(C)).matmul(y));
  }
  return (tall ? y.transpose() : y).reshape(x.shape);
}

/** How large an orthogonal update of an [n, m] matrix is made. */
export type MuonScale = "moonlight" | "jordan";

export interface ScaleByMuonOptions {
  /** Default 0.95. */
  readonly momentum?: number;
  /** Default true. */
  readonly nesterov?: boolean;
  /** Newton–Schulz iterations; default 5. */
  readonly steps?: number;
  /**
   * "moonlight" (default): times `0.2 √max(n, m)`, the size of AdamW's updates, so that both share one learning rate and decay
   * (Liu et al. 2025). "jordan": times `√max(1, n_out / n_in)`, with learning rates near 0.02 (Jordan et al. 2024).
   */
  readonly scale?: MuonScale;
}

/**
 * Muon's direction: momentum, with Nesterov's look-ahead, orthogonalized, scaled by its shape. For parameters of two axes
 * or more: [inputs, outputs], the last axis being the outputs.
 */
export function scaleByMuon(options: ScaleByMuonOptions = {}): GradientTransformation {
  const { momentum = 0.95, nesterov = true, steps = 5, scale = "moonlight" } = options;
  if (!Number.isSafeInteger(steps) || steps < 1)
    throw new ArgumentError("scaleByMuon", `\`steps\` is a whole number ≥ 1: received ${steps}`);
  if (scale !== "moonlight" && scale !== "jordan")
    throw new ArgumentError("scaleByMuon", `\`scale\` is "moonlight" or "jordan": received ${JSON.stringify(scale)}`);
  const direction = stateless((velocity) => {
    const outputs = velocity.shape.at(-1)!;
    const inputs = velocity.size / outputs;
    const size =
      scale === "moonlight" ? 0.2 * Math.sqrt(Math.max(inputs, outputs)) : Math.sqrt(Math.max(1, outputs / inputs));
    return orthogonalize(velocity, { steps }).mul(size);
  });
  return chain(trace(momentum, { nesterov }), direction);
}

export interface MuonOptions extends CommonOptions, ScaleByMuonOptions {
  /**
   * Parameters AdamW takes besides those of less than two axes: embeddings and heads. By default those whose path has a part
   * that names one (`…embed…`, `wte`, `wpe`, `token…`, `position…`, `lm_head`, `head`).
   */
  readonly adamFor?: ParameterMatch;
  /** Factor of the learning rate for AdamW's parameters; default 1. */
  readonly adamRate?: number;
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.95. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
}

/** Parts of a path that name embeddings and heads. */
const TABLES = /(^|\.)(\w*embed\w*|wte|wpe|token\w*|position\w*|(lm_)?head)(\.|$)/i;

/**
 * Muon for matrices, AdamW for embeddings, heads, norms and biases; η = 0.02 unless said, decoupled weight decay 0.
 * Five products of each matrix with itself a step: about 6 · steps · n / tokens of the step's work.
 *
 * @example
 * muon({ learningRate: 3e-3, weightDecay: 0.1, decayMatricesOnly: true });
 */
export function muon(options: MuonOptions = {}): Optimizer {
  const { momentum = 0.95, nesterov = true, steps = 5, scale = "moonlight" } = options;
  const { adamFor, adamRate = 1, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8 } = options;
  checkRange("muon", "adamRate", adamRate, 0);
  if (options.adamFor !== undefined && typeof options.adamFor !== "string" && typeof options.adamFor !== "function")
    throw new ArgumentError("muon", "`adamFor` is a pattern or a function");
  const named = adamFor === undefined ? (path: Path) => TABLES.test(path) : matcher(adamFor);
  const byAdam = (path: Path, param: Tensor): boolean => param.rank < 2 || named(path, param);
  const adam = chain(
    scaleByAdam({ beta1, beta2, epsilon, convention: "torch" }),
    ...(adamRate === 1 ? [] : [stateless((update) => update.mul(adamRate))]),
  );
  return makeOptimizer({
    name: "muon",
    common: options,
    defaultRate: 0.02,
    options: {
      momentum,
      nesterov,
      steps,
      scale,
      adamRate,
      beta1,
      beta2,
      epsilon,
      ...(adamFor === undefined ? {} : { adamFor: typeof adamFor === "string" ? adamFor : "(function)" }),
    },
    parts: ({ decay, descend }) => [
      partition((path, param) => (byAdam(path, param) ? "adam" : "muon"), {
        muon: scaleByMuon({ momentum, nesterov, steps, scale }),
        adam,
      }),
      decay,
      descend,
    ],
  });
}
