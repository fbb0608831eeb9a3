// Normalisation of rows: layerNorm and its gradient, rmsNorm. Rows are the last axis.
import { checkRange, formatType, sameShape, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { add, mul, sub } from "./arith.ts";
import { bind, bind1, expectDtype, expectInputs, float, int, withOp, type OpFunction } from "./define.ts";
import { mean, shifted, spread, spreadRow } from "./fused-parts.ts";
import { sum } from "./layout.ts";
import { rsqrt } from "./math.ts";

type NormAttrs = { readonly epsilon: number };

// Rows [..., D] with D > 0 and vectors [D]; nothing else is normalised.
function expectRows(name: string, types: readonly TensorType[], { epsilon }: NormAttrs): TensorType {
  expectDtype(name, types, ["float32"]);
  checkRange(name, "epsilon", epsilon, 0);
  const [x, ...vectors] = types as [TensorType, ...TensorType[]];
  const size = x.shape.at(-1);
  if (size === undefined || size === 0 || vectors.some(({ shape }) => !sameShape(shape, [size]))) {
    throw new ShapeError(
      name,
      `expected rows [..., D] of D ≥ 1 elements and vectors [D]: received ${types.map(formatType).join(" and ")}`,
    );
  }
  return { dtype: x.dtype, shape: x.shape };
}

const lastAxis = (x: TensorType): number => x.shape.length - 1;

// The normalised rows, and the factor each was scaled by.
function normalized(x: Value, epsilon: number): { unit: Value; factor: Value } {
  const axes = [lastAxis(x)];
  const centered = sub(x, spread(mean(x, axes), x, axes));
  const factor = spread(rsqrt(shifted(mean(mul(centered, centered), axes), epsilon)), x, axes);
  return { unit: mul(centered, factor), factor };
}

const layerNormOp: OpRecord<NormAttrs> = {
  name: "layerNorm",
  doc: "Rows of mean 0 and variance 1, then scaled and shifted: `y = (x − μ)/√(σ² + ε) · scale + bias` (Ba et al. 2016).",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("layerNorm", types, 3);
    return [expectRows("layerNorm", types, attrs)];
  },
  decompose: ([x, scale, bias], { epsilon }) => {
    const { unit } = normalized(x!, epsilon);
    return [add(mul(unit, spreadRow(scale!, x!)), spreadRow(bias!, x!))];
  },
  vjp: ({ inputs: [x, scale], attrs: { epsilon }, cts: [ct] }) =>
    layerNormGrad(x!, { scale: scale!, ct: ct!, epsilon }),
  samples: [
    { inputs: [float([5]), float([5]), float([5])], attrs: { epsilon: 1e-5 } },
    { inputs: [float([3, 4]), float([4]), float([4])], attrs: { epsilon: 1e-3 } },
    { inputs: [float([2, 3, 7]), float([7]), float([7])], attrs: { epsilon: 1e-5 } },
    { inputs: [float([0, 4]), float([4]), float([4])], attrs: { epsilon: 1e-5 } },
    { inputs: [float([2, 67]), float([67]), float([67])], attrs: { epsilon: 1e-5 } },
  ],
  errors: [
    { inputs: [float([3, 4]), float([3]), float([4])], attrs: { epsilon: 1e-5 }, message: "vectors [D]" },
    { inputs: [float([3, 4]), float([4]), float([4])], attrs: { epsilon: -1 }, message: "`epsilon` must be" },
  ],
  terms: (types) => types[0]!.shape.at(-1)!,
};

/** Rows of mean 0 and variance 1 over the last axis, times `scale`, plus `bias`. */
export const layerNorm: OpFunction<
  (x: Value, rest: { scale: Value; bias: Value; epsilon?: number }) => Value,
  NormAttrs
> = withOp(layerNormOp, (x, { scale, bias, epsilon = 1e-5 }) => bind1(layerNormOp, [x, scale, bias], { epsilon }));

