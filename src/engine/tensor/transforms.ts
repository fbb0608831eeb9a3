// Functions to functions: jit, grad, valueAndGrad, vjp, checkpoint. Each works on Tensors and inside each other.
import { ArgumentError, DtypeError, formatType, type TensorType, TraceError } from "../core/index.ts";
import * as ops from "../ops/index.ts";
import { currentTrace, inline, trace, type Program, type Value } from "../program/index.ts";
import { defaultDevice, type DeviceArray, type Executable, type Repeated } from "../runtime/index.ts";
import { differentiate, orZeros, valueAndGrad as valueAndGradProgram } from "../transform/index.ts";
import { concrete, deviceOf, toValue, traceCall, type Content } from "./dispatch.ts";
import { Tensor } from "./tensor.ts";
import { flattenTensors, type FlatTree } from "./tensor-tree.ts";

// What functions take and return is checked where they are traced, not by the type system: any tree of Tensors goes.
type AnyFunction<A extends readonly unknown[], R> = (...args: A) => R;

/** A compiled function: called as the original, or with `run` off the event loop. */
export interface Jitted<A extends readonly unknown[], R> {
  (...args: A): R;
  /** Runs off the event loop where the device can. Donated arguments must not be touched until it settles. */
  run(...args: A): Promise<R>;
  /** The program for these arguments, as text is `program.toString()`. */
  lower(...args: A): Executable;
  /** What that program is run on: the arrays of these arguments, then those the function refers to besides. */
  inputs(...args: A): readonly DeviceArray[];
  /**
   * Several calls in one, without JavaScript in between. The function returns `[next, rest]`, where `next` is like its
   * first argument, which is donated, and takes its place in the next turn. Undefined where the device has no such calls.
   */
  turns(how: TurnOptions<R>, ...args: A): TurnCall<R> | undefined;
}

/** How often a function is called, with what. */
export interface TurnOptions<R> {
  readonly count: number;
  /** Arguments (by position) that are a Tensor with one more axis in front: turn i takes slice i. */
  readonly slices: readonly number[];
  /** Which Tensor of the result, a bool scalar, says whether another turn may follow. */
  readonly goOn?: (result: R) => Tensor;
}

/** Turns to be run once: on the caller's thread or off the event loop. */
export interface TurnCall<R> {
  run(): TurnResult<R>;
  runAsync(): Promise<TurnResult<R>>;
}

/** What the turns gave: `next` of the last one; the Tensors of `rest` stacked, of which `done` slices hold numbers. */
export interface TurnResult<R> {
  readonly done: number;
  readonly result: R;
}

export interface JitOptions {
  /** Arguments (by position) whose memory the results may take over; their Tensors are gone after the call. */
  readonly donate?: readonly number[];
}

/**
 * Compiles a function of Tensors: it is traced once for each structure and type of its arguments, then runs as one plan.
 * Numbers, strings and booleans among the arguments are static: another value is another program.
 *
 * @example
 * const step = jit((w: Tensor, x: Tensor) => w.sub(x.mul(0.1)));
 * step(tensor([1, 2]), tensor([1, 1])).toNested();
 */
