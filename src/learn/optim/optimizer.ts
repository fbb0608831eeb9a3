// Optimizer: a gradient transformation with a name, a config and a learning rate that lives in its state.
import { ArgumentError, checkRange } from "../../engine/core/index.ts";
import { full, zeros, type Tensor } from "../../engine/tensor/index.ts";
import type { Convention } from "./adaptive.ts";
import { clipByGlobalNorm, clipByNorm, clipByValue } from "./clip.ts";
import { groupConfigs, parameterRules, scaleByRule, type ParameterGroup, type ParameterGroupConfig } from "./groups.ts";
import { addDecayedWeights } from "./scale.ts";
import type { Schedule, ScheduleConfig } from "./schedule.ts";
import { chain, type GradientTransformation, type OptState } from "./transformation.ts";

/**
 * State of an optimizer. `learningRate` may be replaced between steps without a new compilation: it is multiplied by
 * the schedule of `count`, where there is one.
 */
export type OptimizerState = {
  /** Updates done: int32. */
  readonly count: Tensor;
  /** float32; 1 where a schedule says the rate. */
  readonly learningRate: Tensor;
  readonly inner: OptState;
};

/** Plain JSON: the name and the options. */
export interface OptimizerConfig {
  readonly name: string;
  readonly [option: string]:
    number | boolean | string | readonly string[] | readonly ParameterGroupConfig[] | ScheduleConfig;
}

/** What `compile` and `makeStep` take. */
export interface Optimizer {
  readonly name: string;
  readonly config: OptimizerConfig;
  /** A number, or a schedule of the number of updates. */
  readonly learningRate: number | Schedule;
  readonly transformation: GradientTransformation<OptimizerState>;
  /** The rate of the next update on the host, from what the state holds. */
  learningRateAt(count: number, learningRate: number): number;
}

/** Options every optimizer takes. */
export interface CommonOptions {
  readonly learningRate?: number | Schedule;
  /** Decoupled weight decay: each step also takes η · weightDecay · p off. Default 0; AdamW: 0.004. */
  readonly weightDecay?: number;
  /** Last names of parameters that are not decayed: `["bias", "gamma", "beta"]`, say. */
  readonly noDecay?: readonly string[];
  /** Parameters of one axis or none (biases, gains of norms) are not decayed: the custom for language models. Default false. */
  readonly decayMatricesOnly?: boolean;
  /** Other decay and another learning rate for some parameters; see `ParameterGroup`. */
  readonly groups?: readonly ParameterGroup[];
  /** Gradients are clipped element by element, each to a norm, or all together to a norm: at most one of the three. */
  readonly clipValue?: number;
  readonly clipNorm?: number;
  readonly globalClipNorm?: number;
}

/** Options of optimizers for which Keras and PyTorch have two formulas. */
export interface ConventionOption {
  /** Default "keras"; see the README of the fixtures for the differences. */
  readonly convention?: Convention;
}

/** What an optimizer's own file says. */
export interface OptimizerSpec {
  readonly name: string;
  readonly common: CommonOptions;
  readonly defaultRate: number;
  readonly defaultDecay?: number;
  readonly options: { readonly [option: string]: number | boolean | string };
  /** The steps behind clipping; given the rate η, they must end in updates that are added. */
  readonly parts: (rate: {
    readonly decay: GradientTransformation;
    readonly descend: GradientTransformation;
  }) => readonly GradientTransformation[];
}

/** An optimizer from its parts: clipping first, then its own, with decay and −η where it says. */
export function makeOptimizer(spec: OptimizerSpec): Optimizer {
  const { name, common, defaultRate, defaultDecay = 0 } = spec;
  const { learningRate = defaultRate, weightDecay = defaultDecay } = common;
  const { noDecay = [], decayMatricesOnly = false, groups = [] } = common;
  if (typeof learningRate === "number") checkRange(name, "learningRate", learningRate, 0);
  const clipping = clippingOf(name, common);
  const ruleOf = parameterRules(name, { weightDecay, noDecay, decayMatricesOnly, groups });
  const decay = addDecayedWeights((path, param) => ruleOf(path, param).weightDecay);
  const schedule = typeof learningRate === "number" ? undefined : learningRate;
  // The parts close over the rate of this step; their states do not depend on it.
  const partsAt = (rate: Tensor | number): GradientTransformation<readonly OptState[]> =>
    chain(...clipping, ...spec.parts({ decay, descend: scaleByRule(rate, ruleOf) }));
  const { init } = partsAt(0); // options out of range are refused here, not in the first step
  return {
    name,
    config: configOf(spec, { learningRate, weightDecay }),
    learningRate,
    learningRateAt: (count, rate) => rate * (schedule?.at(count) ?? 1),
    transformation: {
      init: (params) => ({
        count: zeros([], "int32"),
        learningRate: full([], typeof learningRate === "number" ? learningRate : 1),
        inner: init(params),
      }),
      update: (gradients, state, params) => {
        const rate = schedule === undefined ? state.learningRate : state.learningRate.mul(schedule.of(state.count));
        const { updates, state: inner } = partsAt(rate.neg()).update(
          gradients,
          state.inner as readonly OptState[],
          params,
        );
        return { updates, state: { count: state.count.add(1), learningRate: state.learningRate, inner } };
      },
    },
  };
}

function clippingOf(where: string, { clipValue, clipNorm, globalClipNorm }: CommonOptions): GradientTransformation[] {
  const chosen = [
    ...(clipValue === undefined ? [] : [clipByValue(clipValue)]),
    ...(clipNorm === undefined ? [] : [clipByNorm(clipNorm)]),
    ...(globalClipNorm === undefined ? [] : [clipByGlobalNorm(globalClipNorm)]),
  ];
  if (chosen.length > 1) {
    throw new ArgumentError(where, "at most one of `clipValue`, `clipNorm` and `globalClipNorm` may be given");
  }
  return chosen;
}

function configOf(
  { name, common, options }: OptimizerSpec,
  { learningRate, weightDecay }: { readonly learningRate: number | Schedule; readonly weightDecay: number },
): OptimizerConfig {
  const { noDecay = [], decayMatricesOnly, groups = [], clipValue, clipNorm, globalClipNorm } = common;
  return {
    name,
    learningRate: typeof learningRate === "number" ? learningRate : learningRate.config,
    ...options,
    weightDecay,
    ...(noDecay.length === 0 ? {} : { noDecay }),
    ...(decayMatricesOnly === undefined ? {} : { decayMatricesOnly }),
    ...(groups.length === 0 ? {} : { groups: groupConfigs(groups) }),
    ...(clipValue === undefined ? {} : { clipValue }),
    ...(clipNorm === undefined ? {} : { clipNorm }),
    ...(globalClipNorm === undefined ? {} : { globalClipNorm }),
  };
}
