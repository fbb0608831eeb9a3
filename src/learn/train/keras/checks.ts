// Checks of the data before the first step: each mistake is a DataError that says what it is, where, and what to try.
import {
  DataError,
  formatType,
  isFloat,
  sameShape,
  sizeOf,
  type HostArray,
  type Shape,
} from "../../../engine/core/index.ts";
import { borrow } from "../../../engine/tensor/index.ts";

/** Refuses arrays without samples or with different numbers of them. */
export function checkCounts(what: string, arrays: readonly (readonly [name: string, array: HostArray])[]): number {
  const [first, ...rest] = arrays;
  const count = first![1].shape[0]!;
  if (count === 0) throw new DataError(what, `${first![0]} is empty: there is no sample`);
  for (const [name, array] of rest) {
    if (array.shape[0] !== count) {
      throw new DataError(
        what,
        `${first![0]} and ${name} differ in their number of samples: received ${count} and ${array.shape[0]}`,
      );
    }
  }
  return count;
}

/** Refuses samples of another shape than the model takes. */
export function checkSamples(
  what: string,
  name: string,
  { array, expected }: { array: HostArray; expected: Shape },
): void {
  const received = array.shape.slice(1);
  if (sameShape(received, expected)) return;
  const n = array.shape[0]!;
  const hint =
    sizeOf(received) === sizeOf(expected)
      ? `it has the right number of elements: ${name}.reshape([${[n, ...expected].join(", ")}])`
      : `give an array of shape [${["samples", ...expected].join(", ")}]`;
  throw new DataError(
    what,
    `samples of ${name} have the shape [${received.join(",")}]: this model takes [${expected.join(",")}]`,
    { hint },
  );
}

// A sum is finite where all its terms are: the device is asked first where it reads the array as it is. Where the sum is
// not finite, a term may be bad or the sum may have overflowed.
function sumIsFinite(array: HostArray): boolean {
  if (array.size < WORTH_A_PROGRAM || array.dtype !== "float32") return false;
  const borrowed = borrow(array, "float32");
  return borrowed !== undefined && Number.isFinite(borrowed.sum().item());
}
const WORTH_A_PROGRAM = 2 ** 20;

/** Refuses NaN and infinities, naming the first. */
export function checkFinite(what: string, name: string, array: HostArray): void {
  if (!isFloat(array.dtype) || sumIsFinite(array)) return;
  const direct = array.dtype === "float32" || array.dtype === "float64" ? (array.data as Float32Array) : undefined;
  for (let i = 0; i < array.size; i++) {
    const value = direct === undefined ? array.get(i) : direct[i]!;
    if (Number.isFinite(value)) continue;
    const sample = Math.floor(i / sizeOf(array.shape.slice(1)));
    throw new DataError(what, `${name} holds ${value} in sample ${sample} (element ${i})`, {
      hint: "clean the data: remove such samples, or replace the values",
    });
  }
}

/** Refuses class numbers that are no whole numbers from 0 to before `classes`. */
export function checkLabels(
  what: string,
  name: string,
  { labels, classes, ignored }: { labels: HostArray; classes: number; ignored?: number | undefined },
): void {
  for (let i = 0; i < labels.size; i++) {
    const label = labels.get(i);
    if (label === ignored) continue;
    if (!Number.isInteger(label)) {
      throw new DataError(
        what,
        `${name} must hold whole numbers, one class number a sample: received ${label} at ${i}`,
        {
          hint: "for one-hot rows or probabilities use the loss categorical_crossentropy, for numbers to predict use mse",
        },
      );
    }
    if (label < 0 || label >= classes) {
      throw new DataError(
        what,
        `label ${label} at ${i} of ${name} is out of range: the model has ${classes} outputs, so labels go from 0 to ${classes - 1}`,
        {
          hint: `give the last layer ${Math.max(label + 1, 1)} units, or renumber the labels`,
        },
      );
    }
  }
}

/** The answers in the shape a loss needs: class numbers `[n, …]` for a sparse loss, else the shape of the output. */
export function alignAnswers(
  what: string,
  name: string,
  { answers, output, sparse }: { answers: HostArray; output: Shape; sparse: boolean },
): HostArray {
  const n = answers.shape[0]!;
  const wanted = sparse ? output.slice(0, -1) : output;
  if (sameShape(answers.shape.slice(1), wanted)) return answers;
  // [n] and [n, 1] mean the same.
  const rest = answers.shape.slice(1);
  const short = (shape: Shape): Shape => (shape.at(-1) === 1 ? shape.slice(0, -1) : shape);
  if (sameShape(short(rest), short(wanted))) return answers.reshape([n, ...wanted]);
  const hint =
    !sparse && sameShape(rest, output.slice(0, -1))
      ? "for class numbers use the loss sparse_categorical_crossentropy"
      : sparse && sameShape(rest, output)
        ? "for one-hot rows use the loss categorical_crossentropy"
        : `give an array of shape [${["samples", ...wanted].join(", ")}]`;
  throw new DataError(
    what,
    `${name} does not fit the output of the model: expected [${[n, ...wanted].join(",")}], received ${formatType(answers)}`,
    { hint },
  );
}

/** Refuses weights that are not one finite number ≥ 0 a sample. */
export function checkWeights(what: string, weights: HostArray, count: number): void {
  if (weights.shape.length !== 1 || weights.shape[0] !== count) {
    throw new DataError(what, `sampleWeight is one number a sample [${count}]: received ${formatType(weights)}`);
  }
  for (let i = 0; i < count; i++) {
    const value = weights.get(i);
    if (!(value >= 0) || value === Infinity) {
      throw new DataError(what, `sampleWeight holds ${value} at ${i}: weights are finite numbers ≥ 0`);
    }
  }
}