export function jit<A extends readonly unknown[], R>(fn: AnyFunction<A, R>, options: JitOptions = {}): Jitted<A, R> {
  interface Entry {
    readonly executable: Executable;
    readonly captured: readonly DeviceArray[];
    readonly result: FlatTree;
  }
  const cache = new Map<string, Entry>();
  const entryFor = (
    args: A,
    slices: readonly number[] = [],
  ): { entry: Entry; inputs: DeviceArray[]; sizes: number[] } => {
    const flats = args.map((arg) => flattenTensors(arg, "jit"));
    const arrays = flats.flatMap((flat) => flat.tensors.map((x) => concrete(x.content)));
    const device = arrays.length > 0 ? deviceOf(arrays) : defaultDevice();
    // What each turn is given is traced: slices, not the whole.
    const seen = flats.map((flat, position): { types: readonly TensorType[]; key: string } => {
      if (!slices.includes(position)) return { types: flat.tensors, key: flat.key };
      const types = flat.tensors.map(({ dtype, shape }) => ({ dtype, shape: shape.slice(1) }));
      return { types, key: types.map(formatType).join(" ") };
    });
    const key = `${device.name} ${seen.map((one) => one.key).join(" , ")}`;
    let entry = cache.get(key);
    if (entry === undefined) {
      let result: FlatTree | undefined;
      const { program, captured } = traceCall(
        seen.flatMap(({ types }) => types),
        (values) => {
          result = flattenTensors(fn(...rebuildArgs<A>(flats, values)), "jit");
          return result.tensors.map((x) => toValue(x.content));
        },
      );
      let first = 0;
      const donate = flats.flatMap((flat, position) => {
        const range = flat.tensors.map((_, i) => first + i);
        first += flat.tensors.length;
        return options.donate?.includes(position) === true ? range : [];
      });
      cache.set(key, (entry = { executable: device.executable(program, donate), captured, result: result! }));
    }
    return { entry, inputs: [...arrays, ...entry.captured], sizes: flats.map((flat) => flat.tensors.length) };
  };
  const rebuild = (entry: Entry, outputs: readonly DeviceArray[]): R =>
    entry.result.rebuild(outputs.map((array) => new Tensor(array))) as R;
  const call = (...args: A): R => {
    // Inside a trace the function is simply part of the larger program.
    if (currentTrace() !== undefined) return fn(...args);
    const { entry, inputs } = entryFor(args);
    return rebuild(entry, entry.executable.run(inputs));
  };
  return Object.assign(call, {
    run: async (...args: A): Promise<R> => {
      const { entry, inputs } = entryFor(args);
      return rebuild(entry, await entry.executable.runAsync(inputs));
    },
    lower: (...args: A): Executable => entryFor(args).entry.executable,
    inputs: (...args: A): readonly DeviceArray[] => entryFor(args).inputs,
    turns: ({ count, slices, goOn }: TurnOptions<R>, ...args: A): TurnCall<R> | undefined => {
      const { entry, inputs, sizes } = entryFor(args, slices);
      const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
      const { tensors, rebuild: build } = entry.result;
      const wanted = goOn?.(build(tensors) as R);
      const call = entry.executable.repeat(inputs, {
        count,
        carry: Array.from({ length: sizes[0]! }, (_, i) => [i, i] as const),
        slices: slices.flatMap((position) => Array.from({ length: sizes[position]! }, (_, i) => starts[position]! + i)),
        ...(wanted === undefined ? {} : { goOn: tensors.indexOf(wanted) }),
      });
      if (call === undefined) return undefined;
      const wrap = ({ done, outputs }: Repeated): TurnResult<R> => ({ done, result: rebuild(entry, outputs) });
      return { run: () => wrap(call.run()), runAsync: async () => wrap(await call.runAsync()) };
    },
  });
}

function rebuildArgs<A extends readonly unknown[]>(flats: readonly FlatTree[], values: readonly Value[]): A {
  let next = 0;
  return flats.map((flat) => flat.rebuild(flat.tensors.map(() => new Tensor(values[next++]!)))) as unknown as A;
}

/** Traces a function on the contents of its arguments inside the open trace: its program, the values it needs, the shape of its result. */
function traceInner<A extends readonly unknown[]>(
  fn: AnyFunction<A, unknown>,
  args: A,
): { program: Program; inputs: Value[]; result: FlatTree; counts: number[] } {
  const flats = args.map((arg) => flattenTensors(arg, "grad"));
  const values = flats.flatMap((flat) => flat.tensors.map((x) => toValue(x.content)));
  let result: FlatTree | undefined;
  const { program, captured } = trace(values, (inner) => {
    result = flattenTensors(fn(...rebuildArgs<A>(flats, inner)), "grad");
    return result.tensors.map((x) => toValue(x.content));
  });
  return {
    program,
    inputs: [...values, ...captured],
    result: result!,
    counts: flats.map((flat) => flat.tensors.length),
  };
}

/** Runs a function as one compiled call, or within the open trace: what grad and vjp are when called on numbers. */
function once<A extends readonly unknown[], R>(fn: AnyFunction<A, R>): AnyFunction<A, R> {
  return (...args) => (currentTrace() !== undefined ? fn(...args) : jit(fn)(...args));
}

export interface GradOptions {
  /** Which argument to differentiate by; the first unless said. Several give an array of gradients. */
  readonly wrt?: number | readonly number[];
}

