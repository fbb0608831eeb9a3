// Element-wise ops: each is a loop program of one instruction, or of a few.
import type { DType } from "../../../core/index.ts";
import type { Lowered } from "../../backend.ts";
import { LoopProgram } from "./loop.ts";
import { rule, type LowerRule, type LowerRules } from "./lowering.ts";

// float32 instructions have the op's own name; int32 ones end in Int, those that tell uint32 from int32 in Uint.
function instruction(name: string, dtype: DType): string {
  if (dtype === "float32") return name;
  const signed = /^(less|greater)/.test(name);
  return dtype === "uint32" && signed ? `${name}Uint` : `${name}Int`;
}

const numeric: LowerRule = rule((context, target) => {
  const { op, inputs } = context;
  const loop = new LoopProgram(context as never, target);
  const registers = inputs.map((_, i) => loop.load(i));
  loop.store(0, loop.op(instruction(op.name, inputs[0]!.dtype), ...registers));
  return loop.lowered();
});

const logical: LowerRule = rule((context, target) => {
  const loop = new LoopProgram(context as never, target);
  const registers = context.inputs.map((_, i) => loop.load(i));
  loop.store(0, loop.op(context.op.name === "where" ? "select" : context.op.name, ...registers));
  return loop.lowered();
});

const clamp: LowerRule = rule<{ low: number; high: number }>((context, target) => {
  const { attrs, inputs } = context;
  const float = inputs[0]!.dtype === "float32";
  const loop = new LoopProgram(context as never, target);
  // Bounds outside int32 never bind; bounds between whole numbers have no int32 meaning.
  const bound = (x: number): number | undefined =>
    float ? loop.float(x) : Math.abs(x) >= 2 ** 31 || Number.isInteger(x) ? loop.int(clampInt(x)) : undefined;
  const low = bound(attrs.low);
  const high = bound(attrs.high);
  if (low === undefined || high === undefined) return undefined;
  const above = loop.op(float ? "maximum" : "maximumInt", loop.load(0), low);
  loop.store(0, loop.op(float ? "minimum" : "minimumInt", above, high));
  return loop.lowered();
});

function clampInt(x: number): number {
  return Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, x));
}

const conversions: { readonly [fromTo: string]: string } = {
  "float32 int32": "floatToInt",
  "float32 uint32": "floatToUint",
  "float32 bool": "floatToBool",
  "int32 float32": "intToFloat",
  "uint32 float32": "uintToFloat",
  "bool float32": "intToFloat",
  "int32 bool": "intToBool",
  "uint32 bool": "intToBool",
};

const cast: LowerRule = rule<{ dtype: DType }>((context, target): Lowered => {
  const from = context.inputs[0]!.dtype;
  const to = context.attrs.dtype;
  const whole = (dtype: DType): boolean => dtype === "int32" || dtype === "uint32";
  if (from === to || (whole(from) && whole(to))) return { view: 0 }; // the bits stay
  const loop = new LoopProgram(context as never, target);
  const convert = conversions[`${from} ${to}`];
  const x = loop.load(0);
  loop.store(0, convert === undefined ? x : loop.op(convert, x));
  return loop.lowered();
});

const numericOps =
  "neg abs sign floor ceil round exp expm1 log log1p sqrt rsqrt sin cos tan tanh sigmoid erf isFinite " +
  "add sub mul div pow maximum minimum remainder equal notEqual less lessEqual greater greaterEqual";
const logicalOps = "logicalAnd logicalOr logicalNot where";

/** Rules of the element-wise ops. */
export const elementwiseRules: LowerRules = {
  ...Object.fromEntries(numericOps.split(" ").map((name) => [name, numeric])),
  ...Object.fromEntries(logicalOps.split(" ").map((name) => [name, logical])),
  clamp,
  cast,
};
