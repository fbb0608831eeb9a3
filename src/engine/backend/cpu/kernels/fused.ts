// Fused ops that work row by row, in one pass each.
import { floatBits } from "../../../plan/index.ts";
import { aroundAxis, rule, sizeOf, type LowerRule, type LowerRules } from "./lowering.ts";

const along: LowerRule = rule<{ axis: number }>(({ op, attrs: { axis }, inputs }) => {
  const { shape } = inputs[0]!;
  const { outer, n, inner } = aroundAxis(shape, axis);
  return { kernel: op.name, params: [outer, n, inner], flops: 5 * sizeOf(shape), inplace: [[0, 0]] };
});

const labelled: LowerRule = ({ op, inputs }) => {
  const [logits, labels] = [inputs[0]!, inputs[1]!];
  const classes = logits.shape.at(-1)!;
  const inplace = op.name === "crossEntropyGrad" ? ([[0, 0]] as const) : [];
  return {
    kernel: op.name,
    params: [sizeOf(labels.shape), classes],
    flops: 5 * sizeOf(logits.shape),
    inplace,
  };
};

const rows: LowerRule = rule<{ epsilon: number }>(({ op, attrs: { epsilon }, inputs }) => {
  const { shape } = inputs[0]!;
  const n = shape.at(-1)!;
  return { kernel: op.name, params: [sizeOf(shape) / n, n, floatBits(epsilon)], flops: 8 * sizeOf(shape) };
});

/** Rules of the fused ops. */
export const fusedRules: LowerRules = {
  softmax: along,
  logSoftmax: along,
  crossEntropy: labelled,
  crossEntropyGrad: labelled,
  layerNorm: rows,
  layerNormGrad: rows,
  rmsNorm: rows,
};
