// Drawing the inputs of generated tests: the same numbers on every machine, from the counter-based generator.
import {
  ArgumentError,
  foldIn,
  formatType,
  fromBfloat16,
  HostArray,
  isFloat,
  keyOf,
  permutation,
  sizeOf,
  threefry,
  toBfloat16,
  type HostKey,
} from "../engine/core/index.ts";
import type { SampleInput } from "../engine/program/index.ts";

const ranges = { float32: [-2, 2], bfloat16: [-2, 2], int32: [-9, 9], uint32: [0, 9], bool: [0, 1] } as const;

/**
 * The numbers of one sample input, as float64 (exact in its dtype): its `values`, else uniform in `[low, high]`,
 * whole numbers for integers, all different where `distinct`. Ranges not given are [−2, 2], [−9, 9], [0, 9] and [0, 1].
 *
 * @example
 * drawSample({ dtype: "float32", shape: [2, 3] }, keyOf(0)); // float64[2,3]
 */
export function drawSample(input: SampleInput, key: HostKey): HostArray<"float64"> {
  const { dtype, shape, values, distinct = false } = input;
  const [low, high] = [input.low ?? ranges[dtype][0], input.high ?? ranges[dtype][1]];
  const size = sizeOf(shape);
  const out = new HostArray("float64", shape);
  if (values !== undefined) {
    if (values.length !== size) {
      throw new ArgumentError("drawSample", `${formatType(input)} has ${size} elements: received ${values.length}`);
    }
    out.data.set(values);
  } else {
    const whole = !isFloat(dtype);
    const count = whole ? high - low + 1 : size;
    if (distinct && count < size) {
      throw new ArgumentError("drawSample", `[${low}, ${high}] has no ${size} different whole numbers`);
    }
    const order = distinct ? permutation(foldIn(key, 1), count) : undefined;
    for (let i = 0; i < size; i++) {
      const unit = unitAt(key, i);
      // Different numbers stand in cells of equal width, each in the middle half of its own.
      if (order !== undefined)
        out.data[i] = whole ? low + order[i]! : low + ((high - low) * (order[i]! + 0.25 + unit / 2)) / size;
      else out.data[i] = whole ? low + Math.floor(unit * count) : low + (high - low) * unit;
    }
  }
  if (dtype === "bfloat16") out.data.forEach((x, i) => (out.data[i] = fromBfloat16(toBfloat16(x))));
  if (dtype === "float32") out.data.forEach((x, i) => (out.data[i] = Math.fround(x)));
  return out;
}

/** The inputs of sample number `index` of an op. */
export function drawSamples(inputs: readonly SampleInput[], index: number): HostArray<"float64">[] {
  return inputs.map((input, i) => drawSample(input, foldIn(foldIn(keyOf(2026), index), i)));
}

/** Numbers in [−1, 1) for weights and directions. */
export function drawWeights(size: number, key: HostKey): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => 2 * unitAt(key, i) - 1);
}

function unitAt(key: HostKey, i: number): number {
  const [a, b] = threefry(key, 0, i);
  return (a * 2 ** 21 + (b >>> 11)) * 2 ** -53;
}
