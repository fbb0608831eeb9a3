// How each element-wise op is written in a loop program: alone, or as a part of a fused group.
import type { DType, TensorType } from "../../../core/index.ts";
import type { LoopProgram, Register } from "./loop.ts";

/** An op to be written: its name, attributes and the types of its inputs. */
export interface Emitted<A extends object = never> {
  readonly name: string;
  readonly attrs: A;
  readonly inputs: readonly TensorType[];
}

/** Writes an op on registers; `undefined` where the loop kernel cannot say it. */
export type Emit = (loop: LoopProgram, op: Emitted, inputs: readonly Register[]) => readonly Register[] | undefined;

function emit<A extends object>(
  write: (loop: LoopProgram, op: Emitted<A>, inputs: readonly Register[]) => readonly Register[] | undefined,
): Emit {
  return write;
}

// float32 instructions have the op's own name; int32 ones end in Int, those that tell uint32 from int32 in Uint.
function instruction(name: string, dtype: DType): string {
  if (dtype === "float32") return name;
  const signed = /^(less|greater)/.test(name);
  return dtype === "uint32" && signed ? `${name}Uint` : `${name}Int`;
}

const numeric: Emit = (loop, { name, inputs }, registers) => [
  loop.op(instruction(name, inputs[0]!.dtype), ...registers),
];

const logical: Emit = (loop, { name }, registers) => [loop.op(name === "where" ? "select" : name, ...registers)];

const clamp: Emit = emit<{ low: number; high: number }>((loop, { attrs, inputs }, [x]) => {
  const float = inputs[0]!.dtype === "float32";
  // Bounds outside int32 never bind; bounds between whole numbers have no int32 meaning.
  const bound = (b: number): Register | undefined =>
    float ? loop.float(b) : Math.abs(b) >= 2 ** 31 || Number.isInteger(b) ? loop.int(clampInt(b)) : undefined;
  const low = bound(attrs.low);
  const high = bound(attrs.high);
  if (low === undefined || high === undefined) return undefined;
  const above = loop.op(float ? "maximum" : "maximumInt", x!, low);
  return [loop.op(float ? "minimum" : "minimumInt", above, high)];
});

function clampInt(x: number): number {
  return Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, x));
}

const conversions: { readonly [fromTo: string]: string } = {
  "float32 bfloat16": "nearestHalf",
  "float32 int32": "floatToInt",
  "float32 uint32": "floatToUint",
  "float32 bool": "floatToBool",
  "int32 float32": "intToFloat",
  "uint32 float32": "uintToFloat",
  "bool float32": "intToFloat",
  "int32 bool": "intToBool",
  "uint32 bool": "intToBool",
};

// Between other dtypes the bits stay.
const cast: Emit = emit<{ dtype: DType }>((loop, { attrs, inputs }, [x]) => {
  const convert = conversions[`${inputs[0]!.dtype} ${attrs.dtype}`];
  return [convert === undefined ? x! : loop.op(convert, x!)];
});

const roundRandomly: Emit = emit<{ upper: boolean }>((loop, { attrs: { upper } }, [x, bits]) => [
  loop.op(upper ? "randomHalfUpper" : "randomHalf", x!, bits!),
]);

const gelu: Emit = emit<{ approximate: boolean }>((loop, { attrs: { approximate } }, [x]) => {
  const times = (a: Register, b: Register): Register => loop.op("mul", a, b);
  const root = Math.sqrt(2 / Math.PI);
  let bend: Register;
  if (approximate) {
    const cube = times(times(x!, x!), x!);
    const inner = loop.op("add", times(x!, loop.float(root)), times(cube, loop.float(root * 0.044715)));
    bend = loop.op("tanh", inner);
  } else bend = loop.op("erf", times(x!, loop.float(Math.SQRT1_2)));
  return [times(times(x!, loop.float(0.5)), loop.op("add", bend, loop.float(1)))];
});

const silu: Emit = (loop, _, [x]) => [loop.op("mul", x!, loop.op("sigmoid", x!))];

const sgdUpdate: Emit = emit<{ momentum: number; nesterov: boolean }>((loop, { attrs }, inputs) => {
  const { momentum, nesterov } = attrs;
  const [param, grad, rate] = [inputs[0]!, inputs[1]!, inputs.at(-1)!];
  const stepped = (step: Register): Register => loop.op("sub", param, loop.op("mul", rate, step));
  if (inputs.length === 3) return [stepped(grad)];
  const mu = loop.float(momentum);
  const velocity = loop.op("add", loop.op("mul", inputs[2]!, mu), grad);
  return [stepped(nesterov ? loop.op("add", grad, loop.op("mul", velocity, mu)) : velocity), velocity];
});

type AdamwAttrs = { beta1: number; beta2: number; epsilon: number; decay: number };
const adamwUpdate: Emit = emit<AdamwAttrs>((loop, { attrs: { beta1, beta2, epsilon, decay } }, inputs) => {
  const [param, grad, oldM, oldV, rate, correction1, correction2] = inputs as [
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

const numericOps =
  "neg abs sign floor ceil round exp expm1 log log1p sqrt rsqrt sin cos tan tanh sigmoid erf isFinite " +
  "add sub mul div pow maximum minimum remainder equal notEqual less lessEqual greater greaterEqual";
const logicalOps = "logicalAnd logicalOr logicalNot where";

/** Every op the loop kernel runs, by name. */
export const emitters: ReadonlyMap<string, Emit> = new Map([
  ...numericOps.split(" ").map((name) => [name, numeric] as const),
  ...logicalOps.split(" ").map((name) => [name, logical] as const),
  ...Object.entries({ clamp, cast, roundRandomly, gelu, silu, sgdUpdate, adamwUpdate }),
]);

/** The ops among them that the kernel cannot run with every attribute. */
export const partial: ReadonlySet<string> = new Set(["clamp"]);
