// What users hand to fit, evaluate and predict, as host arrays: nested arrays, typed arrays, host arrays, Tensors.
import {
  ArgumentError,
  DataError,
  formatType,
  HostArray,
  isPlainObject,
  sizeOf,
  type Nested,
  type Shape,
  type TypedArray,
} from "../../../engine/core/index.ts";
import { Tensor } from "../../../engine/tensor/index.ts";

/** One array, in any of the forms that are taken. */
export type ArrayInput = Nested | TypedArray | HostArray | Tensor;

/** The arrays of a model: one, or one for each input or output, in order or by name. */
export type ArraysInput = ArrayInput | readonly ArrayInput[] | { readonly [name: string]: ArrayInput };

/** What an array is for: its name in messages, and the shape of one sample where it is known. */
export interface Slot {
  readonly name: string;
  readonly sampleShape: Shape | undefined;
}

/** The arrays for these slots: a lone slot takes the value itself, several take a list or an object by name. */
export function arraysFor(what: string, given: ArraysInput, slots: readonly Slot[]): HostArray[] {
  if (isPlainObject(given)) {
    const known = slots.map(({ name }) => name);
    const extra = Object.keys(given).filter((name) => !known.includes(name));
    const missing = known.filter((name) => !(name in given));
    if (extra.length > 0 || missing.length > 0) {
      throw new ArgumentError(
        what,
        `the names do not match: missing [${missing.join(", ")}], unexpected [${extra.join(", ")}]`,
      );
    }
    return slots.map((slot) => toArray(what, given[slot.name]!, slot));
  }
  if (slots.length === 1) return [toArray(what, given as ArrayInput, slots[0]!)];
  if (!Array.isArray(given) || given.length !== slots.length) {
    throw new ArgumentError(
      what,
      `this model has ${slots.length} (${slots.map(({ name }) => name).join(", ")}): received ${describe(given)}`,
      {
        hint: `give an array of ${slots.length}, or an object by name`,
      },
    );
  }
  return slots.map((slot, i) => toArray(what, (given as ArrayInput[])[i]!, slot));
}

/** One array as a host array; a flat typed array is cut into samples where their shape is known. */
export function toArray(what: string, given: ArrayInput, slot: Slot): HostArray {
  const array =
    given instanceof HostArray ? given : given instanceof Tensor ? given.host() : fromPlain(what, given, slot);
  if (array.shape.length === 0)
    throw new DataError(what, `${slot.name} has no axis of samples: received ${formatType(array)}`);
  return array;
}

function fromPlain(what: string, given: Nested | TypedArray, { name, sampleShape }: Slot): HostArray {
  if (ArrayBuffer.isView(given)) {
    const flat = HostArray.of(given);
    const size = sampleShape === undefined ? 1 : sizeOf(sampleShape);
    if (size <= 1 || flat.size % size !== 0) return flat;
    return flat.reshape([flat.size / size, ...sampleShape!]);
  }
  if (!Array.isArray(given)) throw new DataError(what, `${name} must be an array: received ${describe(given)}`);
  if (given.length === 0) throw new DataError(what, `${name} is empty: there is no sample`);
  // Float64 keeps whole numbers above 2^24 until the dtype of the device is known.
  return HostArray.from(given, "float64");
}

/** For models that do not know their input yet: one array with the shape of the samples. */
export function guessArrays(given: ArraysInput): HostArray[] | undefined {
  if (given instanceof HostArray) return [given];
  if (given instanceof Tensor) return [given.host()];
  if (ArrayBuffer.isView(given)) return [HostArray.of(given)];
  if (!Array.isArray(given) || given.length === 0 || given[0] instanceof HostArray) return undefined;
  return [HostArray.from(given.slice(0, 1) as Nested, "float64")];
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (value instanceof HostArray) return formatType(value);
  return value === undefined ? "nothing" : typeof value;
}
