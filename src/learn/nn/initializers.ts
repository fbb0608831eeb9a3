// First values of parameters, as functions of a key and a shape; Keras's names, fans and defaults.
import { ArgumentError, sizeOf, type Shape } from "../../engine/core/index.ts";
import { arange, eye, full, random, scan, zeros as zeroTensor, type Tensor } from "../../engine/tensor/index.ts";
import { named, resolveNamed, type NamedEntry, type Spec } from "./named.ts";
import { oneOf } from "./options.ts";
import type { Initializer } from "./parameter.ts";

/** An initializer by name, by name with options, or as a function. */
export type InitializerLike = Spec | Initializer;

/** How many numbers flow into and out of one unit: the last two axes, times the window of a convolution kernel. */
export function fans(shape: Shape): { readonly fanIn: number; readonly fanOut: number } {
  if (shape.length < 2) return { fanIn: shape[0] ?? 1, fanOut: shape[0] ?? 1 };
  const window = sizeOf(shape.slice(0, -2));
  return { fanIn: shape.at(-2)! * window, fanOut: shape.at(-1)! * window };
}

/** 0 everywhere. */
export function zeros(): Initializer {
  return named("zeros", {}, (_, shape) => full(shape, 0));
}

/** 1 everywhere. */
export function ones(): Initializer {
  return named("ones", {}, (_, shape) => full(shape, 1));
}

/** One number everywhere. */
export function constant({ value = 0 }: { readonly value?: number } = {}): Initializer {
  return named("constant", { value }, (_, shape) => full(shape, value));
}

/** Uniform in [minval, maxval). */
export function randomUniform({
  minval = -0.05,
  maxval = 0.05,
}: { readonly minval?: number; readonly maxval?: number } = {}): Initializer {
  return named("random_uniform", { minval, maxval }, (key, shape) =>
    random.uniform(key, shape, { low: minval, high: maxval }),
  );
}

/** Normal. */
export function randomNormal({
  mean = 0,
  stddev = 0.05,
}: { readonly mean?: number; readonly stddev?: number } = {}): Initializer {
  return named("random_normal", { mean, stddev }, (key, shape) => random.normal(key, shape).mul(stddev).add(mean));
}

/** Normal, with what lies more than two deviations from the mean drawn again. */
export function truncatedNormal({
  mean = 0,
  stddev = 0.05,
}: { readonly mean?: number; readonly stddev?: number } = {}): Initializer {
  return named("truncated_normal", { mean, stddev }, (key, shape) =>
    standardTruncated(key, shape).mul(stddev).add(mean),
  );
}

const ERF_SQRT2 = 0.9544997361036416; // erf(√2): the share of a normal within two deviations
const TRUNCATED_DEVIATION = 0.8796256610342398; // standard deviation of a normal cut off at ±2

// By the inverse of the distribution function: x = √2 erf⁻¹(u), u uniform in ±erf(√2).
function standardTruncated(key: Tensor, shape: Shape): Tensor {
  const u = random.uniform(key, shape, { low: -ERF_SQRT2, high: ERF_SQRT2 });
  return erfInverse(u).mul(Math.SQRT2).clamp(-2, 2);
}

// Giles (2010), the branch for |x| < 0.9966: relative error below 3e-7.
const GILES = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
];
function erfInverse(x: Tensor): Tensor {
  const w = x.square().neg().add(1).log().neg().sub(2.5);
  return GILES.slice(1)
    .reduce((p, c) => p.mul(w).add(c), full(x.shape, GILES[0]!))
    .mul(x);
}

const modes = ["fan_in", "fan_out", "fan_avg"] as const;
const distributions = ["truncated_normal", "untruncated_normal", "uniform"] as const;

/** What `varianceScaling` takes. */
export interface VarianceScalingOptions {
  readonly scale?: number;
  readonly mode?: (typeof modes)[number];
  readonly distribution?: (typeof distributions)[number];
}

/** Mean 0 and variance `scale / fan`, so that signals keep their size from layer to layer. */
export function varianceScaling({
  scale = 1,
  mode = "fan_in",
  distribution = "truncated_normal",
}: VarianceScalingOptions = {}): Initializer {
  return named("variance_scaling", { scale, mode, distribution }, scaled({ scale, mode, distribution }));
}

function scaled({ scale, mode, distribution }: Required<VarianceScalingOptions>): Initializer {
  if (!(scale > 0)) throw new ArgumentError("varianceScaling", `\`scale\` must be > 0: received ${String(scale)}`);
  oneOf("varianceScaling", "mode", mode, modes);
  oneOf("varianceScaling", "distribution", distribution, distributions);
  return (key, shape) => {
    const { fanIn, fanOut } = fans(shape);
    const fan = mode === "fan_in" ? fanIn : mode === "fan_out" ? fanOut : (fanIn + fanOut) / 2;
    const variance = scale / Math.max(1, fan);
    if (distribution === "uniform") {
      const limit = Math.sqrt(3 * variance);
      return random.uniform(key, shape, { low: -limit, high: limit });
    }
    const deviation = Math.sqrt(variance);
    if (distribution === "untruncated_normal") return random.normal(key, shape).mul(deviation);
    return standardTruncated(key, shape).mul(deviation / TRUNCATED_DEVIATION);
  };
}

