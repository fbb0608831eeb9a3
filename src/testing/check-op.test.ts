// The checks must be able to fail: each defect planted in a record is found.
import { describe, expect, test } from "vitest";
import { add, bind1, greater, layerNorm, mul, scan, sin } from "../engine/ops/index.ts";
import type { OpRecord } from "../engine/program/index.ts";
import { where, type Tensor } from "../engine/tensor/index.ts";
import { checkOp } from "./check-op.ts";
import { gradCheck } from "./grad-check.ts";

type None = Record<never, never>;

const square: OpRecord<None> = {
  name: "square",
  doc: "`x²`",
  traits: { kind: "elementwise" },
  shape: ([x]) => [{ dtype: "float32", shape: x!.shape }],
  evaluate: ([x]) => [x!.map((a) => a * a)],
  decompose: ([x]) => [mul(x!, x!)],
  vjp: ({ inputs: [x], cts: [ct] }) => [mul(ct!, add(x!, x!))],
  samples: [{ inputs: [{ dtype: "float32", shape: [2, 3] }], attrs: {} }],
  errors: [],
};

// The same numbers, through which no gradient flows.
const { vjp: _, decompose: __, ...plain } = square;
const stopped: OpRecord<None> = { ...plain, name: "stopped", evaluate: ([x]) => [x!.slice()], nondifferentiable: true };

describe("checkOp", () => {
  test("passes correct records", () => {
    checkOp(square);
    checkOp(layerNorm.op);
    checkOp(scan.op);
  });

  const defects: Record<string, [OpRecord<None>, string]> = {
    "no samples": [{ ...square, samples: [] }, "no samples"],
    "a wrong gradient": [{ ...square, vjp: ({ inputs: [x], cts: [ct] }) => [mul(ct!, x!)] }, "gradient by input 0"],
    "a gradient without its cotangent": [
      { ...square, vjp: ({ inputs: [x] }) => [add(x!, x!)] },
      "the gradient by input 0",
    ],
    "a gradient that is left out": [{ ...square, vjp: () => [undefined] }, "the gradient by input 0"],
    "no gradient at all": [plain, "has no gradient and is not marked nondifferentiable"],
    "a second gradient that stops": [
      { ...square, vjp: ({ inputs: [x], cts: [ct] }) => [mul(ct!, bind1(stopped, [add(x!, x!)], {}))] },
      "second gradient: the gradient by input 0",
    ],
    "a wrong decomposition": [{ ...square, decompose: ([x]) => [add(x!, x!)] }, "decomposed"],
    "a decomposition of another type": [
      { ...square, decompose: ([x]) => [greater(x!, x!)] },
      "its decomposition gives bool[2,3]",
    ],
    "too few numbers": [{ ...square, evaluate: ([x]) => [x!.subarray(1)] }, "result 0 has 5 elements"],
    "a missing result": [{ ...square, evaluate: () => [] }, "gives 0 results"],
    "numbers outside the dtype": [
      { ...plain, shape: ([x]) => [{ dtype: "int32", shape: x!.shape }] },
      "which is no int32",
    ],
    "an input that is not refused": [
      { ...square, errors: [{ inputs: [{ dtype: "float32", shape: [1] }], attrs: {}, message: "odd" }] },
      "was not refused on reference: expected odd",
    ],
    "another message than the stated one": [
      { ...sin.op, errors: [{ inputs: [{ dtype: "bool", shape: [2] }], attrs: {}, message: "nothing like it" }] },
      "expected a message with nothing like it",
    ],
  };
  test.each(Object.keys(defects))("finds %s", (name) => {
    const [record, message] = defects[name]!;
    expect(() => checkOp(record)).toThrow(message);
  });
});

describe("gradCheck", () => {
  test("passes functions of Tensors with correct gradients", () => {
    gradCheck((x: Tensor) => x.mul(x).sum(), [[1, 2, 3]]);
    gradCheck(
      (x: Tensor, w: Tensor) => x.matmul(w).tanh(),
      [
        [[0.5, -1]],
        [
          [1, 2, 3],
          [-1, 0.5, 0.25],
        ],
      ],
    );
  });

  test("finds a gradient that differences contradict: the kink of relu", () => {
    expect(() => gradCheck((x: Tensor) => where(x.greater(0), x, 0), [[-1, 0, 2]])).toThrow("input 0 at element 1");
  });
});
