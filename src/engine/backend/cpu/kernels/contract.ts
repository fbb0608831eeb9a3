// The matrix product.
import { sizeOf, type TensorType } from "../../../core/index.ts";
import { rule, type LowerRule, type LowerRules } from "./lowering.ts";

type MatmulAttrs = { transposeA: boolean; transposeB: boolean };

const half = ({ dtype }: TensorType): number => (dtype === "bfloat16" ? 2 : 0);

const matmul: LowerRule = rule<MatmulAttrs>(({ attrs: { transposeA, transposeB }, inputs, outputs }) => {
  const [a, b] = inputs as [TensorType, TensorType];
  const { shape } = outputs[0]!;
  const [m, n] = shape.slice(-2) as [number, number];
  const k = a.shape[a.shape.length - (transposeA ? 2 : 1)]!;
  const batch = sizeOf(shape.slice(0, -2));
  return {
    kernel: "matmul",
    params: [batch, m, n, k, Number(transposeA) + half(a), Number(transposeB) + half(b)],
    flops: 2 * batch * m * n * k,
  };
});

/** Rules of the contractions. */
export const contractRules: LowerRules = { matmul };
