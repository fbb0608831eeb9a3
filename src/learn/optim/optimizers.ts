// The optimizers by name, with Keras's defaults: sgd, adam, adamw, rmsprop, adagrad, lion, adamax, nadam; muon and adamw8bit by name.
import { ArgumentError, checkRange, isPlainObject } from "../../engine/core/index.ts";
import { scaleByAdagrad, scaleByAdam, scaleByAdamax, scaleByLion, scaleByNadam, scaleByRms } from "./adaptive.ts";
import { makeOptimizer, type CommonOptions, type ConventionOption, type Optimizer } from "./optimizer.ts";
import { adamw8bit } from "./adam-8bit.ts";
import { muon } from "./muon.ts";
import { trace } from "./scale.ts";
import { scheduleFrom } from "./schedules.ts";

export interface SgdOptions extends CommonOptions, ConventionOption {
  /** Default 0. */
  readonly momentum?: number;
  readonly nesterov?: boolean;
}

/**
 * Gradient descent: `p ← p − η g`; η = 0.01 unless said.
 * With momentum μ the velocity holds steps in Keras's convention, `v ← μ v − η g`, and gradients in PyTorch's,
 * `v ← μ v + g`, `p ← p − η v`: the same while η stays the same.
 *
 * @example
 * model.compile({ optimizer: sgd({ learningRate: 0.1, momentum: 0.9 }), loss: "mse" });
 */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { momentum = 0, nesterov = false, convention = "keras" } = options;
  checkRange("sgd", "momentum", momentum, 0, 1);
  if (nesterov && momentum === 0) throw new ArgumentError("sgd", "`nesterov` needs momentum");
  const heavy = momentum === 0 ? [] : [trace(momentum, { nesterov })];
  return makeOptimizer({
    name: "sgd",
    common: options,
    defaultRate: 0.01,
    options: { momentum, nesterov, convention },
    parts: ({ decay, descend }) => (convention === "keras" ? [decay, descend, ...heavy] : [decay, ...heavy, descend]),
  });
}

export interface AdamFamilyOptions extends CommonOptions {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-7. */
  readonly epsilon?: number;
}

/** Adam (Kingma & Ba 2014), η = 0.001; see `scaleByAdam` for the formula. */
export function adam(options: AdamFamilyOptions & ConventionOption = {}): Optimizer {
  return adamLike("adam", options, 0);
}

/** Adam with decoupled weight decay, 0.004 unless said: `p ← p − η (direction + λ p)` (Loshchilov & Hutter 2017). */
export function adamw(options: AdamFamilyOptions & ConventionOption = {}): Optimizer {
  return adamLike("adamw", options, 0.004);
}

function adamLike(name: string, options: AdamFamilyOptions & ConventionOption, defaultDecay: number): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, convention = "keras" } = options;
  return makeOptimizer({
    name,
    common: options,
    defaultRate: 0.001,
    defaultDecay,
    options: { beta1, beta2, epsilon, convention },
    parts: ({ decay, descend }) => [scaleByAdam({ beta1, beta2, epsilon, convention }), decay, descend],
  });
}

/** Adam by the largest gradient (Kingma & Ba 2014, section 7), η = 0.001. */
export function adamax(options: AdamFamilyOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 } = options;
  return makeOptimizer({
    name: "adamax",
    common: options,
    defaultRate: 0.001,
    options: { beta1, beta2, epsilon },
    parts: ({ decay, descend }) => [scaleByAdamax({ beta1, beta2, epsilon }), decay, descend],
  });
}

/** Adam with Nesterov's look-ahead (Dozat 2016), η = 0.001. */
export function nadam(options: AdamFamilyOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7 } = options;
  return makeOptimizer({
    name: "nadam",
    common: options,
    defaultRate: 0.001,
    options: { beta1, beta2, epsilon },
    parts: ({ decay, descend }) => [scaleByNadam({ beta1, beta2, epsilon }), decay, descend],
  });
}

export interface RmspropOptions extends CommonOptions, ConventionOption {
  /** Default 0.9. */
  readonly rho?: number;
  /** Default 0. */
  readonly momentum?: number;
  /** Default 1e-7. */
  readonly epsilon?: number;
  readonly centered?: boolean;
}

