// Ops that make values from nothing: full, constant, iota.
import {
  ArgumentError,
  checkShape,
  computeDType,
  fromBfloat16,
  isComputeDType,
  normalizeAxis,
  sizeOf,
  stridesOf,
  toBfloat16,
  HostArray,
  type DType,
  type Shape,
  type TensorType,
} from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { bind1, numbers, withOp, type OpFunction } from "./define.ts";

type FullAttrs = { readonly value: number; readonly shape: Shape; readonly dtype: DType };

const ranges = { int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, 2 ** 32 - 1], bool: [0, 1] } as const;

const fullOp: OpRecord<FullAttrs> = {
  name: "full",
  doc: "One number everywhere: `y[i] = value`.",
  traits: { kind: "create", recompute: "cheap" },
  shape: (_, { shape, dtype, value }) => {
    checkShape("full", shape);
    if (dtype === "bfloat16" && !Object.is(fromBfloat16(toBfloat16(value)), value))
      throw new ArgumentError("full", `${value} is no bfloat16`, { hint: "cast a float32 one, which rounds it" });
    if (dtype !== "float32" && dtype !== "bfloat16") {
      const [low, high] = ranges[dtype];
      if (!Number.isInteger(value) || value < low || value > high) {
        throw new ArgumentError("full", `${dtype} holds whole numbers from ${low} to ${high}: received ${value}`);
      }
    }
    return [{ dtype, shape }];
  },
  evaluate: (_, { value }, { outputs }) => [numbers(outputs[0]!).fill(value)],
  nondifferentiable: true,
  samples: [
    { inputs: [], attrs: { value: 1.5, shape: [2, 3], dtype: "float32" } },
    { inputs: [], attrs: { value: -7, shape: [5], dtype: "int32" } },
    { inputs: [], attrs: { value: 4294967295, shape: [], dtype: "uint32" } },
    { inputs: [], attrs: { value: 1, shape: [3], dtype: "bool" } },
    { inputs: [], attrs: { value: -1.5, shape: [70], dtype: "bfloat16" } },
    { inputs: [], attrs: { value: 2, shape: [0, 4], dtype: "float32" } },
    { inputs: [], attrs: { value: -Infinity, shape: [2], dtype: "float32" } },
  ],
  errors: [
    { inputs: [], attrs: { value: 1, shape: [-1], dtype: "float32" }, message: "whole numbers ≥ 0" },
    { inputs: [], attrs: { value: 0.1, shape: [2], dtype: "bfloat16" }, message: "0.1 is no bfloat16" },
    { inputs: [], attrs: { value: 0.5, shape: [2], dtype: "int32" }, message: "int32 holds whole numbers" },
    { inputs: [], attrs: { value: -1, shape: [2], dtype: "uint32" }, message: "from 0 to 4294967295" },
    { inputs: [], attrs: { value: 2, shape: [], dtype: "bool" }, message: "bool holds whole numbers from 0 to 1" },
  ],
};

/** One number everywhere. */
export const full: OpFunction<(value: number, type: TensorType) => Value, FullAttrs> = withOp(
  fullOp,
  (value, { shape, dtype }) => bind1(fullOp, [], { value, shape: [...shape], dtype }),
);

type ConstantAttrs = { readonly array: HostArray };

const constantOp: OpRecord<ConstantAttrs> = {
  name: "constant",
  doc: "The numbers of a host array, part of the program.",
  traits: { kind: "create", recompute: "cheap" },
  shape: (_, { array }) => {
    if ((!isComputeDType(array.dtype) || array.dtype === "bfloat16") && array.dtype !== "float64") {
      throw new ArgumentError(
        "constant",
        `expected float32, float64, int32, uint32 or bool: received ${array.toString()}`,
        {
          hint: "convert it first with array.cast()",
        },
      );
    }
    return [{ dtype: computeDType(array.dtype), shape: array.shape }];
  },
  evaluate: (_, { array }) => [Float64Array.from({ length: array.size }, (__, i) => array.get(i))],
  nondifferentiable: true,
  samples: [
    { inputs: [], attrs: { array: HostArray.from([[1.5, -2, 0.25]]) } },
    { inputs: [], attrs: { array: HostArray.from(7) } },
    { inputs: [], attrs: { array: HostArray.from([], "int32") } },
    { inputs: [], attrs: { array: HostArray.from([-7, 2147483647], "int32") } },
    { inputs: [], attrs: { array: HostArray.from([4294967295, 0, 1], "uint32") } },
    { inputs: [], attrs: { array: HostArray.from([true, false, true, true, false]) } },
    { inputs: [], attrs: { array: HostArray.from([0.1, NaN, -Infinity], "float64") } },
  ],
  errors: [
    { inputs: [], attrs: { array: HostArray.from([1, 2], "int16") }, message: "received int16[2]" },
    { inputs: [], attrs: { array: HostArray.from([1], "bfloat16") }, message: "convert it first" },
  ],
};

/** The numbers of a host array, part of the program. */
export const constant: OpFunction<(array: HostArray) => Value, ConstantAttrs> = withOp(constantOp, (array) =>
  bind1(constantOp, [], { array }),
);

type IotaAttrs = { readonly shape: Shape; readonly axis: number; readonly dtype: DType };

const iotaOp: OpRecord<IotaAttrs> = {
  name: "iota",
  doc: "Counts along one axis: `y[…, i, …] = i`.",
  traits: { kind: "create", recompute: "cheap" },
  shape: (_, { shape, axis, dtype }) => {
    checkShape("iota", shape);
    normalizeAxis("iota", axis, shape.length);
    if (dtype === "bool" || dtype === "bfloat16")
      throw new ArgumentError("iota", `counts in float32, int32 or uint32: received ${dtype}`);
    return [{ dtype, shape }];
  },
  evaluate: (_, { shape, axis }) => {
    const stride = stridesOf(shape)[axis]!;
    return [Float64Array.from({ length: sizeOf(shape) }, (__, i) => Math.floor(i / stride) % shape[axis]!)];
  },
  nondifferentiable: true,
  samples: [
    { inputs: [], attrs: { shape: [6], axis: 0, dtype: "float32" } },
    { inputs: [], attrs: { shape: [2, 3, 4], axis: 1, dtype: "int32" } },
    { inputs: [], attrs: { shape: [3, 5], axis: 0, dtype: "uint32" } },
    { inputs: [], attrs: { shape: [0, 5], axis: 1, dtype: "int32" } },
  ],
  errors: [{ inputs: [], attrs: { shape: [2], axis: 1, dtype: "int32" }, message: "axis 1 does not exist" }],
};

/** Counts along one axis. */
export const iota: OpFunction<(shape: Shape, axis: number, dtype: DType) => Value, IotaAttrs> = withOp(
  iotaOp,
  (shape, axis, dtype) =>
    bind1(iotaOp, [], { shape: [...shape], axis: normalizeAxis("iota", axis, shape.length), dtype }),
);

/** Zeros of a value's type. */
export function zerosLike(type: TensorType): Value {
  return full(0, type);
}

/** One number with a value's type. */
export function fullLike(value: number, type: TensorType): Value {
  return full(value, type);
}
