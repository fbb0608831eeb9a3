// fold: what depends on constants alone is computed now, in float64. Numbers that are equal everywhere stay one number.
import { HostArray, sizeOf, type TensorType } from "../../core/index.ts";
import { constant, full } from "../../ops/index.ts";
import type { Equation, Program, Value } from "../../program/index.ts";
import { rewriteProgram } from "../rewrite.ts";

/** Larger constants than this are cheaper to compute at run time than to carry in the plan. */
const MAX_FOLDED = 1024;

export function fold(program: Program): Program {
  return rewriteProgram(program, (equation, inputs, producer) => {
    const { op, attrs, outputs } = equation;
    if (op.traits.opaque === true || inputs.length === 0 || op.evaluate === undefined || outputs.length !== 1)
      return undefined;
    const makers = inputs.map(producer);
    if (makers.some((maker) => maker === undefined || maker.inputs.length > 0 || maker.op.evaluate === undefined))
      return undefined;
    const output = outputs[0]!;
    if (output.dtype === "bfloat16" && op.traits.kind !== "elementwise") return undefined; // constants are what is computed with
    const known = makers as Equation[];

    // Element-wise ops of single numbers, and moves of one: still a single number.
    const { kind } = op.traits;
    if (
      (kind === "elementwise" || (kind === "layout" && inputs.length === 1)) &&
      known.every((maker) => maker.op === (full.op as never))
    ) {
      const scalars = inputs.map((value): TensorType => ({
        dtype: value.dtype,
        shape: kind === "elementwise" ? [] : value.shape,
      }));
      if (kind === "elementwise") {
        const types = { inputs: scalars, outputs: [{ dtype: output.dtype, shape: [] }] };
        const [result] = op.evaluate(known.map(valueOfFull), attrs, types);
        return [full(result![0]!, output)];
      }
      if (movesOnly(equation)) return [full(valueOfFull(known[0]!)[0]!, output)];
    }
    if (sizeOf(output.shape) > MAX_FOLDED || inputs.some((value) => sizeOf(value.shape) > MAX_FOLDED)) return undefined;
    const arrays = known.map(
      (maker) => maker.op.evaluate!([], maker.attrs, { inputs: [], outputs: maker.outputs })[0]!,
    );
    const [result] = op.evaluate(arrays, attrs, { inputs, outputs: [output] });
    return [literal(result!, output)];
  });
}

function valueOfFull(maker: Equation): Float64Array {
  return Float64Array.of((maker.attrs as { value: number }).value);
}

// Padding brings a second number in; every other layout op of one input only repeats, drops or reorders.
function movesOnly({ op, attrs }: Equation): boolean {
  return op.traits.kind === "layout" && !("value" in (attrs as object));
}

function literal(values: Float64Array, type: TensorType): Value {
  const first = values[0];
  if (first !== undefined && values.every((x) => Object.is(x, first))) return full(first, type);
  // Floats stay in float64, so that the reference loses nothing.
  const array =
    type.dtype === "float32" ? new HostArray("float64", type.shape, values) : new HostArray(type.dtype, type.shape);
  if (type.dtype !== "float32") values.forEach((x, i) => array.set(i, x));
  return constant(array);
}
