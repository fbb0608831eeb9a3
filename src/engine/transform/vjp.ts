// Reverse-mode differentiation, program to program: the chain rule applied to each equation in reverse order.
import { sizeOf, TraceError, type TensorType } from "../core/index.ts";
import {
  bind,
  currentTrace,
  Program,
  trace,
  type Differentiator,
  type Equation,
  type Op,
  type Value,
} from "../program/index.ts";
import { add, full } from "../ops/index.ts";

/** The outputs of a differentiated program, and the map from their cotangents to those of its inputs. */
export interface Differentiated {
  readonly outputs: readonly Value[];
  /** Cotangents of the inputs asked for; `undefined` where an input has no influence. */
  readonly pullback: (cts: readonly (Value | undefined)[]) => (Value | undefined)[];
}

type Pull = (cts: readonly (Value | undefined)[]) => readonly (Value | undefined)[];

/**
 * Writes the forward part of `program` into the open trace and returns its pullback, which writes the backward part.
 * `wrt` names the inputs whose cotangents are wanted; nothing is computed for the others.
 */
export function differentiate(program: Program, args: readonly Value[], wrt: readonly number[]): Differentiated {
  const env = new Map<Value, Value>();
  program.inputs.forEach((input, i) => env.set(input, args[i]!));
  const read = (value: Value): Value => env.get(value)!;
  // Only values that depend on a wanted input take part in the backward pass.
  const active = new Set<Value>(wrt.map((i) => program.inputs[i]!).filter((input) => input.dtype === "float32"));
  const tape: { equation: Equation; pull: Pull }[] = [];

  for (const equation of program.equations) {
    const inputs = equation.inputs.map(read);
    const live = equation.op.nondifferentiable !== true && equation.inputs.some((value) => active.has(value));
    const { outputs, pull } = live
      ? forward(
          equation.op,
          inputs,
          equation.attrs,
          equation.inputs.map((value) => active.has(value)),
        )
      : { outputs: bind(equation.op, inputs, equation.attrs), pull: undefined };
    equation.outputs.forEach((output, i) => env.set(output, outputs[i]!));
    if (pull === undefined) continue;
    tape.push({ equation, pull });
    for (const output of equation.outputs) if (output.dtype === "float32") active.add(output);
  }

  const pullback = (cts: readonly (Value | undefined)[]): (Value | undefined)[] => {
    const cotangents = new Map<Value, Value>();
    const accumulate = (value: Value, ct: Value | undefined): void => {
      if (ct === undefined || !active.has(value)) return;
      const sum = cotangents.get(value);
      cotangents.set(value, sum === undefined ? ct : add(sum, ct));
    };
    program.outputs.forEach((output, i) => accumulate(output, cts[i]));
    for (const { equation, pull } of tape.toReversed()) {
      const ct = equation.outputs.map((output) => cotangents.get(output));
      if (ct.every((c) => c === undefined)) continue;
      pull(ct).forEach((c, i) => accumulate(equation.inputs[i]!, c));
    }
    return wrt.map((i) => cotangents.get(program.inputs[i]!));
  };
  return { outputs: program.outputs.map(read), pullback };
}

// One equation forward, with what its backward step needs: the op's own rule, or that of its decomposition.
function forward(
  op: Op,
  inputs: readonly Value[],
  attrs: never,
  wanted: readonly boolean[],
): { outputs: readonly Value[]; pull: Pull } {
  if (op.linearize !== undefined) {
    const { outputs, pullback } = op.linearize({ inputs, wanted, attrs, differentiator });
    return { outputs, pull: pullback };
  }
  if (op.vjp !== undefined) {
    const rule = op.vjp;
    const outputs = bind(op, inputs, attrs);
    return { outputs, pull: (cts) => rule({ inputs, outputs, cts, attrs }) };
  }
  if (op.decompose !== undefined) {
    const decompose = op.decompose;
    const { program } = trace(inputs, (values) => decompose(values, attrs));
    const { outputs, pullback } = differentiate(
      program,
      inputs,
      inputs.map((_, i) => i),
    );
    return { outputs, pull: pullback };
  }
  throw new TraceError(op.name, "has no gradient", {
    hint: "give its record a `vjp`, or mark it nondifferentiable if it is flat",
  });
}

/**
 * The program that computes the outputs of `program` and the cotangents of the inputs `wrt`.
 * Inputs: those of `program`, then one cotangent for each float output. An input without influence gets zeros.
 */
