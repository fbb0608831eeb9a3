// How op records are written: one function that is also the record (`sin(x)`, `sin.op`), and the families that share a shape rule.
import {
  DtypeError,
  formatType,
  sameShape,
  ShapeError,
  sizeOf,
  type DType,
  type Shape,
  type TensorType,
} from "../core/index.ts";
import {
  bind,
  bind1,
  type Attrs,
  type OpRecord,
  type Sample,
  type SampleInput,
  type Traits,
  type Value,
} from "../program/index.ts";

/** No attributes. */
export type None = Record<never, never>;
export const none: None = {};

/** A function of values that carries its record. */
export type OpFunction<F extends (...args: never[]) => unknown, A extends Attrs> = F & { readonly op: OpRecord<A> };

/** Joins a function and its record. */
export function withOp<F extends (...args: never[]) => unknown, A extends Attrs>(
  op: OpRecord<A>,
  fn: F,
): OpFunction<F, A> {
  return Object.assign(fn, { op });
}

export type Unary = OpFunction<(x: Value) => Value, None>;
export type Binary = OpFunction<(x: Value, y: Value) => Value, None>;

/** Shapes every element-wise op is tested on: scalar, empty, odd lengths past a vector's width, three axes. */
export const sampleShapes: readonly Shape[] = [[], [0], [5], [2, 3], [1, 37], [3, 2, 17]];

/** Where float samples are drawn. */
interface Domain {
  readonly low?: number;
  readonly high?: number;
}

/** Refuses every dtype but the ones named. */
export function expectDtype(where: string, types: readonly TensorType[], allowed: readonly DType[]): void {
  for (const type of types) {
    if (!allowed.includes(type.dtype)) {
      throw new DtypeError(where, `expected ${allowed.join(" or ")}: received ${types.map(formatType).join(" and ")}`, {
        hint: `convert it with cast(x, "${allowed[0]}")`,
      });
    }
  }
}

/** Refuses another number of inputs than the op takes. */
export function expectInputs(where: string, types: readonly TensorType[], count: number): void {
  if (types.length !== count) throw new ShapeError(where, `takes ${count} inputs: received ${types.length}`);
}

/** Refuses inputs of different shape or dtype. */
export function expectSame(where: string, types: readonly TensorType[]): void {
  const [first, ...rest] = types;
  for (const type of rest) {
    if (!sameShape(first!.shape, type.shape)) {
      throw new ShapeError(where, `shapes differ: received ${types.map(formatType).join(" and ")}`, {
        hint: "primitives take equal shapes; use the functions on Tensors, which broadcast, or broadcast(x, shape)",
      });
    }
    if (first!.dtype !== type.dtype) {
      throw new DtypeError(where, `dtypes differ: received ${types.map(formatType).join(" and ")}`, {
        hint: "convert one with cast",
      });
    }
  }
}

/** A real function of one real number, element by element. */
export function unary(spec: {
  name: string;
  doc: string;
  scalar: (x: number) => number;
  /** `undefined` where the function is piecewise constant. */
  vjp: ((context: { ct: Value; x: Value; y: Value }) => Value) | undefined;
  domain?: Domain;
  dtypes?: readonly DType[];
  recompute?: "cheap" | "costly";
}): Unary {
  const dtypes = spec.dtypes ?? ["float32"];
  const { name, doc, scalar, vjp } = spec;
  const sample = (shape: Shape, dtype: DType): Sample<None> => ({
    inputs: [{ dtype, shape, ...(dtype === "float32" ? spec.domain : {}) }],
    attrs: none,
  });
  const op: OpRecord<None> = {
    name,
    doc,
    traits: { kind: "elementwise", recompute: spec.recompute ?? "cheap" },
    shape: (types) => {
      expectInputs(name, types, 1);
      expectDtype(name, types, dtypes);
      return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
    },
    evaluate: ([x], _, { outputs }) => [integral(x!.map(scalar), outputs[0]!.dtype)],
    vjp: ({ inputs, outputs, cts }) => [
      vjp === undefined ? undefined : vjp({ ct: cts[0]!, x: inputs[0]!, y: outputs[0]! }),
    ],
    samples: dtypes.flatMap((dtype) =>
      (dtype === "float32" ? sampleShapes : [[2, 3]]).map((shape) => sample(shape, dtype)),
    ),
    errors: [{ inputs: [{ dtype: "bool", shape: [2] }], attrs: none, message: "expected float32" }],
  };
  return withOp(op, (x: Value) => bind1(op, [x], none));
}

