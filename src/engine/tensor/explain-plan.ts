// explainPlan: where the time of a compiled function or training step goes.
import { profile, type DeviceArray, type Executable, type Profile, type ProfileOptions } from "../runtime/index.ts";

export type { ChangingPass, Profile, ProfiledCall, ProfiledKind, ProfileOptions } from "../runtime/index.ts";

/** What can be explained: `jit(fn)`, and the steps of `chainrule/train`. */
export interface Explainable<A extends readonly unknown[]> {
  lower(...args: A): Executable;
  inputs(...args: A): readonly DeviceArray[];
}

/**
 * Runs a compiled function some times with a clock at each kernel call: flops, bytes, time and share of the machine's peak
 * (its best matrix product) of each call, sums by kernel, and the compiler passes that changed the program. Arguments are
 * as in a call of the function; donated ones are copied, so nothing is used up. Throws BackendError on a device without
 * clocks (`reference`).
 *
 * @example
 * const step = jit((w: Tensor, x: Tensor) => x.matmul(w).relu().sum());
 * const plan = explainPlan(step, [ones([64, 32]), ones([128, 64])]);
 * plan.toString(); // a table, one line a call
 * plan.calls.length > 0; // true
 */
export function explainPlan<A extends readonly unknown[]>(
  fn: Explainable<A>,
  args: A,
  options: ProfileOptions = {},
): Profile {
  return profile(fn.lower(...args), fn.inputs(...args), options);
}
