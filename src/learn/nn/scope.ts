// The scope of a model call: which values parameters have in it, what states they leave, and who listens.
import type { Tensor } from "../../engine/tensor/index.ts";
import type { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";

export interface Scope {
  /** Values by parameter; those not listed have their own. `undefined` as a whole: shapes are being found, placeholders are used. */
  readonly values: ReadonlyMap<Parameter, Tensor> | undefined;
  /** New states, in the order they were set. */
  readonly states: Map<Parameter, Tensor>;
  /** Paths of the modules below the root, for messages. */
  readonly paths: ReadonlyMap<Module<never, unknown>, string>;
  /** Whether a module on the way to the present call is frozen. */
  frozen?: boolean;
  readonly onCall?: ((module: Module<never, unknown>, input: unknown, output: unknown) => void) | undefined;
}

let current: Scope | undefined;

/** The innermost scope, if a model is being called through one. */
export function currentScope(): Scope | undefined {
  return current;
}

/** Runs `fn` in a scope. */
export function withScope<T>(scope: Scope, fn: () => T): T {
  const before = current;
  current = scope;
  try {
    return fn();
  } finally {
    current = before;
  }
}
