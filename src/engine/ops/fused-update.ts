// Steps of the optimizers as ops: one pass over each parameter and its state.
import { ArgumentError, checkRange, formatType, sameShape, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, SampleInput, Value } from "../program/index.ts";
import { add, div, mul, sub } from "./arith.ts";
import { bind, expectDtype, expectSame, float, withOp, type OpFunction } from "./define.ts";
import { scaled, shifted, spreadScalar } from "./fused-parts.ts";
import { sqrt } from "./math.ts";

// Arrays of one type, then scalars: what every update takes.
function expectUpdate(name: string, arrays: readonly TensorType[], scalars: readonly TensorType[]): TensorType {
  expectDtype(name, [...arrays, ...scalars], ["float32"]);
  expectSame(name, arrays);
  if (scalars.some(({ shape }) => !sameShape(shape, []))) {
    throw new ShapeError(name, `rates and corrections are scalars: received ${scalars.map(formatType).join(" and ")}`);
  }
  return { dtype: "float32", shape: arrays[0]!.shape };
}

const rate: SampleInput = float([], { low: 0.05, high: 0.2 });

type SgdAttrs = { readonly momentum: number; readonly nesterov: boolean };

const sgdUpdateOp: OpRecord<SgdAttrs> = {
  name: "sgdUpdate",
  doc: "Gradient descent, with or without momentum: `p′ = p − η g`; with a velocity `v′ = μ v + g`, `p′ = p − η v′`, or with Nesterov's look-ahead `p′ = p − η (g + μ v′)`. The velocity holds gradients, as in PyTorch; Keras's holds −η times them, which is the same while η stays.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { momentum, nesterov }) => {
    if (types.length !== 3 && types.length !== 4) {
      throw new ShapeError("sgdUpdate", `takes param, grad, perhaps a velocity, rate: received ${types.length} inputs`);
    }
    const arrays = types.slice(0, -1);
    const type = expectUpdate("sgdUpdate", arrays, types.slice(-1));
    checkRange("sgdUpdate", "momentum", momentum, 0, 1);
    if (types.length === 3 && (momentum !== 0 || nesterov)) {
      throw new ArgumentError("sgdUpdate", `momentum needs a velocity: received momentum ${momentum}`);
    }
    return types.length === 3 ? [type] : [type, type];
  },
  decompose: (inputs, { momentum, nesterov }) => {
    const [param, grad] = inputs as [Value, Value];
    const eta = spreadScalar(inputs.at(-1)!, param);
    if (inputs.length === 3) return [sub(param, mul(eta, grad))];
    const velocity = add(scaled(inputs[2]!, momentum), grad);
    const step = nesterov ? add(grad, scaled(velocity, momentum)) : velocity;
    return [sub(param, mul(eta, step)), velocity];
  },
  samples: [
    ...[[], [5], [0], [3, 37]].flatMap((shape) => [
      { inputs: [float(shape), float(shape), rate], attrs: { momentum: 0, nesterov: false } },
      { inputs: [float(shape), float(shape), float(shape), rate], attrs: { momentum: 0.9, nesterov: false } },
    ]),
    { inputs: [float([4]), float([4]), float([4]), rate], attrs: { momentum: 0.9, nesterov: true } },
  ],
  errors: [
    { inputs: [float([4]), float([5]), rate], attrs: { momentum: 0, nesterov: false }, message: "shapes differ" },
    { inputs: [float([4]), float([4]), float([4])], attrs: { momentum: 0, nesterov: false }, message: "are scalars" },
    { inputs: [float([4]), float([4]), rate], attrs: { momentum: 0.9, nesterov: false }, message: "needs a velocity" },
    {
      inputs: [float([4]), float([4]), float([4]), rate],
      attrs: { momentum: -1, nesterov: false },
      message: "`momentum` must be",
    },
  ],
};

/** One step of gradient descent; with a velocity, the new one too. `rate` is a scalar. */
export const sgdUpdate: OpFunction<
  (
    inputs: { param: Value; grad: Value; velocity?: Value | undefined; rate: Value },
    options?: Partial<SgdAttrs>,
  ) => readonly Value[],
  SgdAttrs
