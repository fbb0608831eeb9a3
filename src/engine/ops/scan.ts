// scan: a program repeated over the slices of arrays, with values carried from turn to turn.
import { ArgumentError, checkShape, formatType, sameType, ShapeError, type TensorType } from "../core/index.ts";
import { inline, Program, trace, type LoopBody, type OpRecord, type Sample, type Value } from "../program/index.ts";
import { add, mul } from "./arith.ts";
import { matmul } from "./contract.ts";
import { expectBody, sampleBody } from "./control.ts";
import { fullLike, zerosLike } from "./create.ts";
import { bind, float, int, withOp, type OpFunction } from "./define.ts";
import { concat, reshape } from "./layout.ts";
import { cast, sin, tanh } from "./math.ts";
import { linearizeScan } from "./scan-gradient.ts";
import { slice } from "./slice.ts";

/** The inputs of a scan by their part. */
export function scanParts<T>(
  list: readonly T[],
  { consts, carries }: LoopBody,
): Record<"consts" | "carries" | "xs", T[]> {
  return {
    consts: list.slice(0, consts),
    carries: list.slice(consts, consts + carries),
    xs: list.slice(consts + carries),
  };
}

const stacked = (length: number, { dtype, shape }: TensorType): TensorType => ({ dtype, shape: [length, ...shape] });

const scanOp: OpRecord<LoopBody> = {
  name: "scan",
  doc: "A program repeated over slices: `(cₜ₊₁, yₜ) = body(consts, cₜ, xₜ)`; gives the last carries, then the stacked y.",
  traits: { kind: "control", recompute: "costly" },
  shape: (types, attrs) => {
    const { body, consts, carries, length } = attrs;
    checkShape("scan", [consts, carries, length]);
    const given = scanParts(types, attrs);
    const slices = given.xs.map((x) => {
      if (x.shape[0] === length) return { dtype: x.dtype, shape: x.shape.slice(1) };
      throw new ShapeError("scan", `expected ${length} slices along the first axis: received ${formatType(x)}`);
    });
    expectBody("scan", body, [...given.consts, ...given.carries, ...slices]);
    if (body.outputs.length < carries) {
      throw new ArgumentError("scan", `${carries} carries: received a body with ${body.outputs.length} outputs`);
    }
    given.carries.forEach((carry, i) => {
      const next = body.outputs[i]!;
      if (sameType(carry, next)) return;
      throw new ShapeError(
        "scan",
        `carry ${i} changes its type in the body: received ${formatType(carry)}, then ${formatType(next)}`,
      );
    });
    const last = given.carries.map(({ dtype, shape }) => ({ dtype, shape }));
    return [...last, ...body.outputs.slice(carries).map((y) => stacked(length, y))];
  },
  loop: (attrs) => attrs,
  // The meaning: one copy of the body for each slice. The compiler makes a loop of it instead.
  decompose: (inputs, attrs) => {
    const { body, length, reverse } = attrs;
    const { consts, carries, xs } = scanParts(inputs, attrs);
    let state = carries;
    const rows = new Array<Value[]>(length);
    for (let turn = 0; turn < length; turn++) {
      const t = reverse ? length - 1 - turn : turn;
      const outputs = inline(body, [...consts, ...state, ...xs.map((x) => rowOf(x, t))]);
      state = outputs.slice(0, carries.length);
      rows[t] = outputs.slice(carries.length);
    }
    const ys = body.outputs.slice(carries.length).map((y, i) => {
      if (length === 0) return zerosLike(stacked(0, y));
      const row = rows.map((outputs) => reshape(outputs[i]!, [1, ...y.shape]));
      return concat(row, 0);
    });
    return [...state, ...ys];
  },
  linearize: (context) => linearizeScan(scanOp, context),
  samples: scanSamples(),
  errors: [
    {
      inputs: [float([2]), float([3, 2])],
      attrs: { ...runningSum([2]), consts: 0, carries: 1, length: 4, reverse: false },
      message: "expected 4 slices",
    },
    {
      inputs: [float([2]), float([4, 3])],
      attrs: { ...runningSum([2]), consts: 0, carries: 1, length: 4, reverse: false },
      message: "the body takes",
    },
    {
      inputs: [float([2])],
      attrs: {
        ...sampleBody([float([2])], ([c]) => [reshape(c!, [1, 2])]),
        consts: 0,
        carries: 1,
        length: 4,
        reverse: false,
      },
      message: "carry 0 changes its type",
    },
    {
      inputs: [float([2]), float([2])],
      attrs: {
        ...sampleBody([float([2]), float([2])], ([c]) => [c!]),
        consts: 0,
        carries: 2,
        length: 1,
        reverse: false,
      },
      message: "2 carries: received a body with 1 outputs",
    },
  ],
};

