// Logits remember what they were made of, so that a loss over a large vocabulary need not hold all of them.
import type { Tensor } from "../../engine/tensor/index.ts";

/** How logits are made. */
export interface HeadTag {
  /** [B, T, C]. */
  readonly hidden: Tensor;
  /** [..., C] → [..., V]. */
  readonly project: (hidden: Tensor) => Tensor;
  /** A scalar the model asks to be added to the loss. */
  readonly auxiliary: Tensor | undefined;
}

const known = new WeakMap<Tensor, HeadTag>();

/** The logits of a hidden state. In a compiled function nothing is computed unless somebody reads them. */
export function headLogits(tag: HeadTag): Tensor {
  const logits = tag.project(tag.hidden);
  known.set(logits, tag);
  return logits;
}

/** What made these logits, if they come straight from a model. */
export function headOf(logits: Tensor): HeadTag | undefined {
  return known.get(logits);
}