/**
 * The value of a scalar function and its gradient with respect to an argument (a Tensor or a tree of them).
 * The function returns the loss, or `[loss, extra]` where extra is carried along without gradient.
 *
 * @example
 * const [loss, slope] = valueAndGrad((w: Tensor) => w.square().sum())(tensor([1, 2, 3]));
 * slope.toNested(); // [2, 4, 6]
 */
export function valueAndGrad<P, Rest extends readonly unknown[], R>(
  fn: (params: P, ...rest: Rest) => R,
  options?: { readonly wrt?: 0 },
): (params: P, ...rest: Rest) => [R, P];
export function valueAndGrad<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: GradOptions,
): (...args: A) => [R, unknown];
export function valueAndGrad<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  { wrt = 0 }: GradOptions = {},
): (...args: A) => [R, unknown] {
  const positions = typeof wrt === "number" ? [wrt] : wrt;
  return once((...args: A): [R, unknown] => {
    const { program, inputs, result, counts } = traceInner(fn, args);
    const starts = counts.map((_, i) => counts.slice(0, i).reduce((a, b) => a + b, 0));
    for (const p of positions)
      if (!(p in counts))
        throw new ArgumentError("grad", `there is no argument ${p}: received ${counts.length} arguments`);
    // Integer leaves (a step counter among parameters) have no gradient; they get zeros of their own type.
    const indices = positions.flatMap((p) => Array.from({ length: counts[p]! }, (_, i) => starts[p]! + i));
    const half = indices.find((i) => program.inputs[i]!.dtype === "bfloat16");
    if (half !== undefined) {
      throw new DtypeError("grad", `bfloat16 is for keeping numbers: received ${formatType(program.inputs[half]!)}`, {
        hint: "cast it to float32 first",
      });
    }
    const floats = indices.filter((i) => program.inputs[i]!.dtype === "float32");
    const differentiated = valueAndGradProgram(program, floats);
    const outputs = inline(differentiated, inputs);
    const value = result.rebuild(outputs.slice(0, result.tensors.length).map((v) => new Tensor(v))) as R;
    const byIndex = new Map(floats.map((index, k) => [index, outputs[result.tensors.length + k]!]));
    const gradients = positions.map((p) => {
      const flat = flattenTensors(args[p]);
      return flat.rebuild(flat.tensors.map((x, i) => new Tensor(byIndex.get(starts[p]! + i) ?? ops.full(0, x))));
    });
    return [value, typeof wrt === "number" ? gradients[0] : gradients];
  });
}

/** The gradient of a scalar function; see `valueAndGrad`. Composes: `grad(grad(f))` is the second derivative. */
export function grad<P, Rest extends readonly unknown[]>(
  fn: (params: P, ...rest: Rest) => unknown,
  options?: { readonly wrt?: 0 },
): (params: P, ...rest: Rest) => P;
export function grad<A extends readonly unknown[]>(
  fn: (...args: A) => unknown,
  options: GradOptions,
): (...args: A) => unknown;
export function grad<A extends readonly unknown[]>(
  fn: (...args: A) => unknown,
  options: GradOptions = {},
): (...args: A) => unknown {
  const both = valueAndGrad(fn, options);
  return (...args: A) => both(...args)[1];
}

/**
 * A function's result and the product of a cotangent of that result with its Jacobian: `vᵀ J` for each argument.
 *
 * @example
 * const [y, [dx]] = vjp((x: Tensor) => x.mul(3))([tensor([1, 2])], tensor([1, 0]));
 */
export function vjp<A extends readonly unknown[], R>(fn: AnyFunction<A, R>): (args: A, cotangent: R) => [R, A] {
  return once((args: A, cotangent: R): [R, A] => {
    const { program, inputs, result } = traceInner(fn, args);
    const cts = flattenTensors(cotangent).tensors.map((x) => (x.dtype === "float32" ? toValue(x.content) : undefined));
    if (cts.length !== result.tensors.length) {
      throw new TraceError(
        "vjp",
        `the cotangent must have the structure of the result: expected ${result.tensors.length} Tensors, received ${cts.length}`,
      );
    }
    const flats = args.map((arg) => flattenTensors(arg));
    const own = flats.flatMap((flat) => flat.tensors);
    const { outputs, pullback } = differentiate(
      program,
      inputs,
      own.map((_, i) => i),
    );
    const gradients = orZeros(pullback(cts), own);
    return [result.rebuild(outputs.map((v) => new Tensor(v))) as R, rebuildArgs<A>(flats, gradients)];
  });
}