function rowOf(x: Value, t: number): Value {
  const rest = x.shape.slice(1);
  return reshape(slice(x, [t, ...rest.map(() => 0)], [t + 1, ...rest]), rest);
}

/** What one turn gives: the carries for the next one, and the slices of the stacked results. */
export interface ScanTurn {
  readonly carries: readonly Value[];
  readonly ys: readonly Value[];
}

/** The scanned arrays (sliced along their first axis), or how many turns where there are none. */
export interface ScanOptions {
  readonly xs?: readonly Value[];
  readonly length?: number;
  readonly reverse?: boolean;
}

/**
 * Runs `fn(carries, slices of xs)` once for each slice, the carries handed on.
 * Values of the enclosing trace that `fn` uses are constants of the loop.
 */
export const scan: OpFunction<
  (
    fn: (carries: readonly Value[], xs: readonly Value[]) => ScanTurn,
    carries: readonly Value[],
    options: ScanOptions,
  ) => ScanTurn,
  LoopBody
> = withOp(scanOp, (fn, carries, { xs = [], length = xs[0]?.shape[0], reverse = false }) => {
  if (length === undefined) {
    throw new ArgumentError("scan", "no `xs` to scan and no `length`: received neither");
  }
  const slices = xs.map(({ dtype, shape }) => ({ dtype, shape: shape.slice(1) }));
  const declared = carries.length + xs.length;
  let count = 0;
  const { program, captured } = trace([...carries, ...slices], (values) => {
    const turn = fn(values.slice(0, carries.length), values.slice(carries.length));
    count = turn.carries.length;
    return [...turn.carries, ...turn.ys];
  });
  if (count !== carries.length) {
    throw new ArgumentError("scan", `the body gives ${count} carries: received ${carries.length}`);
  }
  // A trace lists captured values last, a scan its constants first.
  const inputs = [...program.inputs.slice(declared), ...program.inputs.slice(0, declared)];
  const body = new Program(inputs, program.equations, program.outputs);
  const attrs = { body, consts: captured.length, carries: carries.length, length, reverse };
  const outputs = bind(scanOp, [...captured, ...carries, ...xs], attrs);
  return { carries: outputs.slice(0, carries.length), ys: outputs.slice(carries.length) };
});

function runningSum(shape: readonly number[]): { readonly body: Program } {
  return sampleBody([float(shape), float(shape)], ([c, x]) => {
    const next = add(c!, x!);
    return [next, next];
  });
}

function scanSamples(): Sample<LoopBody>[] {
  // A recurrent layer: the weights are constants whose gradient gathers over the turns.
  const recurrent = sampleBody([float([3, 3]), float([2, 3]), float([2, 3])], ([w, h, x]) => {
    const next = tanh(add(matmul(h!, w!), x!));
    return [next, mul(next, next)];
  });
  // An integer carry counts the turns; integer slices take part without a gradient.
  const counting = sampleBody([int([], 0, 0), float([2]), float([2]), int([2], 0, 0)], ([i, s, x, n]) => {
    const weighted = mul(x!, cast(n!, "float32"));
    return [add(i!, fullLike(1, i!)), add(s!, sin(weighted)), add(n!, n!)];
  });
  const iterated = sampleBody([float([3]), float([3])], ([c, x]) => [mul(sin(x!), c!)]);
  return [
    ...[false, true].flatMap((reverse) => [
      {
        inputs: [float([3, 3]), float([2, 3]), float([4, 2, 3])],
        attrs: { ...recurrent, consts: 1, carries: 1, length: 4, reverse },
      },
      {
        inputs: [int([], 0, 5), float([2]), float([5, 2]), int([5, 2], -3, 3)],
        attrs: { ...counting, consts: 0, carries: 2, length: 5, reverse },
      },
    ]),
    { inputs: [float([3]), float([3])], attrs: { ...iterated, consts: 1, carries: 1, length: 3, reverse: false } },
    {
      inputs: [float([2]), float([0, 2])],
      attrs: { ...runningSum([2]), consts: 0, carries: 1, length: 0, reverse: false },
    },
    {
      inputs: [float([2]), float([1, 2])],
      attrs: { ...runningSum([2]), consts: 0, carries: 1, length: 1, reverse: true },
    },
    {
      inputs: [float([3]), float([4, 3])],
      attrs: {
        ...sampleBody([float([3]), float([3])], ([c, x]) => [mul(c!, x!)]),
        consts: 1,
        carries: 0,
        length: 4,
        reverse: false,
      },
    },
  ];
}
