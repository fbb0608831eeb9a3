// Logits behind probabilities: softmax and sigmoid remember what they were computed from, so that a loss can train through it.
import type { Tensor } from "../../engine/tensor/index.ts";

/** The numbers a probability was made from, and how: `softmax` along the last axis, or `sigmoid` element by element. */
export interface Logits {
  readonly logits: Tensor;
  readonly kind: "softmax" | "sigmoid";
}

const known = new WeakMap<Tensor, Logits>();

/** Marks a result of softmax or sigmoid with its logits; gives the result back. */
export function tagLogits(probabilities: Tensor, tag: Logits): Tensor {
  known.set(probabilities, tag);
  return probabilities;
}

/**
 * The logits of a Tensor that is the direct result of a softmax or sigmoid activation. Any further operation loses them.
 * Cross-entropy computed from logits is exact for logits of any size; from probabilities it is not once they round to 0 or 1.
 */
export function logitsOf(probabilities: Tensor): Logits | undefined {
  return known.get(probabilities);
}
