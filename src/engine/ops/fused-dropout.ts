// Dropout as a function of its key: the same key drops the same elements, forward and backward.
import { ArgumentError, formatType, sameShape, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { greaterEqual, where } from "./compare.ts";
import { fullLike, zerosLike } from "./create.ts";
import { bind1, expectDtype, expectInputs, float, sampleShapes, withOp, type OpFunction } from "./define.ts";
import { scaled } from "./fused-parts.ts";
import { uniform } from "./random.ts";

type DropoutAttrs = { readonly rate: number };

const key = { dtype: "uint32", shape: [2], values: [7, 2026] } as const;

const dropoutOp: OpRecord<DropoutAttrs> = {
  name: "dropout",
  doc: "Zero for a share `rate` of the elements, the others scaled up: `y = u ≥ rate ? x/(1 − rate) : 0` with `u = uniform(key)` (Srivastava et al. 2014).",
  traits: { kind: "fused", recompute: "cheap" },
  shape: (types, { rate }) => {
    expectInputs("dropout", types, 2);
    const [x, k] = types as [TensorType, TensorType];
    expectDtype("dropout", [x], ["float32"]);
    if (k.dtype !== "uint32" || !sameShape(k.shape, [2])) {
      throw new ShapeError("dropout", `a key is uint32[2]: received ${formatType(k)}`);
    }
    if (!(rate >= 0 && rate < 1)) throw new ArgumentError("dropout", `\`rate\` must be in [0, 1): received ${rate}`);
    return [{ dtype: "float32", shape: x.shape }];
  },
  decompose: ([x, k], { rate }) => {
    if (rate === 0) return [x!];
    const u = uniform(k!, x!.shape);
    const kept = greaterEqual(u, fullLike(dropoutThreshold(rate), u));
    return [where(kept, scaled(x!, 1 / (1 - rate)), zerosLike(x!))];
  },
  // Linear in x and symmetric: the cotangent goes through the same mask.
  vjp: ({ inputs: [, k], attrs: { rate }, cts: [ct] }) => [dropout(ct!, k!, rate), undefined],
  samples: [
    ...sampleShapes.map((shape) => ({ inputs: [float(shape), key], attrs: { rate: 0.5 } })),
    { inputs: [float([4, 9]), key], attrs: { rate: 0.1 } },
    { inputs: [float([3, 3]), key], attrs: { rate: 0 } },
  ],
  errors: [
    { inputs: [float([3]), key], attrs: { rate: 1 }, message: "`rate` must be in [0, 1)" },
    { inputs: [float([3]), key], attrs: { rate: -0.1 }, message: "`rate` must be in [0, 1)" },
    { inputs: [float([3]), float([2])], attrs: { rate: 0.5 }, message: "a key is uint32[2]" },
  ],
};

/** The rate rounded up to the 24 bits of `uniform`: exact in float32, so every backend drops the same elements. */
export function dropoutThreshold(rate: number): number {
  return Math.ceil(rate * 2 ** 24) * 2 ** -24;
}

/** Zero for a share `rate` of the elements, chosen by the key; the others scaled by 1/(1 − rate). Rate 0 changes nothing. */
export const dropout: OpFunction<(x: Value, key: Value, rate: number) => Value, DropoutAttrs> = withOp(
  dropoutOp,
  (x, k, rate) => (rate === 0 ? x : bind1(dropoutOp, [x, k], { rate })),
);
