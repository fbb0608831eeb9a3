// Learning-rate schedules: constant, piecewise, steps, exponential, cosine, linear, warm-up, warm-up–stable–decay.
import { ArgumentError, checkRange, isPlainObject } from "../../engine/core/index.ts";
import { makeSchedule, type Schedule, type ScheduleConfig } from "./schedule.ts";

/** The same number at every step. */
export function constant(value: number): Schedule {
  checkRate("constant", "value", value);
  return makeSchedule({ schedule: "constant", value }, (_, m) => m.number(value));
}

/**
 * `values[i]` up to and including step `boundaries[i]`, the last value afterwards; Keras's `PiecewiseConstantDecay`.
 *
 * @example
 * piecewise({ boundaries: [100, 200], values: [0.1, 0.01, 0.001] }).at(150); // 0.01
 */
export function piecewise(options: {
  readonly boundaries: readonly number[];
  readonly values: readonly number[];
}): Schedule {
  const { boundaries, values } = options;
  if (values.length !== boundaries.length + 1) {
    throw new ArgumentError(
      "piecewise",
      `needs one value more than boundaries: received ${values.length} and ${boundaries.length}`,
    );
  }
  if (boundaries.some((b, i) => !(b >= 0) || (i > 0 && b <= boundaries[i - 1]!))) {
    throw new ArgumentError("piecewise", `\`boundaries\` must rise: received ${boundaries.join(", ")}`);
  }
  values.forEach((value) => checkRate("piecewise", "values", value));
  return makeSchedule({ schedule: "piecewise", boundaries, values }, (step, m) =>
    boundaries.reduceRight(
      (later, boundary, i) => m.upTo(step, boundary, { yes: m.number(values[i]!), no: later }),
      m.number(values.at(-1)!),
    ),
  );
}

/** `initial · factor^⌊step / every⌋`: a step down after every so many steps. */
export function stepDecay(options: {
  readonly initial: number;
  readonly factor: number;
  readonly every: number;
}): Schedule {
  const { initial, factor, every } = options;
  checkRate("stepDecay", "initial", initial);
  checkRange("stepDecay", "factor", factor, 0);
  checkSteps("stepDecay", "every", every);
  return makeSchedule({ schedule: "stepDecay", initial, factor, every }, (step, m) =>
    m.mul(m.power(factor, m.floor(m.div(step, every))), initial),
  );
}

/** `initial · rate^(step / decaySteps)`, the exponent rounded down if `staircase`; Keras's `ExponentialDecay`. */
export function exponentialDecay(options: {
  readonly initial: number;
  readonly decaySteps: number;
  readonly rate: number;
  readonly staircase?: boolean;
}): Schedule {
  const { initial, decaySteps, rate, staircase = false } = options;
  checkRate("exponentialDecay", "initial", initial);
  checkRange("exponentialDecay", "rate", rate, 0);
  checkSteps("exponentialDecay", "decaySteps", decaySteps);
  return makeSchedule({ schedule: "exponentialDecay", initial, decaySteps, rate, staircase }, (step, m) => {
    const turns = m.div(step, decaySteps);
    return m.mul(m.power(rate, staircase ? m.floor(turns) : turns), initial);
  });
}

/**
 * Half a cosine from `initial` to `alpha · initial`: `initial · ((1 − α)(1 + cos(π t / T)) / 2 + α)`; Keras's `CosineDecay`.
 * Source: Loshchilov & Hutter (2016).
 */
export function cosineDecay(options: {
  readonly initial: number;
  readonly decaySteps: number;
  readonly alpha?: number;
}): Schedule {
  const { initial, decaySteps, alpha = 0 } = options;
  checkRate("cosineDecay", "initial", initial);
  checkRange("cosineDecay", "alpha", alpha, 0);
  checkSteps("cosineDecay", "decaySteps", decaySteps);
  return makeSchedule({ schedule: "cosineDecay", initial, decaySteps, alpha }, (step, m) => {
    const wave = m.add(m.cos(m.mul(m.div(m.min(step, decaySteps), decaySteps), Math.PI)), 1);
    return m.mul(m.add(m.mul(wave, (1 - alpha) / 2), alpha), initial);
  });
}

