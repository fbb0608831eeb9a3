// Softmax, its logarithm, and the cross-entropy of logits: the last layer of a classifier and its loss.
import { DtypeError, formatType, normalizeAxis, sameShape, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, Sample, Value } from "../program/index.ts";
import { div, exp, log, mul, sub } from "./arith.ts";
import { bind1, expectDtype, expectInputs, float, int, none, withOp, type None, type OpFunction } from "./define.ts";
import { spread } from "./fused-parts.ts";
import { scatterAddAlongAxis, takeAlongAxis } from "./gather.ts";
import { reshape, sum } from "./layout.ts";
import { max } from "./reduce.ts";

type AxisAttrs = { readonly axis: number };

function normalizedShape(name: string): OpRecord<AxisAttrs>["shape"] {
  return (types, { axis }) => {
    expectInputs(name, types, 1);
    expectDtype(name, types, ["float32"]);
    const { dtype, shape } = types[0]!;
    if (shape[normalizeAxis(name, axis, shape.length)] === 0) {
      throw new ShapeError(name, `needs at least one element along axis ${axis}: received ${formatType(types[0]!)}`);
    }
    return [{ dtype, shape }];
  };
}

const normalizedSamples: readonly Sample<AxisAttrs>[] = [
  { inputs: [float([5])], attrs: { axis: 0 } },
  { inputs: [float([3, 7])], attrs: { axis: 1 } },
  { inputs: [float([3, 2])], attrs: { axis: 0 } },
  { inputs: [float([2, 3, 4])], attrs: { axis: 1 } },
  { inputs: [float([0, 4])], attrs: { axis: 1 } },
  { inputs: [float([2, 1])], attrs: { axis: 1 } },
  { inputs: [float([2, 67], { low: -20, high: 20 })], attrs: { axis: 1 } },
  { inputs: [float([2, 3], { values: [1e4, -1e4, 0, -1e4, -1e4, -1e4] })], attrs: { axis: 1 } },
];

const normalizedErrors: OpRecord<AxisAttrs>["errors"] = [
  { inputs: [float([2, 3])], attrs: { axis: 2 }, message: "axis 2 does not exist" },
  { inputs: [float([2, 0])], attrs: { axis: 1 }, message: "at least one element along axis 1" },
  { inputs: [int([3], 0, 5)], attrs: { axis: 0 }, message: "expected float32" },
];

// Exponentials of differences to the largest never overflow, and at least one of them is 1.
function centered(x: Value, axis: number): Value {
  return sub(x, spread(max(x, [axis]), x, [axis]));
}

const softmaxOp: OpRecord<AxisAttrs> = {
  name: "softmax",
  doc: "Probabilities in proportion to exponentials along an axis: `yᵢ = e^(xᵢ − max x) / Σⱼ e^(xⱼ − max x)`.",
  traits: { kind: "fused", recompute: "costly" },
  shape: normalizedShape("softmax"),
  decompose: ([x], { axis }) => {
    const e = exp(centered(x!, axis));
    return [div(e, spread(sum(e, axis), e, [axis]))];
  },
  vjp: ({ outputs: [y], attrs: { axis }, cts: [ct] }) => {
    const inner = sum(mul(ct!, y!), axis);
    return [mul(y!, sub(ct!, spread(inner, y!, [axis])))];
  },
  samples: normalizedSamples,
  errors: normalizedErrors,
  terms: (types, { axis }) => types[0]!.shape[axis]!,
};

/** Probabilities along an axis (the last unless said). */
export const softmax: OpFunction<(x: Value, axis?: number) => Value, AxisAttrs> = withOp(softmaxOp, (x, axis = -1) =>
  bind1(softmaxOp, [x], { axis: normalizeAxis("softmax", axis, x.shape.length) }),
);

const logSoftmaxOp: OpRecord<AxisAttrs> = {
  name: "logSoftmax",
  doc: "The logarithm of softmax without its underflow: `yᵢ = xᵢ − max x − ln Σⱼ e^(xⱼ − max x)`.",
  traits: { kind: "fused", recompute: "costly" },
  shape: normalizedShape("logSoftmax"),
  decompose: ([x], { axis }) => {
    const z = centered(x!, axis);
    return [sub(z, spread(log(sum(exp(z), axis)), z, [axis]))];
  },
  vjp: ({ outputs: [y], attrs: { axis }, cts: [ct] }) => [sub(ct!, mul(exp(y!), spread(sum(ct!, axis), y!, [axis])))],
  samples: normalizedSamples,
  errors: normalizedErrors,
  terms: (types, { axis }) => types[0]!.shape[axis]!,
};

/** Logarithms of probabilities along an axis (the last unless said). */
export const logSoftmax: OpFunction<(x: Value, axis?: number) => Value, AxisAttrs> = withOp(
  logSoftmaxOp,
  (x, axis = -1) => bind1(logSoftmaxOp, [x], { axis: normalizeAxis("logSoftmax", axis, x.shape.length) }),
);

// Logits [..., C] with labels [...]: what both halves of the loss check.
function expectLabelled(name: string, logits: TensorType, labels: TensorType): void {
  expectDtype(name, [logits], ["float32"]);
  if (labels.dtype !== "int32") {
    throw new DtypeError(name, `labels are int32 class numbers: received ${formatType(labels)}`, {
      hint: "for probabilities as targets use −sum(targets · logSoftmax(logits))",
    });
  }
  if (logits.shape.length === 0 || logits.shape.at(-1) === 0 || !sameShape(logits.shape.slice(0, -1), labels.shape)) {
    throw new ShapeError(
      name,
      `labels need the shape of the logits without the last axis, which holds the classes: received ${formatType(logits)} and ${formatType(labels)}`,
    );
  }
}

