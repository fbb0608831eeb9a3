// The generated tests of an op record: everything here is made from its samples and refused inputs.
import {
  ChainruleError,
  formatType,
  fromBfloat16,
  sameType,
  sizeOf,
  toBfloat16,
  type HostArray,
  type TensorType,
} from "../engine/core/index.ts";
import { anyOp, bind, trace, type Attrs, type Op, type OpRecord, type Program } from "../engine/program/index.ts";
import { device as deviceOf, type Device } from "../engine/runtime/index.ts";
import { vjp } from "../engine/transform/index.ts";
import { assertClose, CheckError, type Tolerance } from "./all-close.ts";
import { cotangents, gradCheckProgram } from "./grad-check.ts";
import { runner } from "./runner.ts";
import { drawSamples } from "./sample.ts";

/** Programs with more input elements than this are not differentiated twice. */
const SECOND_ORDER_ELEMENTS = 40;

/**
 * Throws CheckError unless an op keeps what its record says, on all its samples: the evaluated shape is the shape rule's,
 * `evaluate` and `decompose` agree, gradients agree with central differences in float64 (twice for small samples), and
 * refused inputs give the stated error. With a `device`, its results and gradients also equal the reference's.
 *
 * @example
 * checkOp(crossEntropyGrad.op);
 */
export function checkOp<A extends Attrs>(record: OpRecord<A>, options: { readonly device?: Device } = {}): void {
  const op = anyOp(record);
  if (op.samples.length === 0) throw new CheckError(op.name, "has no samples: nothing of it is tested");
  op.samples.forEach((_, index) => {
    checkSample(op, index);
    if (options.device !== undefined) checkSampleOn(op, index, options.device);
  });
  op.errors.forEach((_, index) => checkRefusal(op, index, options.device ?? deviceOf("reference")));
}

/** `gather, sample 2 (float32[2,3], int32[2])`. */
export function describeSample(op: Op, index: number): string {
  const { inputs } = op.samples[index]!;
  return `${op.name}, sample ${index} (${inputs.map(formatType).join(", ")})`;
}

/** Checks sample number `index` on the reference device: shape, decomposition, gradient, second gradient. */
export function checkSample(op: Op, index: number): void {
  const sample = op.samples[index]!;
  const what = describeSample(op, index);
  const inputs = drawSamples(sample.inputs, index);
  const types = op.shape(sample.inputs, sample.attrs);
  checkEvaluated(op, { what, types, inputs, index });
  if (op.decompose !== undefined) checkDecomposed(op, { what, types, inputs, index });

  const wrt = gradientInputs(op, index);
  if (wrt.length === 0) return;
  if (op.vjp === undefined && op.linearize === undefined && op.decompose === undefined) {
    throw new CheckError(what, "has no gradient and is not marked nondifferentiable");
  }
  const program = sampleProgram(op, index);
  gradCheckProgram(program, inputs, { what, wrt });

  const weights = cotangents(program, index).map(({ array }) => array);
  const again = [...wrt, ...weights.map((_, i) => inputs.length + i)];
  const points = [...inputs, ...weights];
  if (again.reduce((total, i) => total + points[i]!.size, 0) > SECOND_ORDER_ELEMENTS) return;
  gradCheckProgram(vjp(program, wrt), points, { what: `${what}, second gradient`, wrt: again });
}

/** Checks that a device gives the reference's results and gradients on sample number `index`. */
export function checkSampleOn(op: Op, index: number, device: Device): void {
  const what = `${describeSample(op, index)} on ${device.name}`;
  const inputs = drawSamples(op.samples[index]!.inputs, index);
  const program = sampleProgram(op, index);
  const terms = op.terms?.(op.samples[index]!.inputs, op.samples[index]!.attrs) ?? 1;
  compareOn(program, inputs, { what, terms, device });

  const wrt = gradientInputs(op, index);
  if (wrt.length === 0) return;
  const weights = cotangents(program, index).map(({ array }) => array);
  // A gradient may sum over everything its op spreads.
  const spread = Math.max(terms, ...[...program.inputs, ...program.outputs].map(({ shape }) => sizeOf(shape)));
  compareOn(vjp(program, wrt), [...inputs, ...weights], { what: `${what}, gradient`, terms: spread, device });
}