> = withOp(sgdUpdateOp, ({ param, grad, velocity, rate: eta }, { momentum = 0, nesterov = false } = {}) =>
  bind(sgdUpdateOp, velocity === undefined ? [param, grad, eta] : [param, grad, velocity, eta], { momentum, nesterov }),
);

type AdamwAttrs = {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
};

const adamwUpdateOp: OpRecord<AdamwAttrs> = {
  name: "adamwUpdate",
  doc: "Adam with decoupled weight decay: `m′ = β₁ m + (1 − β₁) g`, `v′ = β₂ v + (1 − β₂) g²`, `p′ = (1 − η λ) p − η (m′/c₁)/(√(v′/c₂) + ε)` with corrections `c = 1 − βᵗ` (Kingma & Ba 2014, Loshchilov & Hutter 2017; ε placed as in PyTorch). Decay 0 is Adam.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { beta1, beta2, epsilon, decay }) => {
    if (types.length !== 7) {
      throw new ShapeError(
        "adamwUpdate",
        `takes param, grad, m, v, rate, correction1, correction2: received ${types.length} inputs`,
      );
    }
    const type = expectUpdate("adamwUpdate", types.slice(0, 4), types.slice(4));
    checkRange("adamwUpdate", "beta1", beta1, 0, 1);
    checkRange("adamwUpdate", "beta2", beta2, 0, 1);
    checkRange("adamwUpdate", "epsilon", epsilon, 0);
    checkRange("adamwUpdate", "decay", decay, 0);
    return [type, type, type];
  },
  decompose: (inputs, { beta1, beta2, epsilon, decay }) => {
    const [param, grad, oldM, oldV, eta, correction1, correction2] = inputs as [
      ...[Value, Value, Value, Value],
      ...[Value, Value, Value],
    ];
    const m = add(scaled(oldM, beta1), scaled(grad, 1 - beta1));
    const v = add(scaled(oldV, beta2), scaled(mul(grad, grad), 1 - beta2));
    const meanOf = (moment: Value, correction: Value): Value => div(moment, spreadScalar(correction, moment));
    const direction = div(meanOf(m, correction1), shifted(sqrt(meanOf(v, correction2)), epsilon));
    const kept = decay === 0 ? param : mul(param, spreadScalar(shifted(scaled(eta, -decay), 1), param));
    return [sub(kept, mul(spreadScalar(eta, param), direction)), m, v];
  },
  samples: [[], [5], [0], [3, 37]].flatMap((shape) =>
    [0, 0.01].map((decay) => ({
      inputs: [
        float(shape),
        float(shape),
        float(shape),
        float(shape, { low: 0.1, high: 2 }),
        rate,
        float([], { low: 0.1, high: 1 }),
        float([], { low: 0.1, high: 1 }),
      ],
      attrs: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay },
    })),
  ),
  errors: [
    {
      inputs: [...[0, 1, 2, 3].map((i) => float([4 + (i === 3 ? 1 : 0)])), rate, rate, rate],
      attrs: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0 },
      message: "shapes differ",
    },
    {
      inputs: [...[0, 1, 2, 3].map(() => float([4])), rate, rate, rate],
      attrs: { beta1: 1.5, beta2: 0.999, epsilon: 1e-8, decay: 0 },
      message: "`beta1` must be",
    },
    {
      inputs: [float([4]), float([4]), rate],
      attrs: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0 },
      message: "takes param, grad, m, v",
    },
  ],
};

/** One step of AdamW: the new parameter and moments. `rate` and the corrections `1 − βᵗ` are scalars. */
export const adamwUpdate: OpFunction<
  (
    inputs: {
      param: Value;
      grad: Value;
      m: Value;
      v: Value;
      rate: Value;
      correction1: Value;
      correction2: Value;
    },
    options?: Partial<AdamwAttrs>,
  ) => readonly Value[],
  AdamwAttrs
> = withOp(
  adamwUpdateOp,
  (
    { param, grad, m, v, rate: eta, correction1, correction2 },
    { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0 } = {},
  ) => bind(adamwUpdateOp, [param, grad, m, v, eta, correction1, correction2], { beta1, beta2, epsilon, decay }),
);
