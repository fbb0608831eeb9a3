// What a step costs: parameters that multiply, floating-point operations.
import type { CausalLM } from "../../models/index.ts";

/** Numbers of a model that cost depends on. */
export interface ModelCost {
  readonly parameters: number;
  /** Those that every token is multiplied with: all but tables that are only looked up in. */
  readonly multiplied: number;
  /** Layers times the width of all query heads. */
  readonly attention: number;
}

/** Counts a model's parameters; those of a model without values are declared first, no numbers are drawn. */
export function costOf(model: CausalLM): ModelCost {
  model.trace([{ dtype: "int32", shape: [1, 1] }]);
  const list = model.parameters().map(({ path, parameter }) => {
    return { path, shape: parameter.shape, size: parameter.shape.reduce((a, b) => a * b, 1) };
  });
  const parameters = list.reduce((sum, { size }) => sum + size, 0);
  // A table of tokens is a head as well where there is no other.
  const headed = list.some(({ path, shape }) => shape.length === 2 && /(^|\.)head\./.test(path));
  const lookedUp = list.filter(({ path }) => /(^|\.)positions\./.test(path) || (headed && /(^|\.)tokens\./.test(path)));
  const { layers } = model.cacheShape;
  return {
    parameters,
    multiplied: parameters - lookedUp.reduce((sum, { size }) => sum + size, 0),
    attention: layers * queryWidth(model),
  };
}

function queryWidth({ configJson, cacheShape }: CausalLM): number {
  const heads = configJson["n_head"] ?? configJson["num_attention_heads"];
  return typeof heads === "number" ? heads * cacheShape.depth : cacheShape.groups * cacheShape.depth;
}

/**
 * Floating-point operations of a training step: 6 for each multiplied weight and token, and the causal half of the six products
 * of attention, forward and backward: `6 N B T + 6 L C B T²` (Kaplan et al. 2020; PaLM, appendix B, halved for causality).
 */
export function stepFlops(
  { multiplied, attention }: ModelCost,
  { batch, time }: { readonly batch: number; readonly time: number },
): number {
  return 6 * multiplied * batch * time + 6 * attention * batch * time * time;
}