const crossEntropyOp: OpRecord<None> = {
  name: "crossEntropy",
  doc: "The loss of logits against class numbers, row by row: `yᵣ = ln Σⱼ e^(x[r,j]) − x[r, labelᵣ]`.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types) => {
    expectInputs("crossEntropy", types, 2);
    expectLabelled("crossEntropy", types[0]!, types[1]!);
    return [{ dtype: "float32", shape: types[1]!.shape }];
  },
  // The largest logit is taken off both terms: rows with logits of ±1e4 keep their small losses.
  decompose: ([logits, labels]) => {
    const last = logits!.shape.length - 1;
    const z = centered(logits!, last);
    const chosen = takeAlongAxis(z, reshape(labels!, [...labels!.shape, 1]), last);
    return [sub(log(sum(exp(z), last)), reshape(chosen, labels!.shape))];
  },
  vjp: ({ inputs: [logits, labels], cts: [ct] }) => [crossEntropyGrad(logits!, labels!, ct!), undefined],
  samples: [
    { inputs: [float([5]), int([], 0, 4)], attrs: none },
    { inputs: [float([4, 7]), int([4], 0, 6)], attrs: none },
    { inputs: [float([2, 3, 5]), int([2, 3], 0, 4)], attrs: none },
    { inputs: [float([0, 5]), int([0], 0, 4)], attrs: none },
    { inputs: [float([3, 1]), int([3], 0, 0)], attrs: none },
    { inputs: [float([2, 131], { low: -20, high: 20 }), int([2], 0, 130)], attrs: none },
    {
      inputs: [
        float([3, 3], { values: [1e4, -1e4, 0, 1e4, -1e4, 0, 0, 0, 0] }),
        { ...int([3], 0, 2), values: [0, 1, 2] },
      ],
      attrs: none,
    },
  ],
  errors: [
    { inputs: [float([4, 7]), int([5], 0, 6)], attrs: none, message: "without the last axis" },
    { inputs: [float([4, 7]), float([4])], attrs: none, message: "int32 class numbers" },
    { inputs: [float([2, 3]), { ...int([2], 0, 2), values: [1, 3] }], attrs: none, message: "range" },
    { inputs: [float([2, 3]), { ...int([2], 0, 2), values: [-1, 0] }], attrs: none, message: "range" },
  ],
  terms: (types) => types[0]!.shape.at(-1)!,
};

/** The loss of logits `[..., C]` against class numbers `[...]`, one for each row. */
export const crossEntropy: OpFunction<(logits: Value, labels: Value) => Value, None> = withOp(
  crossEntropyOp,
  (logits, labels) => bind1(crossEntropyOp, [logits, labels], none),
);

const crossEntropyGradOp: OpRecord<None> = {
  name: "crossEntropyGrad",
  doc: "The cotangent of crossEntropy's logits: `y[r,j] = ctᵣ · (softmax(x)[r,j] − [j = labelᵣ])`.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types) => {
    expectInputs("crossEntropyGrad", types, 3);
    const [logits, labels, ct] = types as [TensorType, TensorType, TensorType];
    expectLabelled("crossEntropyGrad", logits, labels);
    if (ct.dtype !== "float32" || !sameShape(ct.shape, labels.shape)) {
      throw new ShapeError(
        "crossEntropyGrad",
        `the cotangent has one float32 for each label: received ${formatType(ct)} and ${formatType(labels)}`,
      );
    }
    return [{ dtype: "float32", shape: logits.shape }];
  },
  decompose: ([logits, labels, ct]) => {
    const last = logits!.shape.length - 1;
    const column = [...labels!.shape, 1];
    const chosen = scatterAddAlongAxis(reshape(labels!, column), reshape(ct!, column), {
      axis: last,
      size: logits!.shape[last]!,
    });
    return [sub(mul(softmax(logits!, last), spread(ct!, logits!, [last])), chosen)];
  },
  samples: [
    { inputs: [float([5]), int([], 0, 4), float([])], attrs: none },
    { inputs: [float([4, 7]), int([4], 0, 6), float([4])], attrs: none },
    { inputs: [float([2, 3, 5]), int([2, 3], 0, 4), float([2, 3])], attrs: none },
    { inputs: [float([0, 5]), int([0], 0, 4), float([0])], attrs: none },
    { inputs: [float([2, 131], { low: -20, high: 20 }), int([2], 0, 130), float([2])], attrs: none },
    {
      inputs: [
        float([2, 3], { values: [1e4, -1e4, 0, 1e4, -1e4, 0] }),
        { ...int([2], 0, 2), values: [0, 1] },
        float([2]),
      ],
      attrs: none,
    },
  ],
  errors: [
    { inputs: [float([4, 7]), int([4], 0, 6), float([5])], attrs: none, message: "one float32 for each label" },
    { inputs: [float([2, 3]), { ...int([2], 0, 2), values: [1, 3] }, float([2])], attrs: none, message: "range" },
  ],
  terms: (types) => types[0]!.shape.at(-1)!,
};

/** The cotangent of the logits of `crossEntropy`. */
export const crossEntropyGrad: OpFunction<(logits: Value, labels: Value, ct: Value) => Value, None> = withOp(
  crossEntropyGradOp,
  (logits, labels, ct) => bind1(crossEntropyGradOp, [logits, labels, ct], none),
);
