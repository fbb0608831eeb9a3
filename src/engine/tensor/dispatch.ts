// What happens when a function of values meets Tensors: inside a trace it writes equations, outside it is compiled and run at once.
import {
  ArgumentError,
  computeDType,
  formatType,
  HostArray,
  TraceError,
  type DType,
  type Nested,
  type Shape,
  type TensorType,
  type TypedArray,
} from "../core/index.ts";
import { currentTrace, trace, Value, type Builder, type Program } from "../program/index.ts";
import { full } from "../ops/index.ts";
import { defaultDevice, DeviceArray, type Device } from "../runtime/index.ts";

/** What a Tensor stands for: numbers on a device, or a value of a program being traced. */
export type Content = Value | DeviceArray;

/** Anything with a content; the Tensor class is the only one. */
export interface Carrier {
  readonly content: Content;
}

/** What may be given where a Tensor is expected. */
export type ArrayLike = Nested | HostArray | TypedArray;

/** A function of program values. */
export type ValueFunction = (...values: Value[]) => Value | readonly Value[];

// Device arrays used inside a trace become inputs of the outermost program: one map for each trace under way.
const captures = new WeakMap<Builder, Map<DeviceArray, Value>>();

/** The content as a value of the open trace; a device array is captured as a further input of the outermost one. */
export function toValue(content: Content): Value {
  if (content instanceof Value) return content;
  let root = currentTrace();
  if (root === undefined) throw new TraceError("trace", "no trace is open");
  while (root.parent !== undefined) root = root.parent;
  let known = captures.get(root);
  if (known === undefined) captures.set(root, (known = new Map()));
  let value = known.get(content);
  if (value === undefined) known.set(content, (value = root.input(content)));
  return value;
}

/** A traced function with the device arrays it refers to, to be handed in behind the declared inputs. */
export interface TracedCall {
  readonly program: Program;
  readonly captured: readonly DeviceArray[];
}

/** Traces `fn` as an outermost program. */
export function traceCall(
  types: readonly TensorType[],
  fn: (values: readonly Value[]) => readonly Value[],
): TracedCall {
  let root: Builder | undefined;
  const { program } = trace(types, (values) => {
    root = currentTrace()!;
    return fn(values);
  });
  return { program, captured: [...(captures.get(root!)?.keys() ?? [])] };
}

/** Applies a function of values to contents: traced where a trace is open, else compiled (from the cache) and run. */
export function applyValues(
  fn: (values: readonly Value[]) => readonly Value[],
  contents: readonly Content[],
): readonly Content[] {
  if (currentTrace() !== undefined) return fn(contents.map(toValue));
  const arrays = contents.map((content) => concrete(content));
  const { program, captured } = traceCall(arrays, fn);
  const executable = deviceOf(arrays).executable(program);
  const results = executable.run([...arrays, ...captured]);
  // Calls of this kind come once, as when weights are drawn: their intermediates would lie there for ever.
  if (executable.plan.arenaBytes > LARGE_ARENA) executable.release();
  return results;
}

const LARGE_ARENA = 2 ** 22;

/** The device array of a content; throws TraceError for a value that has no numbers. */
export function concrete(content: Content): DeviceArray {
  if (content instanceof DeviceArray) return content;
  throw new TraceError("tensor", `${formatType(content)} is a value of a traced program and has no numbers`, {
    hint:
      currentTrace() === undefined
        ? "it left the function it was traced in: return it instead"
        : "numbers exist only once the compiled function runs: return the value and read it outside",
  });
}

/** The device all arrays are on. */
export function deviceOf(arrays: readonly DeviceArray[]): Device {
  const device = defaultDevice();
  for (const array of arrays) {
    if (array.backend !== device.backend) {
      throw new ArgumentError("device", `an array on \`${array.backend.name}\` was used with \`${device.name}\``, {
        hint: "move it with tensor.to(device), or run the call inside withDevice()",
      });
    }
  }
  return device;
}

/** Numbers, nested arrays, typed arrays and host arrays as a host array with a dtype that programs compute with. */
export function toHost(data: ArrayLike, dtype?: DType): HostArray {
  const array =
    data instanceof HostArray ? data : ArrayBuffer.isView(data) ? HostArray.of(data) : HostArray.from(data, dtype);
  return dtype === undefined || array.dtype === dtype ? array : array;
}

/** The type a host array has on a device. */
export function typeOfHost(array: HostArray, dtype: DType = computeDType(array.dtype)): TensorType {
  return { dtype, shape: array.shape };
}

/** A plain number: a constant of the open trace, or a scalar on the device. */
export function scalar(value: number, dtype: DType): Content {
  const type = { dtype, shape: [] as Shape };
  if (currentTrace() !== undefined) return full(value, type);
  return defaultDevice().put(new HostArray("float64", [], Float64Array.of(value)), type);
}
