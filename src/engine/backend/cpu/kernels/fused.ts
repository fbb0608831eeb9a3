// Fused ops: rows in one pass, activations and optimizer steps as loop programs.
import { floatBits } from "../../../plan/index.ts";
import type { Lowered, LowerContext } from "../../backend.ts";
import { LoopProgram, type Register } from "./loop.ts";
import { aroundAxis, rule, sizeOf, type LowerRule, type LowerRules, type LowerTarget } from "./lowering.ts";

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

/** A rule that writes a loop program. */
function looped<A extends object>(
  write: (loop: LoopProgram, attrs: A, inputs: number) => readonly Register[],
): LowerRule {
  return rule<A>((context: LowerContext<A>, target: LowerTarget): Lowered => {
    const loop = new LoopProgram(context as never, target);
    write(loop, context.attrs, context.inputs.length).forEach((register, o) => loop.store(o, register));
    return loop.lowered();
  });
}

const gelu: LowerRule = looped<{ approximate: boolean }>((loop, { approximate }) => {
  const x = loop.load(0);
  const times = (a: Register, b: Register): Register => loop.op("mul", a, b);
  const root = Math.sqrt(2 / Math.PI);
  let bend: Register;
  if (approximate) {
    const cube = times(times(x, x), x);
    const inner = loop.op("add", times(x, loop.float(root)), times(cube, loop.float(root * 0.044715)));
    bend = loop.op("tanh", inner);
  } else bend = loop.op("erf", times(x, loop.float(Math.SQRT1_2)));
  return [times(times(x, loop.float(0.5)), loop.op("add", bend, loop.float(1)))];
});

const silu: LowerRule = looped((loop) => {
  const x = loop.load(0);
  return [loop.op("mul", x, loop.op("sigmoid", x))];
});

const sgdUpdate: LowerRule = looped<{ momentum: number; nesterov: boolean }>((loop, { momentum, nesterov }, inputs) => {
  const [param, grad, rate] = [loop.load(0), loop.load(1), loop.load(inputs - 1)];
  const stepped = (step: Register): Register => loop.op("sub", param, loop.op("mul", rate, step));
  if (inputs === 3) return [stepped(grad)];
  const mu = loop.float(momentum);
  const velocity = loop.op("add", loop.op("mul", loop.load(2), mu), grad);
  return [stepped(nesterov ? loop.op("add", grad, loop.op("mul", velocity, mu)) : velocity), velocity];
});

type AdamwAttrs = { beta1: number; beta2: number; epsilon: number; decay: number };
const adamwUpdate: LowerRule = looped<AdamwAttrs>((loop, { beta1, beta2, epsilon, decay }) => {
  const [param, grad, oldM, oldV, rate, correction1, correction2] = [0, 1, 2, 3, 4, 5, 6].map((i) => loop.load(i)) as [
    ...[Register, Register, Register, Register],
    ...[Register, Register, Register],
  ];
  const op = (name: string, ...registers: Register[]): Register => loop.op(name, ...registers);
  const blend = (old: Register, beta: number, fresh: Register): Register =>
    op("add", op("mul", old, loop.float(beta)), op("mul", fresh, loop.float(1 - beta)));
  const m = blend(oldM, beta1, grad);
  const v = blend(oldV, beta2, op("mul", grad, grad));
  const root = op("add", op("sqrt", op("div", v, correction2)), loop.float(epsilon));
  const direction = op("div", op("div", m, correction1), root);
  const kept = decay === 0 ? param : op("mul", param, op("add", op("mul", rate, loop.float(-decay)), loop.float(1)));
  return [op("sub", kept, op("mul", rate, direction)), m, v];
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
  gelu,
  silu,
  sgdUpdate,
  adamwUpdate,
};
