// The matrix product, batched, with both operands transposed or not: three of these are a dense layer forward and backward.
import { formatType, sameShape, ShapeError, type Shape, type TensorType } from "../core/index.ts";
import { anyOp, type Equation, type OpRecord, type SampleInput, type Value } from "../program/index.ts";
import { transpose } from "./layout.ts";
import { stored } from "./math.ts";
import { bind1, expectDtype, expectInputs, float, numbers, withOp, type OpFunction } from "./define.ts";

/** Whether the last two axes of an operand are read the other way round. */
export type MatmulAttrs = { readonly transposeA: boolean; readonly transposeB: boolean };

/** Sizes of a product: `batch` products of [m, k] with [k, n]. */
export interface MatmulDims {
  readonly batch: Shape;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** Reads the sizes of a product off its operands; refuses operands that do not fit. */
export function matmulDims(a: TensorType, b: TensorType, { transposeA, transposeB }: MatmulAttrs): MatmulDims {
  const fail = (problem: string, hint?: string): ShapeError =>
    new ShapeError(
      "matmul",
      `${problem}: received ${formatType(a)} @ ${formatType(b)}${transposeA || transposeB ? ` (transposed: ${transposeA}, ${transposeB})` : ""}`,
      hint === undefined ? {} : { hint },
    );
  const rank = a.shape.length;
  if (rank < 2 || b.shape.length !== rank)
    throw fail("operands need equal rank of at least 2", "reshape, or use the function on Tensors, which broadcasts");
  const batch = a.shape.slice(0, -2);
  if (!sameShape(batch, b.shape.slice(0, -2))) throw fail("batch axes differ");
  const [m, k] = transposeA ? [a.shape[rank - 1]!, a.shape[rank - 2]!] : [a.shape[rank - 2]!, a.shape[rank - 1]!];
  const [inner, n] = transposeB ? [b.shape[rank - 1]!, b.shape[rank - 2]!] : [b.shape[rank - 2]!, b.shape[rank - 1]!];
  if (k !== inner) throw fail("inner sizes differ", "is one of them transposed?");
  return { batch, m, n, k };
}

const matmulOp: OpRecord<MatmulAttrs> = {
  name: "matmul",
  doc: "The matrix product over the last two axes: `C[i,j] = Σₖ A[i,k] · B[k,j]`; an operand may be bfloat16, the product is float32.",
  traits: { kind: "contract", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("matmul", types, 2);
    expectDtype("matmul", types, ["float32", "bfloat16"]);
    const { batch, m, n } = matmulDims(types[0]!, types[1]!, attrs);
    return [{ dtype: "float32", shape: [...batch, m, n] }];
  },
  evaluate: ([a, b], attrs, { inputs, outputs }) => {
    const { m, n, k } = matmulDims(inputs[0]!, inputs[1]!, attrs);
    const [ai, ak] = attrs.transposeA ? [1, m] : [k, 1];
    const [bk, bj] = attrs.transposeB ? [1, k] : [n, 1];
    const out = numbers(outputs[0]!);
    const count = m * n === 0 ? 0 : out.length / (m * n);
    for (let batch = 0; batch < count; batch++) {
      for (let i = 0; i < m; i++) {
        const row = batch * m * n + i * n;
        for (let p = 0; p < k; p++) {
          const x = a![batch * m * k + i * ai + p * ak]!;
          const from = batch * k * n + p * bk;
          for (let j = 0; j < n; j++) out[row + j]! += x * b![from + j * bj]!;
        }
      }
    }
    return [out];
  },
  // C = op(A) op(B): the cotangent of each operand is again one product, with the flags chosen so that nothing is transposed in memory.
  vjp: ({ inputs: [a, b], attrs: { transposeA: ta, transposeB: tb }, cts: [ct] }) => [
    a!.dtype === "bfloat16" ? undefined : ta ? product(b!, ct!, tb, true) : product(ct!, b!, false, !tb),
    b!.dtype === "bfloat16" ? undefined : tb ? product(ct!, a!, true, ta) : product(a!, ct!, !ta, false),
  ],
  exchanged: ([a, b], { transposeA, transposeB }) => product(b!, a!, !transposeB, !transposeA),
  // A transposed operand is read the other way round instead of moved, one in bfloat16 as it is.
  simplify: ({ inputs: [a, b], attrs: { transposeA, transposeB }, producer }) => {
    const x = untransposed(a!, producer);
    const y = untransposed(b!, producer);
    const [left, right] = [x ?? a!, y ?? b!].map((value) => stored(value, producer) ?? value) as [Value, Value];
    if (left === a && right === b) return undefined;
    return [product(left, right, transposeA !== (x !== undefined), transposeB !== (y !== undefined))];
  },
  samples: [
    { inputs: [float([2, 3]), float([3, 4])], attrs: { transposeA: false, transposeB: false } },
    { inputs: [float([3, 2]), float([3, 4])], attrs: { transposeA: true, transposeB: false } },
    { inputs: [float([2, 3]), float([4, 3])], attrs: { transposeA: false, transposeB: true } },
    { inputs: [float([3, 2]), float([4, 3])], attrs: { transposeA: true, transposeB: true } },
    { inputs: [float([5, 2, 3]), float([5, 3, 1])], attrs: { transposeA: false, transposeB: false } },
    { inputs: [float([2, 2, 3, 2]), float([2, 2, 3, 4])], attrs: { transposeA: true, transposeB: false } },
    { inputs: [float([2, 0]), float([0, 3])], attrs: { transposeA: false, transposeB: false } },
    { inputs: [float([1, 70]), float([70, 33])], attrs: { transposeA: false, transposeB: false } },
    { inputs: [float([13, 70]), half([70, 33])], attrs: { transposeA: false, transposeB: false } },
    { inputs: [half([3, 5, 7]), half([3, 9, 7])], attrs: { transposeA: false, transposeB: true } },
    { inputs: [half([300, 50]), float([300, 40])], attrs: { transposeA: true, transposeB: false } },
  ],
  errors: [
    {
      inputs: [float([3, 4]), float([2, 3])],
      attrs: { transposeA: false, transposeB: false },
      message: "inner sizes differ",
    },
    { inputs: [float([3]), float([3])], attrs: { transposeA: false, transposeB: false }, message: "equal rank" },
    {
      inputs: [float([2, 3, 4]), float([3, 4, 5])],
      attrs: { transposeA: false, transposeB: false },
      message: "batch axes differ",
    },
  ],
  terms: (types, attrs) => matmulDims(types[0]!, types[1]!, attrs).k,
};

// What a value is the transpose of, if its last two axes alone were swapped.
function untransposed(x: Value, producer: (value: Value) => Equation | undefined): Value | undefined {
  const maker = producer(x);
  if (maker?.op !== anyOp(transpose.op)) return undefined;
  const { permutation } = maker.attrs as { permutation: readonly number[] };
  const rank = permutation.length;
  const swapped = permutation.every((axis, i) => axis === (i < rank - 2 ? i : 2 * rank - 3 - i));
  return swapped ? maker.inputs[0]! : undefined;
}

function half(shape: Shape): SampleInput {
  return { dtype: "bfloat16", shape };
}

function product(a: Value, b: Value, transposeA: boolean, transposeB: boolean): Value {
  return bind1(matmulOp, [a, b], { transposeA, transposeB });
}

/** The matrix product over the last two axes; the axes before must be equal. */
export const matmul: OpFunction<(a: Value, b: Value, options?: Partial<MatmulAttrs>) => Value, MatmulAttrs> = withOp(
  matmulOp,
  (a, b, { transposeA = false, transposeB = false } = {}) => product(a, b, transposeA, transposeB),
);