/** Checks that refused input number `index` gives an error of this package with the stated message, when shaped or when run. */
export function checkRefusal(op: Op, index: number, device: Device): void {
  const { inputs, attrs, message } = op.errors[index]!;
  const what = `${op.name}, refused input ${index} (${inputs.map(formatType).join(", ")})`;
  try {
    const { program } = trace(inputs, (values) => bind(op, values, attrs));
    runner(program, device)(drawSamples(inputs, index));
  } catch (error) {
    if (!(error instanceof ChainruleError)) throw error;
    const matches = typeof message === "string" ? error.message.includes(message) : message.test(error.message);
    if (matches) return;
    throw new CheckError(what, `expected a message with ${String(message)}: received ${error.message}`, {
      cause: error,
    });
  }
  throw new CheckError(what, `was not refused on ${device.name}: expected ${String(message)}`);
}

interface Case {
  readonly what: string;
  readonly types: readonly TensorType[];
  readonly inputs: readonly HostArray<"float64">[];
  readonly index: number;
}

function sampleProgram(op: Op, index: number): Program {
  const { inputs, attrs } = op.samples[index]!;
  return trace(inputs, (values) => bind(op, values, attrs)).program;
}

// Inputs whose gradient is checked: float32 inputs of an op with a float32 output.
function gradientInputs(op: Op, index: number): readonly number[] {
  const { inputs, attrs, wrt } = op.samples[index]!;
  if (op.nondifferentiable === true || op.shape(inputs, attrs).every(({ dtype }) => dtype !== "float32")) return [];
  return wrt ?? inputs.flatMap((input, i) => (input.dtype === "float32" ? [i] : []));
}

function checkEvaluated(op: Op, { what, types, inputs, index }: Case): void {
  const { evaluate } = op;
  if (evaluate === undefined) {
    if (op.decompose === undefined && op.loop === undefined)
      throw new CheckError(what, "has neither evaluate nor decompose");
    return;
  }
  const sample = op.samples[index]!;
  const results = evaluate(
    inputs.map(({ data }) => data.slice()),
    sample.attrs,
    { inputs: sample.inputs, outputs: types },
  );
  if (results.length !== types.length)
    throw new CheckError(what, `gives ${results.length} results, its rule ${types.length}`);
  types.forEach((type, i) => {
    if (results[i]!.length !== sizeOf(type.shape)) {
      throw new CheckError(what, `result ${i} has ${results[i]!.length} elements, its rule says ${formatType(type)}`);
    }
    const alien = results[i]!.find((x) => !holds(type.dtype, x));
    if (alien !== undefined) throw new CheckError(what, `result ${i} holds ${alien}, which is no ${type.dtype}`);
  });
}

function holds(dtype: TensorType["dtype"], x: number): boolean {
  if (dtype === "float32") return true;
  if (dtype === "bfloat16") return Object.is(x, fromBfloat16(toBfloat16(x)));
  if (dtype === "bool") return x === 0 || x === 1;
  return dtype === "int32" ? x === (x | 0) : x === x >>> 0;
}

function checkDecomposed(op: Op, { what, types, inputs, index }: Case): void {
  const { attrs, inputs: declared } = op.samples[index]!;
  const { program } = trace(declared, (values) => op.decompose!(values, attrs));
  const fits = program.outputs.length === types.length && program.outputs.every((y, i) => sameType(y, types[i]!));
  if (!fits) {
    throw new CheckError(
      what,
      `its decomposition gives ${program.outputs.map(formatType).join(", ")}, its rule ${types.map(formatType).join(", ")}`,
    );
  }
  const reference = deviceOf("reference");
  const expected = runner(program, reference)(inputs);
  runner(
    sampleProgram(op, index),
    reference,
  )(inputs).forEach((actual, i) =>
    assertClose(actual, expected[i]!, { what: `${what}, decomposed`, rtol: 1e-9, atol: 1e-12 }),
  );
}

// Integers and booleans are equal; floats within float32's tolerance, which grows with the root of the terms summed.
function compareOn(
  program: Program,
  inputs: readonly HostArray[],
  { what, terms, device }: { what: string; terms: number; device: Device },
): void {
  const growth = Math.sqrt(Math.max(1, terms));
  const close: Tolerance = { rtol: 1.3e-6 * growth, atol: 1e-5 * growth };
  const expected = runner(program, deviceOf("reference"))(inputs);
  runner(
    program,
    device,
  )(inputs).forEach((actual, i) => {
    const tolerance = program.outputs[i]!.dtype === "float32" ? close : { rtol: 0, atol: 0 };
    assertClose(actual, expected[i]!, { what: `${what}, output ${i}`, ...tolerance });
  });
}
