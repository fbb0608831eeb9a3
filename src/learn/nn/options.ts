// Checks of layer options: they come from people and from files, so each value is looked at before it is used.
import { ArgumentError, formatType, ShapeError, type Shape, type TensorType } from "../../engine/core/index.ts";
import { nearest } from "./named.ts";

/** A whole number of at least `low`. */
export function whole(where: string, name: string, value: number, low: number = 1): number {
  if (!Number.isSafeInteger(value) || value < low)
    throw new ArgumentError(where, `\`${name}\` must be a whole number ≥ ${low}: received ${String(value)}`);
  return value;
}

/** A finite number in an interval. */
export function real(where: string, name: string, value: number, [low, high]: readonly [number, number]): number {
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw new ArgumentError(where, `\`${name}\` must be in [${low}, ${high}]: received ${String(value)}`);
  }
  return value;
}

/** A share that can be dropped: in [0, 1). */
export function rate(where: string, name: string, value: number): number {
  if (typeof value !== "number" || !(value >= 0 && value < 1))
    throw new ArgumentError(where, `\`${name}\` must be in [0, 1): received ${String(value)}`);
  return value;
}

/** True or false. */
export function flag(where: string, name: string, value: boolean): boolean {
  if (typeof value !== "boolean")
    throw new ArgumentError(where, `\`${name}\` must be true or false: received ${String(value)}`);
  return value;
}

/** One of a few words. */
export function oneOf<T extends string>(where: string, name: string, value: string, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  const near = nearest(String(value), words);
  const problem = `\`${name}\` must be one of ${words.join(", ")}: received ${String(value)}`;
  throw new ArgumentError(where, problem, near === undefined ? {} : { hint: `did you mean "${near}"?` });
}

/** One whole number for both axes, or one for each. */
export function pair(
  where: string,
  name: string,
  value: number | readonly number[],
  low: number = 1,
): readonly [number, number] {
  const [a, b, ...rest] = typeof value === "number" ? [value, value] : Array.isArray(value) ? (value as number[]) : [];
  if (a === undefined || b === undefined || rest.length > 0) {
    throw new ArgumentError(where, `\`${name}\` must be one number or two: received ${JSON.stringify(value)}`);
  }
  return [whole(where, name, a, low), whole(where, name, b, low)];
}

/** Refuses inputs with another number of axes; `axes` says what they mean. */
export function expectAxes(where: string, x: TensorType, axes: string): void {
  const rank = axes.split(",").length;
  if (x.shape.length === rank) return;
  throw new ShapeError(where, `needs input [${axes}]: received ${formatType(x)}`, { hint: rankHint(x.shape, rank) });
}

/** Refuses inputs with fewer axes than this. */
export function expectRank(where: string, x: TensorType, least: number, axes: string): void {
  if (x.shape.length >= least) return;
  throw new ShapeError(where, `needs input [${axes}]: received ${formatType(x)}`, { hint: rankHint(x.shape, least) });
}

function rankHint(shape: Shape, rank: number): string {
  if (shape.length === rank - 1) {
    return "the first axis is the batch: one sample alone needs expandDims(0); pictures without colour need expandDims(-1)";
  }
  return shape.length > rank ? "flatten() or reshape() before this layer" : "reshape() before this layer";
}
