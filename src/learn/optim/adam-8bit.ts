// AdamW with its moments in eight bits: a quarter of the memory, by blocks of 256 numbers with a scale each.
import { checkRange } from "../../engine/core/index.ts";
import { zeros, zerosLike, type Tensor } from "../../engine/tensor/index.ts";
import { average, checkMoments, correction } from "./adaptive.ts";
import { makeOptimizer, type CommonOptions, type Optimizer } from "./optimizer.ts";
import { overChunks, quantizedZeros, type Quantized } from "./quantized.ts";
import { mapTensors, type GradientTransformation, type TensorMap } from "./transformation.ts";

/** First moments and roots of second moments; small parameters keep them in float32. */
export type Moments8bit = { readonly [path: string]: Tensor | Quantized };
export type Adam8bitState = { readonly count: Tensor; readonly m: Moments8bit; readonly root: Moments8bit };

export interface ScaleByAdam8bitOptions {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Parameters of fewer numbers keep their moments in float32; default 4096. */
  readonly minSize?: number;
}

/**
 * Adam's direction in PyTorch's form, with m and √v kept in eight bits: `m′ = β₁ m + (1 − β₁) g`,
 * `r′ = √(β₂ r² + (1 − β₂) g²)`, direction `(m′/c₁) / (r′/√c₂ + ε)`, computed in float32 and then quantized block by block.
 * Kept is the root: its seven decades are fourteen of v, and a number above 0 never becomes 0, so that no division explodes.
 * Source: Dettmers et al. (2022), who keep v itself.
 */
export function scaleByAdam8bit(options: ScaleByAdam8bitOptions = {}): GradientTransformation<Adam8bitState> {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, minSize = 4096 } = options;
  checkMoments("scaleByAdam8bit", { beta1, beta2, epsilon });
  checkRange("scaleByAdam8bit", "minSize", minSize, 0);
  const fresh = (params: TensorMap): Moments8bit =>
    Object.fromEntries(
      Object.entries(params).map(([path, p]) => [path, p.size < minSize ? zerosLike(p) : quantizedZeros(p.size)]),
    );
  return {
    init: (params) => ({ count: zeros([], "int32"), m: fresh(params), root: fresh(params) }),
    update: (gradients, state) => {
      const count = state.count.add(1);
      const c1 = correction(beta1, count);
      const root2 = correction(beta2, count).sqrt();
      const step = (g: Tensor, { m, root }: { readonly m: Tensor; readonly root: Tensor }) => {
        const first = average(m, g, beta1);
        const second = average(root.square(), g.square(), beta2).sqrt();
        return { result: first.div(c1).div(second.div(root2).add(epsilon)), companions: { m: first, root: second } };
      };
      const m: { [path: string]: Tensor | Quantized } = {};
      const root: { [path: string]: Tensor | Quantized } = {};
      const updates = mapTensors(gradients, (g, path) => {
        const [oldM, oldRoot] = [state.m[path]!, state.root[path]!];
        const next =
          "codes" in oldM && "codes" in oldRoot
            ? overChunks(g, { m: { quantized: oldM, signed: true }, root: { quantized: oldRoot, signed: false } }, step)
            : step(g, { m: oldM as Tensor, root: oldRoot as Tensor });
        [m[path], root[path]] = [next.companions.m, next.companions.root];
        return next.result;
      });
      return { updates, state: { count, m, root } };
    },
  };
}

/**
 * AdamW whose moments take two bytes a parameter and 1/32 more for scales, instead of eight; see `scaleByAdam8bit`. η = 0.001,
 * decoupled weight decay 0.004 unless said.
 *
 * @example
 * adamw8bit({ learningRate: 6e-4, beta2: 0.95, weightDecay: 0.1, decayMatricesOnly: true });
 */
export function adamw8bit(options: CommonOptions & ScaleByAdam8bitOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, minSize = 4096 } = options;
  return makeOptimizer({
    name: "adamw8bit",
    common: options,
    defaultRate: 0.001,
    defaultDecay: 0.004,
    options: { beta1, beta2, epsilon, minSize },
    parts: ({ decay, descend }) => [scaleByAdam8bit({ beta1, beta2, epsilon, minSize }), decay, descend],
  });
}
