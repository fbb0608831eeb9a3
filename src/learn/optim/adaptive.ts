// Adaptive scaling: Adam and its family, RMSprop, Adagrad, Lion. Each turns a gradient into a direction of about unit size.
import { checkRange } from "../../engine/core/index.ts";
import { asTensor, expm1, full, rsqrt, sign, zeros, zerosLike, type Tensor } from "../../engine/tensor/index.ts";
import { mapTensors, mapTensorsTo, type GradientTransformation, type TensorMap } from "./transformation.ts";

/** Whose formula is meant where Keras and PyTorch differ under one name. */
export type Convention = "keras" | "torch";

/** First and second moments and the number of updates done. */
export type MomentState = { readonly count: Tensor; readonly m: TensorMap; readonly v: TensorMap };

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly convention?: Convention;
}

/**
 * Adam's direction: `m′ = β₁ m + (1 − β₁) g`, `v′ = β₂ v + (1 − β₂) g²`, with c = 1 − βᵗ.
 * PyTorch: `(m′/c₁) / (√(v′/c₂) + ε)`. Keras: `(√c₂/c₁) m′ / (√v′ + ε)`, whose ε is larger by 1/√c₂.
 * Source: Kingma & Ba (2014).
 */
export function scaleByAdam(options: AdamOptions = {}): GradientTransformation<MomentState> {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, convention = "keras" } = options;
  checkMoments("scaleByAdam", { beta1, beta2, epsilon });
  return {
    init: (params) => ({
      count: zeros([], "int32"),
      m: mapTensors(params, zerosLike),
      v: mapTensors(params, zerosLike),
    }),
    update: (gradients, state) => {
      const count = state.count.add(1);
      const c1 = correction(beta1, count);
      const root2 = correction(beta2, count).sqrt();
      const { updates, m, v } = mapTensorsTo(gradients, ["updates", "m", "v"], (g, path) => {
        const first = average(state.m[path]!, g, beta1);
        const second = average(state.v[path]!, g.square(), beta2);
        const direction =
          convention === "torch"
            ? first.div(c1).div(second.sqrt().div(root2).add(epsilon))
            : first.mul(root2.div(c1)).div(second.sqrt().add(epsilon));
        return { updates: direction, m: first, v: second };
      });
      return { updates, state: { count, m, v } };
    },
  };
}

/** Adam with the largest gradient instead of the root mean square: `u′ = max(β₂ u, |g|)`, direction `m′/c₁ / (u′ + ε)`. Source: Kingma & Ba (2014), section 7. */
export function scaleByAdamax(options: Omit<AdamOptions, "convention"> = {}): GradientTransformation<MomentState> {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 } = options;
  checkMoments("scaleByAdamax", { beta1, beta2, epsilon });
  return {
    init: (params) => ({
      count: zeros([], "int32"),
      m: mapTensors(params, zerosLike),
      v: mapTensors(params, zerosLike),
    }),
    update: (gradients, state) => {
      const count = state.count.add(1);
      const c1 = correction(beta1, count);
      const { updates, m, v } = mapTensorsTo(gradients, ["updates", "m", "v"], (g, path) => {
        const first = average(state.m[path]!, g, beta1);
        const largest = state.v[path]!.mul(beta2).maximum(g.abs());
        return { updates: first.div(c1).div(largest.add(epsilon)), m: first, v: largest };
      });
      return { updates, state: { count, m, v } };
    },
  };
}

/** As `MomentState`, with the product of all μ so far. */
export type NadamState = MomentState & { readonly product: Tensor };

/**
 * Adam with Nesterov's look-ahead and Keras's schedule `μₜ = β₁ (1 − 0.5 · 0.96ᵗ)`:
 * `m̂ = μₜ₊₁ m′ / (1 − Πμ₁…ₜ₊₁) + (1 − μₜ) g / (1 − Πμ₁…ₜ)`, direction `m̂ / (√(v′/c₂) + ε)`. Source: Dozat (2016).
 */
export function scaleByNadam(options: Omit<AdamOptions, "convention"> = {}): GradientTransformation<NadamState> {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 } = options;
  checkMoments("scaleByNadam", { beta1, beta2, epsilon });
  const mu = (t: Tensor): Tensor => asTensor(1).sub(asTensor(0.96).pow(t).mul(0.5)).mul(beta1);
  return {
    init: (params) => ({
      count: zeros([], "int32"),
      product: full([], 1),
      m: mapTensors(params, zerosLike),
      v: mapTensors(params, zerosLike),
    }),
    update: (gradients, state) => {
      const count = state.count.add(1);
      const t = count.cast("float32");
      const [now, next] = [mu(t), mu(t.add(1))];
      const product = state.product.mul(now);
      const ofMomentum = next.div(asTensor(1).sub(product.mul(next)));
      const ofGradient = asTensor(1).sub(now).div(asTensor(1).sub(product));
      const root2 = correction(beta2, count).sqrt();
      const { updates, m, v } = mapTensorsTo(gradients, ["updates", "m", "v"], (g, path) => {
        const first = average(state.m[path]!, g, beta1);
        const second = average(state.v[path]!, g.square(), beta2);
        const ahead = first.mul(ofMomentum).add(g.mul(ofGradient));
        return { updates: ahead.div(second.sqrt().div(root2).add(epsilon)), m: first, v: second };
      });
      return { updates, state: { count, product, m, v } };
    },
  };
}