export function vjp(program: Program, wrt: readonly number[]): Program {
  const floats = program.outputs.filter((output) => output.dtype === "float32");
  const { program: result } = trace([...program.inputs, ...floats], (values) => {
    const args = values.slice(0, program.inputs.length);
    const { outputs, pullback } = differentiate(program, args, wrt);
    let next = program.inputs.length;
    const cts = program.outputs.map((output) => (output.dtype === "float32" ? values[next++] : undefined));
    return [
      ...outputs,
      ...orZeros(
        pullback(cts),
        wrt.map((i) => program.inputs[i]!),
      ),
    ];
  });
  return result;
}

/** Zeros where a cotangent is missing. */
export function orZeros(cts: readonly (Value | undefined)[], types: readonly TensorType[]): Value[] {
  return cts.map((ct, i) => ct ?? full(0, types[i]!));
}

/**
 * Splits a program and its gradient in two.
 * `forward`: inputs → outputs, then residuals (what the backward part reads of the forward part besides the inputs).
 * `backward`: inputs, residuals, cotangents of the float outputs → cotangents of the inputs `wrt` (zeros where there is no influence).
 */
export function linearize(
  program: Program,
  wrt: readonly number[],
): { forward: Program; backward: Program; residuals: number } {
  let boundary = 0;
  let cotangents: Value[] = [];
  let forwardOutputs: readonly Value[] = [];
  const floats = program.outputs.filter((output) => output.dtype === "float32");
  const { program: joint } = trace([...program.inputs, ...floats], (values) => {
    const args = values.slice(0, program.inputs.length);
    const { outputs, pullback } = differentiate(program, args, wrt);
    boundary = currentTrace()!.equations.length;
    cotangents = values.slice(program.inputs.length);
    forwardOutputs = outputs;
    let next = 0;
    const cts = program.outputs.map((output) => (output.dtype === "float32" ? cotangents[next++] : undefined));
    return orZeros(
      pullback(cts),
      wrt.map((i) => program.inputs[i]!),
    );
  });
  const inputs = joint.inputs.slice(0, program.inputs.length);
  const first = joint.equations.slice(0, boundary);
  // Constants cost less to make again than to keep.
  const created = first.filter((equation) => equation.inputs.length === 0 && equation.op.traits.kind === "create");
  const second = [...created, ...joint.equations.slice(boundary)];
  const known = new Set<Value>([...inputs, ...cotangents, ...second.flatMap((equation) => equation.outputs)]);
  const residuals = new Set<Value>();
  for (const value of [...second.flatMap((equation) => equation.inputs), ...joint.outputs])
    if (!known.has(value)) residuals.add(value);
  return {
    forward: new Program(inputs, first, [...forwardOutputs, ...residuals]),
    backward: new Program([...inputs, ...residuals, ...cotangents], second, joint.outputs),
    residuals: residuals.size,
  };
}

/** What control-flow ops are given to differentiate their bodies. */
export const differentiator: Differentiator = { linearize };

/**
 * The program of a scalar function and its gradient: outputs are those of `program`, then the gradients of the inputs `wrt`.
 * The first output must be a float scalar; the others are carried along without gradient.
 */
export function valueAndGrad(program: Program, wrt: readonly number[]): Program {
  const loss = program.outputs[0];
  if (loss === undefined || loss.dtype !== "float32" || sizeOf(loss.shape) !== 1 || loss.shape.length !== 0) {
    throw new TraceError(
      "grad",
      `the function must return a float32 scalar: received ${loss === undefined ? "nothing" : loss.toString()}`,
      {
        hint: "reduce the loss with mean() or sum(), or use vjp with a cotangent",
      },
    );
  }
  for (const i of wrt) {
    const input = program.inputs[i];
    if (input?.dtype !== "float32")
      throw new TraceError("grad", `input ${i} is not float32: received ${String(input)}`, {
        hint: "integers have no gradient",
      });
  }
  const { program: result } = trace(program.inputs, (args) => {
    const { outputs, pullback } = differentiate(program, args, wrt);
    const cts = program.outputs.map((_, i) => (i === 0 ? full(1, loss) : undefined));
    return [
      ...outputs,
      ...orZeros(
        pullback(cts),
        wrt.map((i) => program.inputs[i]!),
      ),
    ];
  });
  return result;
}