/** A straight line from `initial` to `end` in `decaySteps`, `end` afterwards. */
export function linearDecay(options: {
  readonly initial: number;
  readonly decaySteps: number;
  readonly end?: number;
}): Schedule {
  const { initial, decaySteps, end = 0 } = options;
  checkRate("linearDecay", "initial", initial);
  checkRate("linearDecay", "end", end);
  checkSteps("linearDecay", "decaySteps", decaySteps);
  return makeSchedule({ schedule: "linearDecay", initial, decaySteps, end }, (step, m) =>
    m.add(m.mul(m.div(m.min(step, decaySteps), decaySteps), end - initial), initial),
  );
}

/**
 * A straight line from `from` to the schedule's first value in `steps`, then the schedule from its beginning.
 *
 * @example
 * warmup(cosineDecay({ initial: 1e-3, decaySteps: 900 }), { steps: 100 }).at(50); // 5e-4
 */
export function warmup(schedule: Schedule, options: { readonly steps: number; readonly from?: number }): Schedule {
  const { steps, from = 0 } = options;
  checkSteps("warmup", "steps", steps);
  checkRate("warmup", "from", from);
  const target = schedule.at(0);
  return makeSchedule({ schedule: "warmup", then: schedule.config, steps, from }, (step, m) => {
    const rising = m.add(m.mul(m.div(step, steps), target - from), from);
    const then = schedule.formula(m.max(m.add(step, -steps), 0), m);
    return m.upTo(step, steps, { yes: rising, no: then });
  });
}

/**
 * Warm-up, a long plateau, a short decay (WSD): the plateau can be prolonged without planning the end.
 * The decay is linear, a half cosine, or `1 − √t`. Source: Hu et al., MiniCPM (2024); Hägele et al. (2024).
 */
export function warmupStableDecay(options: {
  readonly peak: number;
  readonly warmupSteps: number;
  readonly stableSteps: number;
  readonly decaySteps: number;
  readonly end?: number;
  readonly shape?: "linear" | "cosine" | "sqrt";
}): Schedule {
  const { peak, warmupSteps, stableSteps, decaySteps, end = 0, shape = "linear" } = options;
  const where = "warmupStableDecay";
  checkRate(where, "peak", peak);
  checkRate(where, "end", end);
  checkSteps(where, "warmupSteps", warmupSteps);
  checkRange(where, "stableSteps", stableSteps, 0);
  checkSteps(where, "decaySteps", decaySteps);
  if (!["linear", "cosine", "sqrt"].includes(shape)) {
    throw new ArgumentError(where, `\`shape\` is "linear", "cosine" or "sqrt": received ${JSON.stringify(shape)}`);
  }
  const config = { schedule: where, peak, warmupSteps, stableSteps, decaySteps, end, shape };
  return makeSchedule(config, (step, m) => {
    const rising = m.mul(m.div(step, warmupSteps), peak);
    // 0 until the plateau is over, 1 at the end.
    const t = m.div(m.min(m.max(m.add(step, -(warmupSteps + stableSteps)), 0), decaySteps), decaySteps);
    const done =
      shape === "linear" ? t : shape === "sqrt" ? m.sqrt(t) : m.mul(m.add(m.cos(m.mul(t, Math.PI)), -1), -0.5);
    return m.upTo(step, warmupSteps, { yes: rising, no: m.add(m.mul(done, end - peak), peak) });
  });
}

// The closed list of what a file may name.
const byName: { readonly [name: string]: (config: never) => Schedule } = {
  constant: ({ value }: { value: number }) => constant(value),
  piecewise,
  stepDecay,
  exponentialDecay,
  cosineDecay,
  linearDecay,
  warmup: (config: { then: ScheduleConfig; steps: number; from: number }) => warmup(scheduleFrom(config.then), config),
  warmupStableDecay,
};

/** The schedule of a config, as `schedule.config` holds it; ArgumentError for a name that does not exist. */
export function scheduleFrom(config: unknown): Schedule {
  const name = isPlainObject(config) ? config["schedule"] : undefined;
  if (typeof name !== "string" || !Object.hasOwn(byName, name)) {
    throw new ArgumentError("schedule", `there is no schedule ${JSON.stringify(name)}`, {
      hint: `there are: ${Object.keys(byName).join(", ")}`,
    });
  }
  return byName[name]!(config as never);
}

function checkRate(where: string, name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) {
    throw new ArgumentError(where, `\`${name}\` must be a finite number ≥ 0: received ${value}`);
  }
}

function checkSteps(where: string, name: string, value: number): void {
  if (!(value > 0) || value === Infinity)
    throw new ArgumentError(where, `\`${name}\` must be above 0: received ${value}`);
}
