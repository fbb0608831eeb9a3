// A backend held against the reference on every op: for those who write one.
import { allOps } from "../engine/ops/index.ts";
import type { Backend } from "../engine/backend/index.ts";
import type { Op } from "../engine/program/index.ts";
import { Device } from "../engine/runtime/index.ts";
import { checkRefusal, checkSampleOn } from "./check-op.ts";

/** What a backend passed, op by op. */
export interface BackendReport {
  readonly passed: readonly string[];
  /** The first failure of each op that has one. */
  readonly failed: readonly { readonly op: string; readonly error: Error }[];
}

/**
 * Runs the samples, gradients and refused inputs of every op on a backend and compares with the reference.
 *
 * @example
 * const { failed } = checkBackend(createWasm());
 */
export function checkBackend(backend: Backend, options: { readonly ops?: readonly Op[] } = {}): BackendReport {
  const device = new Device(backend, "under test");
  const passed: string[] = [];
  const failed: { op: string; error: Error }[] = [];
  for (const op of options.ops ?? allOps) {
    try {
      op.samples.forEach((_, index) => checkSampleOn(op, index, device));
      op.errors.forEach((_, index) => checkRefusal(op, index, device));
      passed.push(op.name);
    } catch (error) {
      failed.push({ op: op.name, error: error as Error });
    }
  }
  return { passed, failed };
}
