// The small building blocks: scaling, schedules, weight decay, momentum.
import { checkRange, type Path } from "../../engine/core/index.ts";
import { asTensor, zeros, zerosLike, type Tensor } from "../../engine/tensor/index.ts";
import type { Schedule } from "./schedule.ts";
import { mapTensors, mapTensorsTo, stateless, type GradientTransformation, type TensorMap } from "./transformation.ts";

/** Every update times a factor: a number, or a scalar Tensor of the open trace. */
export function scale(factor: number | Tensor): GradientTransformation {
  return stateless((gradient) => gradient.mul(factor));
}

/** Every update times a schedule of the number of updates before it. */
export function scaleBySchedule(schedule: Schedule): GradientTransformation<{ readonly count: Tensor }> {
  return {
    init: () => ({ count: zeros([], "int32") }),
    update: (gradients, { count }) => {
      const factor = schedule.of(count);
      return {
        updates: mapTensors(gradients, (gradient) => gradient.mul(factor)),
        state: { count: count.add(asTensor(1, "int32")) },
      };
    },
  };
}

/**
 * Decoupled weight decay: adds `rate · p` to the update before the learning rate, so that p shrinks by η · rate. The rate is
 * one for all, or a function of path and parameter. Source: Loshchilov & Hutter (2017).
 */
export function addDecayedWeights(rate: number | ((path: Path, param: Tensor) => number)): GradientTransformation {
  if (typeof rate === "number") checkRange("addDecayedWeights", "rate", rate, 0);
  return stateless((gradient, param, path) => {
    const own = typeof rate === "number" ? rate : rate(path, param);
    return own === 0 ? gradient : gradient.add(param.mul(own));
  });
}

/** Momentum's memory: one velocity for each parameter. */
export type TraceState = { readonly velocity: TensorMap };

/**
 * Momentum: `v′ = μ v + g`, and the update is v′, or with Nesterov's look-ahead `g + μ v′`.
 * Sources: Polyak (1964), Nesterov (1983), Sutskever et al. (2013).
 */
export function trace(
  momentum: number,
  { nesterov = false }: { readonly nesterov?: boolean } = {},
): GradientTransformation<TraceState> {
  checkRange("trace", "momentum", momentum, 0, 1);
  return {
    init: (params) => ({ velocity: mapTensors(params, zerosLike) }),
    update: (gradients, state) => {
      const { updates, velocity } = mapTensorsTo(gradients, ["updates", "velocity"], (gradient, path) => {
        const next = state.velocity[path]!.mul(momentum).add(gradient);
        return { velocity: next, updates: nesterov ? gradient.add(next.mul(momentum)) : next };
      });
      return { updates, state: { velocity } };
    },
  };
}
