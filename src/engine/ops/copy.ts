// copy: the same elements in memory of their own. The compiler places it where an output must not share memory.
import type { OpRecord, Value } from "../program/index.ts";
import { bind1, expectInputs, float, none, withOp, type None, type Unary } from "./define.ts";

const copyOp: OpRecord<None> = {
  name: "copy",
  doc: "The same elements in memory of their own: `y = x`.",
  traits: { kind: "layout", recompute: "cheap", opaque: true },
  shape: (types) => {
    expectInputs("copy", types, 1);
    return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
  },
  evaluate: ([x]) => [x!.slice()],
  vjp: ({ cts: [ct] }) => [ct],
  samples: [
    { inputs: [float([2, 3])], attrs: none },
    { inputs: [float([])], attrs: none },
    { inputs: [float([0])], attrs: none },
    { inputs: [{ dtype: "int32", shape: [5], low: -9, high: 9 }], attrs: none },
    { inputs: [{ dtype: "bfloat16", shape: [70] }], attrs: none },
    { inputs: [{ dtype: "bool", shape: [70], low: 0, high: 1 }], attrs: none },
  ],
  errors: [{ inputs: [float([1]), float([1])], attrs: none, message: "takes 1 inputs" }],
};

/** The same elements in memory of their own. */
export const copy: Unary = withOp<(x: Value) => Value, None>(copyOp, (x) => bind1(copyOp, [x], none));
