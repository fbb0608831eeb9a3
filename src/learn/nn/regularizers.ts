// Penalties on parameters, added to the loss.
import { ArgumentError } from "../../engine/core/index.ts";
import { named, resolveNamed, type NamedEntry, type Spec } from "./named.ts";
import type { Regularizer } from "./parameter.ts";

/** A regularizer by name (`"l2"`), by name with options, or as a function of the parameter's value. */
export type RegularizerLike = Spec | Regularizer;

function factor(name: string, value: number): number {
  if (typeof value !== "number" || !(value >= 0 && value < Infinity))
    throw new ArgumentError(name, `the factor must be ≥ 0: received ${String(value)}`);
  return value;
}

/** `l1 · Σ |w|`: drives weights to 0 (Tibshirani 1996). */
export function l1(options: number | { readonly l1?: number } = {}): Regularizer {
  const by = factor("l1", typeof options === "number" ? options : (options.l1 ?? 0.01));
  return named("l1", { l1: by }, (w) => w.abs().sum().mul(by));
}

/**
 * `l2 · Σ w²`: keeps weights small (Krogh & Hertz 1992). Its gradient is 2 · l2 · w.
 *
 * @example
 * l2(0.1)(tensor([1, 2])).item(); // 0.5
 */
export function l2(options: number | { readonly l2?: number } = {}): Regularizer {
  const by = factor("l2", typeof options === "number" ? options : (options.l2 ?? 0.01));
  return named("l2", { l2: by }, (w) => w.square().sum().mul(by));
}

/** `l1 · Σ |w| + l2 · Σ w²` (Zou & Hastie 2005). */
export function l1L2({ l1: one = 0, l2: two = 0 }: { readonly l1?: number; readonly l2?: number } = {}): Regularizer {
  factor("l1", one);
  factor("l2", two);
  return named("l1_l2", { l1: one, l2: two }, (w) => w.abs().sum().mul(one).add(w.square().sum().mul(two)));
}

const table: { readonly [name: string]: NamedEntry<Regularizer> } = {
  l1: { make: l1, options: ["l1"] },
  l2: { make: l2, options: ["l2"] },
  l1_l2: { make: l1L2, options: ["l1", "l2"] },
};

/** The regularizer of this name, the function itself, or none. */
export function resolveRegularizer(regularizer: RegularizerLike | null | undefined): Regularizer | undefined {
  if (regularizer === undefined || regularizer === null) return undefined;
  return typeof regularizer === "function" ? regularizer : resolveNamed("regularizer", table, regularizer);
}
