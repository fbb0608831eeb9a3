// The lowering table of the machine backends: op names to kernels. An op that is not here is decomposed.
import { attentionRules } from "./attention.ts";
import { contractRules } from "./contract.ts";
import { elementwiseRules } from "./elementwise.ts";
import { epilogueRules } from "./epilogue.ts";
import { fusedRules } from "./fused.ts";
import { indexingRules } from "./indexing.ts";
import { layoutRules } from "./layout.ts";
import type { LowerRule } from "./lowering.ts";
import { reduceRules } from "./reduce.ts";
import { windowRules } from "./window.ts";

export { fusible, sumPattern } from "./elementwise.ts";
export { takesEpilogue } from "./epilogue.ts";
export type { LowerRule, LowerTarget } from "./lowering.ts";

/** Rules by op name. */
export const loweringTable: ReadonlyMap<string, LowerRule> = new Map(
  Object.entries({
    ...elementwiseRules,
    ...layoutRules,
    ...reduceRules,
    ...contractRules,
    ...attentionRules,
    ...windowRules,
    ...indexingRules,
    ...fusedRules,
    ...epilogueRules,
  }),
);