/** RMSprop (Tieleman & Hinton 2012), η = 0.001; see `scaleByRms` for the formula. */
export function rmsprop(options: RmspropOptions = {}): Optimizer {
  const { rho = 0.9, momentum = 0, epsilon = 1e-7, centered = false, convention = "keras" } = options;
  checkRange("rmsprop", "momentum", momentum, 0, 1);
  const heavy = momentum === 0 ? [] : [trace(momentum)];
  return makeOptimizer({
    name: "rmsprop",
    common: options,
    defaultRate: 0.001,
    options: { rho, momentum, epsilon, centered, convention },
    parts: ({ decay, descend }) => {
      const direction = scaleByRms({ rho, epsilon, centered, convention });
      return convention === "keras" ? [direction, decay, descend, ...heavy] : [direction, decay, ...heavy, descend];
    },
  });
}

export interface AdagradOptions extends CommonOptions, ConventionOption {
  /** What the sums of squares start from: 0.1, or 0 in PyTorch's convention. */
  readonly initialAccumulator?: number;
  /** 1e-7, or 1e-10 in PyTorch's convention. */
  readonly epsilon?: number;
}

/** Adagrad (Duchi, Hazan, Singer 2011), η = 0.001; see `scaleByAdagrad` for the formula. */
export function adagrad(options: AdagradOptions = {}): Optimizer {
  const { convention = "keras" } = options;
  const { initialAccumulator = convention === "keras" ? 0.1 : 0, epsilon = convention === "keras" ? 1e-7 : 1e-10 } =
    options;
  return makeOptimizer({
    name: "adagrad",
    common: options,
    defaultRate: 0.001,
    options: { initialAccumulator, epsilon, convention },
    parts: ({ decay, descend }) => [scaleByAdagrad({ initialAccumulator, epsilon, convention }), decay, descend],
  });
}

/** Lion: steps of equal size by the sign of a momentum (Chen et al. 2023), η = 0.001, β = 0.9 and 0.99. */
export function lion(options: CommonOptions & { readonly beta1?: number; readonly beta2?: number } = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.99 } = options;
  return makeOptimizer({
    name: "lion",
    common: options,
    defaultRate: 0.001,
    options: { beta1, beta2 },
    parts: ({ decay, descend }) => [scaleByLion({ beta1, beta2 }), decay, descend],
  });
}

/** Every optimizer by its Keras name; the closed list of what a file may name. */
export const optimizers: { readonly [name: string]: (options: CommonOptions) => Optimizer } = {
  sgd,
  adam,
  adamw,
  adamw8bit,
  adamax,
  nadam,
  rmsprop,
  adagrad,
  lion,
  muon,
};

/** An optimizer from itself, its name ("sgd", "adam", …), or a config as `optimizer.config` holds it. */
export function resolveOptimizer(what: Optimizer | string | { readonly name: string }): Optimizer {
  if (typeof what === "object" && "transformation" in what) return what;
  const { name, learningRate, ...options } =
    typeof what === "string" ? { name: what } : (what as { name: string; learningRate?: unknown });
  const factory = Object.hasOwn(optimizers, name.toLowerCase()) ? optimizers[name.toLowerCase()] : undefined;
  if (factory === undefined) {
    throw new ArgumentError("optimizer", `there is no optimizer ${JSON.stringify(name)}`, {
      hint: `there are: ${Object.keys(optimizers).join(", ")}`,
    });
  }
  const rate = isPlainObject(learningRate) ? scheduleFrom(learningRate) : (learningRate as number | undefined);
  const made = factory(rate === undefined ? options : { ...options, learningRate: rate });
  // An option that the optimizer does not repeat in its config, it did not read.
  const unread = Object.keys(options).find((option) => !Object.hasOwn(made.config, option));
  if (unread === undefined) return made;
  throw new ArgumentError(made.name, `has no option \`${unread}\``, {
    hint: `its options are ${Object.keys(made.config)
      .filter((option) => option !== "name")
      .join(", ")}`,
  });
}