/**
 * The same function, whose intermediate values are computed again in the backward pass instead of kept:
 * less memory for one more forward pass (rematerialisation).
 */
export function checkpoint<A extends readonly unknown[], R>(fn: AnyFunction<A, R>): AnyFunction<A, R> {
  return once((...args: A): R => {
    const flats = args.map((arg) => flattenTensors(arg, "checkpoint"));
    let result: FlatTree | undefined;
    const outputs = ops.checkpoint(
      (values) => {
        result = flattenTensors(fn(...rebuildArgs<A>(flats, values)), "checkpoint");
        return result.tensors.map((x) => toValue(x.content));
      },
      flats.flatMap((flat) => flat.tensors.map((x) => toValue(x.content))),
    );
    return result!.rebuild(outputs.map((v) => new Tensor(v))) as R;
  });
}

export interface ScanResult<C, Y> {
  readonly carry: C;
  /** Each slice result stacked along a new first axis. */
  readonly ys: Y;
}

/**
 * A loop with a carry over the first axis of `xs`, compiled as a loop and differentiable: `(carry, y) = fn(carry, x)`.
 *
 * @example
 * scan((sum: Tensor, x: Tensor) => [sum.add(x), sum], { init: tensor(0), xs: tensor([1, 2, 3]) }).carry.item(); // 6
 */
export function scan<C, X, Y>(
  fn: (carry: C, x: X) => readonly [C, Y],
  {
    init,
    xs,
    length,
    reverse = false,
  }: { readonly init: C; readonly xs: X; readonly length?: number; readonly reverse?: boolean },
): ScanResult<C, Y> {
  return once((initial: C, slices: X): ScanResult<C, Y> => {
    const carry = flattenTensors(initial, "scan");
    const rows = flattenTensors(slices, "scan");
    const count = length ?? rows.tensors[0]?.shape[0];
    if (count === undefined) throw new ArgumentError("scan", "needs xs with a first axis, or a length");
    let ys: FlatTree | undefined;
    const body = (carries: readonly Value[], parts: readonly Value[]): { carries: Value[]; ys: Value[] } => {
      const wrap = (values: readonly Value[]): Tensor[] => values.map((value) => new Tensor(value));
      const [c, y] = fn(carry.rebuild(wrap(carries)) as C, rows.rebuild(wrap(parts)) as X);
      const next = flattenTensors(c, "scan");
      ys = flattenTensors(y, "scan");
      if (next.key !== carry.key) {
        throw new TraceError("scan", `the carry changed its type: received ${carry.key}, returned ${next.key}`, {
          hint: "cast it back to the dtype and shape of `init`",
        });
      }
      const unwrap = (flat: FlatTree): Value[] => flat.tensors.map((x) => toValue(x.content));
      return { carries: unwrap(next), ys: unwrap(ys) };
    };
    const values = (flat: FlatTree): Value[] => flat.tensors.map((x) => toValue(x.content));
    const turn = ops.scan(body, values(carry), { xs: values(rows), length: count, reverse });
    const rebuild = (flat: FlatTree, results: readonly Value[]): unknown =>
      flat.rebuild(results.map((value) => new Tensor(value)));
    return { carry: rebuild(carry, turn.carries) as C, ys: rebuild(ys!, turn.ys) as Y };
  })(init, xs);
}

/** The program of a function for arguments like these, for reading: `print(traceProgram(f, x).toString())`. */
export function traceProgram<A extends readonly unknown[]>(fn: AnyFunction<A, unknown>, ...args: A): Program {
  const flats = args.map((arg) => flattenTensors(arg, "trace"));
  const contents: Content[] = flats.flatMap((flat) => flat.tensors.map((x) => x.content));
  return traceCall(contents, (values) =>
    flattenTensors(fn(...rebuildArgs<A>(flats, values)), "trace").tensors.map((x) => toValue(x.content)),
  ).program;
}
