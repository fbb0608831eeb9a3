// Reductions and walks along an axis: axes merged into groups that are kept or reduced in turn.
import { reduceGroups } from "./groups.ts";
import { aroundAxis, checkRank, rule, sizeOf, type LowerRule, type LowerRules } from "./lowering.ts";

/** Most groups of kept or of reduced axes a kernel walks: what eight alternating axes give. */
const MAX_GROUPS = 4;

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
  checkRank(op.name, Math.max(kept.dims.length, reduced.dims.length), MAX_GROUPS);
  const lists = [kept.dims, kept.strides, reduced.dims, reduced.strides].flat();
  return {
    kernel: kernels[op.name]!,
    params: [Number(dtype === "float32"), kept.dims.length, reduced.dims.length, ...lists],
    flops: sizeOf(shape),
  };
});

const search: LowerRule = rule<{ axis: number }>(({ op, attrs: { axis }, inputs }) => {
  const { dtype, shape } = inputs[0]!;
  const { outer, n, inner } = aroundAxis(shape, axis);
  return { kernel: op.name, params: [Number(dtype === "float32"), outer, n, inner], flops: sizeOf(shape) };
});

const cumsum: LowerRule = rule<{ axis: number; reverse: boolean }>(({ attrs: { axis, reverse }, inputs }) => {
  const { dtype, shape } = inputs[0]!;
  const { outer, n, inner } = aroundAxis(shape, axis);
  return {
    kernel: "cumsum",
    params: [Number(dtype === "float32"), outer, n, inner, Number(reverse)],
    flops: sizeOf(shape),
    inplace: [[0, 0]],
  };
});

// The kernel walks one axis; other patterns of axes are decomposed.
const logSumExp: LowerRule = rule<{ axes: readonly number[] }>(({ attrs: { axes }, inputs }) => {
  const { shape } = inputs[0]!;
  const { kept, reduced } = reduceGroups(shape, axes);
  if (sizeOf(shape) === 0 || reduced.dims.length > 1) return undefined;
  const n = reduced.dims[0] ?? 1;
  const inner = reduced.strides[0] ?? 1;
  const outer = sizeOf(kept.dims) / inner;
  if (!Number.isInteger(outer)) return undefined;
  return { kernel: "logSumExp", params: [outer, n, inner], flops: 4 * sizeOf(shape) };
});

/** Rules of the reductions. */
export const reduceRules: LowerRules = {
  sum: reduce,
  max: reduce,
  min: reduce,
  prod: reduce,
  argmax: search,
  argmin: search,
  cumsum,
  logSumExp,
};