/** A function of two numbers, element by element, on inputs of equal type. */
export function binary(spec: {
  name: string;
  doc: string;
  scalar: (x: number, y: number) => number;
  /** The same for integers, where float64 would lose bits. */
  integer?: (x: number, y: number) => number;
  /** Cotangents of x and y; the compiler removes the one nobody asks for. */
  vjp: (context: { ct: Value; x: Value; y: Value; z: Value }) => readonly [Value | undefined, Value | undefined];
  dtypes?: readonly DType[];
  commutative?: boolean;
  simplify?: OpRecord<None>["simplify"];
  samples?: { readonly x?: Domain; readonly y?: Domain };
  recompute?: "cheap" | "costly";
}): Binary {
  const dtypes = spec.dtypes ?? ["float32"];
  const { name, doc, scalar, vjp } = spec;
  const traits: Traits = {
    kind: "elementwise",
    commutative: spec.commutative ?? false,
    recompute: spec.recompute ?? "cheap",
  };
  const sample = (shape: Shape, dtype: DType): Sample<None> => ({
    inputs: [
      { dtype, shape, ...(dtype === "float32" ? spec.samples?.x : {}) },
      { dtype, shape, ...(dtype === "float32" ? spec.samples?.y : {}) },
    ],
    attrs: none,
  });
  const op: OpRecord<None> = {
    name,
    doc,
    traits,
    shape: (types) => {
      expectInputs(name, types, 2);
      expectSame(name, types);
      expectDtype(name, types, dtypes);
      return [{ dtype: types[0]!.dtype, shape: types[0]!.shape }];
    },
    evaluate: ([x, y], _, { outputs }) => {
      const { dtype } = outputs[0]!;
      const fn = dtype === "float32" ? scalar : (spec.integer ?? scalar);
      return [
        integral(
          x!.map((a, i) => fn(a, y![i]!)),
          dtype,
        ),
      ];
    },
    vjp: ({ inputs, outputs, cts }) => vjp({ ct: cts[0]!, x: inputs[0]!, y: inputs[1]!, z: outputs[0]! }),
    ...(spec.simplify === undefined ? {} : { simplify: spec.simplify }),
    samples: dtypes.flatMap((dtype) =>
      (dtype === "float32" ? sampleShapes : [[2, 3]]).map((shape) => sample(shape, dtype)),
    ),
    errors: [
      { inputs: [float([2, 3]), float([3])], attrs: none, message: "shapes differ" },
      { inputs: [float([2]), { dtype: "int32", shape: [2] }], attrs: none, message: "dtypes differ" },
      {
        inputs: [
          { dtype: "bool", shape: [2] },
          { dtype: "bool", shape: [2] },
        ],
        attrs: none,
        message: "expected float32",
      },
    ],
  };
  return withOp(op, (x: Value, y: Value) => bind1(op, [x, y], none));
}

/** A true-or-false function of two numbers. */
export function comparison(spec: { name: string; doc: string; scalar: (x: number, y: number) => boolean }): Binary {
  const { name, doc, scalar } = spec;
  // Small integers on both sides, so that equal pairs occur.
  const side = (shape: Shape, dtype: DType): SampleInput => ({ dtype, shape, low: -2, high: 2 });
  const op: OpRecord<None> = {
    name,
    doc,
    traits: { kind: "elementwise", recompute: "cheap" },
    nondifferentiable: true,
    shape: (types) => {
      expectInputs(name, types, 2);
      expectSame(name, types);
      expectDtype(name, types, ["float32", "int32", "uint32", "bool"]);
      return [{ dtype: "bool", shape: types[0]!.shape }];
    },
    evaluate: ([x, y]) => [x!.map((a, i) => (scalar(a, y![i]!) ? 1 : 0))],
    samples: [
      ...sampleShapes.map((shape) => ({ inputs: [side(shape, "float32"), side(shape, "float32")], attrs: none })),
      ...(["int32", "uint32", "bool"] as const).map((dtype) => ({
        inputs: [0, 1].map(() => ({ dtype, shape: [4, 5], low: 0, high: dtype === "bool" ? 1 : 3 })),
        attrs: none,
      })),
      {
        inputs: [
          { ...float([3]), values: [1, NaN, 2] },
          { ...float([3]), values: [1, NaN, 3] },
        ],
        attrs: none,
      },
    ],
    errors: [{ inputs: [float([2]), float([3])], attrs: none, message: "shapes differ" }],
  };
  return withOp(op, (x: Value, y: Value) => bind1(op, [x, y], none));
}

/** A float32 sample input. */
export function float(shape: Shape, domain: Partial<SampleInput> = {}): SampleInput {
  return { dtype: "float32", shape, ...domain };
}

/** An int32 sample input with values in [low, high]. */
export function int(shape: Shape, low: number, high: number): SampleInput {
  return { dtype: "int32", shape, low, high };
}

/** A bool sample input. */
export function bool(shape: Shape): SampleInput {
  return { dtype: "bool", shape, low: 0, high: 1 };
}

/** Wraps results into the range of an integer dtype, as two's-complement arithmetic does. */
export function integral(values: Float64Array, dtype: DType): Float64Array {
  if (dtype === "int32") return values.map((x) => x | 0);
  if (dtype === "uint32") return values.map((x) => x >>> 0);
  return values;
}

/** An empty result of a type. */
export function numbers(type: TensorType): Float64Array {
  return new Float64Array(sizeOf(type.shape));
}

export { bind, bind1 };