/** Mean squares, and mean gradients where centered. */
export type RmsState = { readonly v: TensorMap; readonly mean: TensorMap };

export interface RmsOptions {
  readonly rho?: number;
  readonly epsilon?: number;
  /** Takes the mean gradient off: the variance instead of the mean square. */
  readonly centered?: boolean;
  readonly convention?: Convention;
}

/**
 * RMSprop's direction: `v′ = ρ v + (1 − ρ) g²`. Keras: `g / √(v′ + ε)`; PyTorch: `g / (√v′ + ε)`.
 * Source: Tieleman & Hinton (2012).
 */
export function scaleByRms(options: RmsOptions = {}): GradientTransformation<RmsState> {
  const { rho = 0.9, epsilon = 1e-7, centered = false, convention = "keras" } = options;
  checkMoments("scaleByRms", { rho, epsilon });
  return {
    init: (params) => ({ v: mapTensors(params, zerosLike), mean: centered ? mapTensors(params, zerosLike) : {} }),
    update: (gradients, state) => {
      const { updates, v, mean } = mapTensorsTo(gradients, ["updates", "v", "mean"], (g, path) => {
        const square = average(state.v[path]!, g.square(), rho);
        const center = centered ? average(state.mean[path]!, g, rho) : g;
        const spread = centered ? square.sub(center.square()) : square;
        const direction = divideByRoot(g, spread, { epsilon, convention });
        return { updates: direction, v: square, mean: center };
      });
      return { updates, state: { v, mean: centered ? mean : {} } };
    },
  };
}

/** Sums of squares since the beginning. */
export type SumState = { readonly sum: TensorMap };

/**
 * Adagrad's direction: `s′ = s + g²`. Keras: `g / √(s′ + ε)`, s from 0.1; PyTorch: `g / (√s′ + ε)`, s from 0.
 * Source: Duchi, Hazan, Singer (2011).
 */
export function scaleByAdagrad(
  options: { readonly initialAccumulator?: number; readonly epsilon?: number; readonly convention?: Convention } = {},
): GradientTransformation<SumState> {
  const { convention = "keras" } = options;
  const { initialAccumulator = convention === "keras" ? 0.1 : 0, epsilon = convention === "keras" ? 1e-7 : 1e-10 } =
    options;
  checkMoments("scaleByAdagrad", { epsilon });
  checkRange("scaleByAdagrad", "initialAccumulator", initialAccumulator, 0);
  return {
    init: (params) => ({ sum: mapTensors(params, (p) => full(p.shape, initialAccumulator)) }),
    update: (gradients, state) => {
      const { updates, sum } = mapTensorsTo(gradients, ["updates", "sum"], (g, path) => {
        const total = state.sum[path]!.add(g.square());
        return { updates: divideByRoot(g, total, { epsilon, convention }), sum: total };
      });
      return { updates, state: { sum } };
    },
  };
}

/** Lion's direction: `sign(β₁ m + (1 − β₁) g)`, then `m′ = β₂ m + (1 − β₂) g`. Source: Chen et al. (2023). */
export function scaleByLion(
  options: { readonly beta1?: number; readonly beta2?: number } = {},
): GradientTransformation<{ readonly m: TensorMap }> {
  const { beta1 = 0.9, beta2 = 0.99 } = options;
  checkMoments("scaleByLion", { beta1, beta2 });
  return {
    init: (params) => ({ m: mapTensors(params, zerosLike) }),
    update: (gradients, state) => {
      const { updates, m } = mapTensorsTo(gradients, ["updates", "m"], (g, path) => ({
        updates: sign(average(state.m[path]!, g, beta1)),
        m: average(state.m[path]!, g, beta2),
      }));
      return { updates, state: { m } };
    },
  };
}

/** `d · old + (1 − d) · value`. */
export function average(old: Tensor, value: Tensor, decay: number): Tensor {
  return old.mul(decay).add(value.mul(1 - decay));
}

/** `1 − βᵗ`, written with expm1: in float32, 1 − 0.999¹ would keep four digits only. */
export function correction(beta: number, count: Tensor): Tensor {
  if (beta === 0) return asTensor(1);
  return expm1(count.cast("float32").mul(Math.log(beta))).neg();
}

function divideByRoot(
  g: Tensor,
  square: Tensor,
  { epsilon, convention }: { readonly epsilon: number; readonly convention: Convention },
): Tensor {
  return convention === "torch" ? g.div(square.sqrt().add(epsilon)) : g.mul(rsqrt(square.add(epsilon)));
}

/** Refuses decays outside [0, 1] and a negative ε. */
export function checkMoments(where: string, options: { readonly [name: string]: number }): void {
  for (const [name, value] of Object.entries(options)) {
    checkRange(where, name, value, 0, name === "epsilon" ? Infinity : 1);
  }
}
