// Reductions: axes merged into groups that are kept or reduced in turn.
import { countGroups, reduceGroups } from "./groups.ts";
import { checkRank, rule, sizeOf, type LowerRule, type LowerRules } from "./lowering.ts";

const kernels: { readonly [op: string]: string } = {
  sum: "reduceSum",
  max: "reduceMax",
  min: "reduceMin",
  prod: "reduceProd",
};

const reduce: LowerRule = rule<{ axes: readonly number[] }>(({ op, attrs: { axes }, inputs, outputs }) => {
  const { dtype, shape } = inputs[0]!;
  // Axes of size 1 only: nothing is added up.
  if (sizeOf(shape) === sizeOf(outputs[0]!.shape)) return { view: 0 };
  const { kept, reduced } = reduceGroups(shape, axes);
  checkRank(op.name, Math.max(countGroups(kept), countGroups(reduced)), 4);
  const lists = [kept.dims, kept.strides, reduced.dims, reduced.strides].flat();
  return {
    kernel: kernels[op.name]!,
    params: [dtype === "float32" ? 1 : 0, kept.dims.length, reduced.dims.length, ...lists],
    flops: sizeOf(shape),
  };
});

/** Rules of the reductions. */
export const reduceRules: LowerRules = { sum: reduce, max: reduce, min: reduce, prod: reduce };