/** Uniform with variance 2 / (fanIn + fanOut): Keras's default for kernels (Glorot & Bengio 2010). */
export function glorotUniform(): Initializer {
  return named("glorot_uniform", {}, scaled({ scale: 1, mode: "fan_avg", distribution: "uniform" }));
}
/** Truncated normal with variance 2 / (fanIn + fanOut) (Glorot & Bengio 2010). */
export function glorotNormal(): Initializer {
  return named("glorot_normal", {}, scaled({ scale: 1, mode: "fan_avg", distribution: "truncated_normal" }));
}
/** Uniform with variance 2 / fanIn, for ReLU (He et al. 2015). */
export function heUniform(): Initializer {
  return named("he_uniform", {}, scaled({ scale: 2, mode: "fan_in", distribution: "uniform" }));
}
/** Truncated normal with variance 2 / fanIn, for ReLU (He et al. 2015). */
export function heNormal(): Initializer {
  return named("he_normal", {}, scaled({ scale: 2, mode: "fan_in", distribution: "truncated_normal" }));
}
/** Uniform with variance 1 / fanIn (LeCun et al. 1998). */
export function lecunUniform(): Initializer {
  return named("lecun_uniform", {}, scaled({ scale: 1, mode: "fan_in", distribution: "uniform" }));
}
/** Truncated normal with variance 1 / fanIn, for SELU (LeCun et al. 1998). */
export function lecunNormal(): Initializer {
  return named("lecun_normal", {}, scaled({ scale: 1, mode: "fan_in", distribution: "truncated_normal" }));
}

/**
 * Orthonormal rows or columns (the fewer of the two), uniformly among all such matrices (Saxe et al. 2013): a Gaussian
 * matrix made orthogonal column by column. Axes before the last are taken together.
 */
export function orthogonal({ gain = 1 }: { readonly gain?: number } = {}): Initializer {
  return named("orthogonal", { gain }, (key, shape) => {
    if (shape.length < 2)
      throw new ArgumentError("orthogonal", `needs at least two axes: received [${shape.join(",")}]`);
    const columns = shape.at(-1)!;
    const rows = sizeOf(shape.slice(0, -1));
    const few = Math.min(rows, columns);
    const basis = orthonormal(random.normal(key, [few, Math.max(rows, columns)]));
    return (rows < columns ? basis : basis.transpose()).reshape(shape).mul(gain);
  });
}

// Gram–Schmidt, each vector cleaned twice ("twice is enough", Kahan). A positive R makes the result uniform (Mezzadri 2007).
function orthonormal(vectors: Tensor): Tensor {
  const [n] = vectors.shape as [number, number];
  const body = (basis: Tensor, { vector, place }: { vector: Tensor; place: Tensor }): readonly [Tensor, null] => {
    const clean = (v: Tensor): Tensor => v.sub(basis.matmul(v).matmul(basis));
    const rest = clean(clean(vector));
    const unit = rest.div(rest.square().sum().sqrt());
    return [basis.add(place.expandDims(1).mul(unit)), null];
  };
  return scan(body, { init: zeroTensor(vectors.shape), xs: { vector: vectors, place: eye(n) } }).carry;
}

/** 1 on the diagonal of a matrix, else 0. */
export function identity({ gain = 1 }: { readonly gain?: number } = {}): Initializer {
  return named("identity", { gain }, (_, shape) => {
    if (shape.length !== 2) throw new ArgumentError("identity", `needs two axes: received [${shape.join(",")}]`);
    const [rows, columns] = shape as [number, number];
    const diagonal = arange(rows).expandDims(1).equal(arange(columns));
    return diagonal.cast("float32").mul(gain);
  });
}

const entry = (make: (options: never) => Initializer, ...options: readonly string[]): NamedEntry<Initializer> => ({
  make,
  options,
});

const table: { readonly [name: string]: NamedEntry<Initializer> } = {
  zeros: entry(zeros),
  ones: entry(ones),
  constant: entry(constant, "value"),
  random_uniform: entry(randomUniform, "minval", "maxval"),
  uniform: entry(randomUniform, "minval", "maxval"),
  random_normal: entry(randomNormal, "mean", "stddev"),
  normal: entry(randomNormal, "mean", "stddev"),
  truncated_normal: entry(truncatedNormal, "mean", "stddev"),
  variance_scaling: entry(varianceScaling, "scale", "mode", "distribution"),
  glorot_uniform: entry(glorotUniform),
  glorot_normal: entry(glorotNormal),
  he_uniform: entry(heUniform),
  he_normal: entry(heNormal),
  lecun_uniform: entry(lecunUniform),
  lecun_normal: entry(lecunNormal),
  orthogonal: entry(orthogonal, "gain"),
  identity: entry(identity, "gain"),
};

/** The names `resolveInitializer` knows. */
export const initializerNames: readonly string[] = Object.keys(table);

/**
 * The initializer of this name (Keras's names, snake_case or camelCase), or the function itself.
 *
 * @example
 * resolveInitializer("glorotUniform")(random.key(0), [784, 128]).shape; // [784, 128]
 */
export function resolveInitializer(initializer: InitializerLike): Initializer {
  return typeof initializer === "function" ? initializer : resolveNamed("initializer", table, initializer);
}
