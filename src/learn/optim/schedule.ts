// What a schedule is: one formula of the step, read by the host as numbers and by a traced step as Tensors.
import { asTensor, cos, floor, where, type Tensor } from "../../engine/tensor/index.ts";

/** The arithmetic schedules are written in, so that each formula stands once. */
export interface Arithmetic<T> {
  readonly number: (value: number) => T;
  readonly add: (a: T, b: T | number) => T;
  readonly mul: (a: T, b: T | number) => T;
  readonly div: (a: T, b: number) => T;
  readonly min: (a: T, b: number) => T;
  readonly max: (a: T, b: number) => T;
  readonly floor: (a: T) => T;
  readonly cos: (a: T) => T;
  readonly sqrt: (a: T) => T;
  /** `base` to the power of a. */
  readonly power: (base: number, a: T) => T;
  /** `yes` where a ≤ limit, else `no`. */
  readonly upTo: (a: T, limit: number, branches: { readonly yes: T; readonly no: T }) => T;
}

/** A formula of the number of steps done, over any arithmetic. */
export type Formula = <T>(step: T, m: Arithmetic<T>) => T;

/** Numbers and names that describe a schedule: plain JSON. */
export interface ScheduleConfig {
  readonly schedule: string;
  readonly [option: string]: number | boolean | string | readonly number[] | ScheduleConfig;
}

/** A number for each step: the learning rate, usually. Step 0 is the first. */
export interface Schedule {
  readonly config: ScheduleConfig;
  readonly formula: Formula;
  /** Its value at a step, in float64. */
  at(step: number): number;
  /** Its value at a step that is a Tensor (int32 scalar): for traced steps, in float32. */
  of(step: Tensor): Tensor;
}

/** A schedule from its formula. */
export function makeSchedule(config: ScheduleConfig, formula: Formula): Schedule {
  return {
    config,
    formula,
    at: (step) => formula(step, onHost),
    of: (step) => formula(step.cast("float32"), onTensors),
  };
}

const onHost: Arithmetic<number> = {
  number: (value) => value,
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
  floor: Math.floor,
  cos: Math.cos,
  sqrt: Math.sqrt,
  power: (base, a) => base ** a,
  upTo: (a, limit, { yes, no }) => (a <= limit ? yes : no),
};

const onTensors: Arithmetic<Tensor> = {
  number: (value) => asTensor(value, "float32"),
  add: (a, b) => a.add(b),
  mul: (a, b) => a.mul(b),
  div: (a, b) => a.div(b),
  min: (a, b) => a.minimum(b),
  max: (a, b) => a.maximum(b),
  floor: (a) => floor(a),
  cos: (a) => cos(a),
  sqrt: (a) => a.sqrt(),
  power: (base, a) => asTensor(base, "float32").pow(a),
  upTo: (a, limit, { yes, no }) => where(a.lessEqual(limit), yes, no),
};