const layerNormGradOp: OpRecord<NormAttrs> = {
  name: "layerNormGrad",
  doc: "Cotangents of layerNorm's inputs, with x̂ the normalised rows and g = ct · scale: `dx = (g − mean g − x̂ · mean(g · x̂))/√(σ² + ε)`, `dscale = Σ ct · x̂`, `dbias = Σ ct`.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("layerNormGrad", types, 3);
    const [x, scale, ct] = types as [TensorType, TensorType, TensorType];
    const rows = expectRows("layerNormGrad", [x, scale], attrs);
    if (ct.dtype !== "float32" || !sameShape(ct.shape, x.shape)) {
      throw new ShapeError(
        "layerNormGrad",
        `the cotangent has the type of x: received ${formatType(ct)} and ${formatType(x)}`,
      );
    }
    const vector: TensorType = { dtype: "float32", shape: scale.shape };
    return [rows, vector, vector];
  },
  decompose: ([x, scale, ct], { epsilon }) => {
    const axes = [lastAxis(x!)];
    const outer = x!.shape.slice(0, -1).map((_, axis) => axis);
    const { unit, factor } = normalized(x!, epsilon);
    const g = mul(ct!, spreadRow(scale!, x!));
    const inner = mul(unit, spread(mean(mul(g, unit), axes), x!, axes));
    const dx = mul(factor, sub(sub(g, spread(mean(g, axes), x!, axes)), inner));
    return [dx, sum(mul(ct!, unit), outer), sum(ct!, outer)];
  },
  samples: [
    { inputs: [float([5]), float([5]), float([5])], attrs: { epsilon: 1e-5 } },
    { inputs: [float([3, 4]), float([4]), float([3, 4])], attrs: { epsilon: 1e-3 } },
    { inputs: [float([2, 3, 7]), float([7]), float([2, 3, 7])], attrs: { epsilon: 1e-5 } },
    { inputs: [float([0, 4]), float([4]), float([0, 4])], attrs: { epsilon: 1e-5 } },
    { inputs: [float([2, 67]), float([67]), float([2, 67])], attrs: { epsilon: 1e-5 } },
  ],
  errors: [{ inputs: [float([3, 4]), float([4]), float([4])], attrs: { epsilon: 1e-5 }, message: "has the type of x" }],
  terms: (types) =>
    Math.max(
      types[0]!.shape.at(-1)!,
      types[0]!.shape.slice(0, -1).reduce((n, m) => n * m, 1),
    ),
};

/** Cotangents [dx, dscale, dbias] of `layerNorm`. */
export const layerNormGrad: OpFunction<
  (x: Value, rest: { scale: Value; ct: Value; epsilon?: number }) => readonly Value[],
  NormAttrs
> = withOp(layerNormGradOp, (x, { scale, ct, epsilon = 1e-5 }) => bind(layerNormGradOp, [x, scale, ct], { epsilon }));

const rmsNormOp: OpRecord<NormAttrs> = {
  name: "rmsNorm",
  doc: "Rows of root mean square 1, then scaled: `y = x/√(mean x² + ε) · scale` (Zhang & Sennrich 2019).",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("rmsNorm", types, 2);
    return [expectRows("rmsNorm", types, attrs)];
  },
  decompose: ([x, scale], { epsilon }) => {
    const axes = [lastAxis(x!)];
    const factor = rsqrt(shifted(mean(mul(x!, x!), axes), epsilon));
    return [mul(mul(x!, spread(factor, x!, axes)), spreadRow(scale!, x!))];
  },
  samples: [
    { inputs: [float([5]), float([5])], attrs: { epsilon: 1e-6 } },
    { inputs: [float([3, 4]), float([4])], attrs: { epsilon: 1e-3 } },
    { inputs: [float([2, 3, 7]), float([7])], attrs: { epsilon: 1e-6 } },
    { inputs: [float([0, 4]), float([4])], attrs: { epsilon: 1e-6 } },
    { inputs: [float([2, 67]), float([67])], attrs: { epsilon: 1e-6 } },
  ],
  errors: [
    { inputs: [float([3, 4]), float([3])], attrs: { epsilon: 1e-6 }, message: "vectors [D]" },
    { inputs: [int([3, 4], 0, 5), float([4])], attrs: { epsilon: 1e-6 }, message: "expected float32" },
  ],
  terms: (types) => types[0]!.shape.at(-1)!,
};

/** Rows of root mean square 1 over the last axis, times `scale`. */
export const rmsNorm: OpFunction<(x: Value, scale: Value, epsilon?: number) => Value, NormAttrs> = withOp(
  rmsNormOp,
  (x, scale, epsilon = 1e-6) => bind1(rmsNormOp, [x, scale], { epsilon }),
);
