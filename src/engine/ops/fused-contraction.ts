// A contraction with the element-wise ops behind it as one step: what the compiler's epilogue pass makes.
import { VerifyError } from "../core/index.ts";
import { inline, type OpRecord, type Program, type Value } from "../program/index.ts";
import { add, mul } from "./arith.ts";
import { matmul } from "./contract.ts";
import { expectBody, programSample } from "./control.ts";
import { conv } from "./conv.ts";
import { bind, float, withOp, type OpFunction } from "./define.ts";
import { broadcast, reshape } from "./layout.ts";
import { relu, tanh } from "./math.ts";

type ContractionAttrs = { readonly body: Program };

function biased(m: number, n: number): (y: Value, b: Value) => Value {
  return (y, b) => add(y, broadcast(b, [m, n], [1]));
}

const contractionOp: OpRecord<ContractionAttrs> = {
  name: "fusedContraction",
  doc: "A program that begins with a contraction and goes on element by element: `y = f(A · B, …)`.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { body }) => {
    expectBody("fusedContraction", body, types);
    if (body.equations[0]?.op.traits.kind !== "contract")
      throw new VerifyError(
        "fusedContraction",
        `the body must begin with a contraction: received ${body.equations[0]?.op.name ?? "nothing"}`,
      );
    return body.outputs.map(({ dtype, shape }) => ({ dtype, shape }));
  },
  decompose: (inputs, { body }) => inline(body, inputs),
  samples: [
    // A bias and an activation; rows and columns that end within a register tile.
    programSample([float([13, 37]), float([37, 35]), float([35])], ([x, w, b]) => [
      tanh(biased(13, 35)(matmul(x!, w!), b!)),
    ]),
    // Few rows.
    programSample([float([2, 70]), float([70, 65]), float([65])], ([x, w, b]) => [
      tanh(biased(2, 65)(matmul(x!, w!), b!)),
    ]),
    programSample([float([1, 7]), float([5, 7]), float([1, 5])], ([x, w, r]) => [
      add(matmul(x!, w!, { transposeB: true }), r!),
    ]),
    // The product is read by others too; deeper than one panel, in another shape.
    programSample([float([10, 300]), float([10, 33]), float([300, 33])], ([a, b, c]) => {
      const y = matmul(a!, b!, { transposeA: true });
      return [y, reshape(add(y, mul(y, c!)), [100, 99])];
    }),
    programSample([float([3, 4, 5]), float([3, 5, 6]), float([3, 4, 6])], ([a, b, r]) => [add(matmul(a!, b!), r!)]),
    programSample([float([2, 0]), float([0, 3]), float([3])], ([a, b, c]) => [tanh(biased(2, 3)(matmul(a!, b!), c!))]),
    programSample([float([1, 5, 5, 2]), float([3, 3, 2, 4]), float([4])], ([x, w, b]) => {
      const y = conv(x!, w!, { strides: [1, 1], padding: [[1, 1], [0, 0]], dilation: [1, 1], groups: 1 }); // prettier-ignore
      return [tanh(add(y, broadcast(b!, y.shape, [3])))];
    }),
  ],
  errors: [
    {
      ...programSample([float([2, 3])], ([x]) => [relu(x!)]),
      inputs: [float([2, 3])],
      message: "must begin with a contraction",
    },
  ],
};

/** A contraction and the element-wise ops behind it as one step. */
export const fusedContraction: OpFunction<
  (body: Program, inputs: readonly Value[]) => readonly Value[],
  ContractionAttrs
> = withOp(contractionOp, (body, inputs) => bind(contractionOp, inputs, { body }));
