// Comparison of arrays of numbers within a tolerance: what every numeric test here is made of.
import { ChainruleError, HostArray, sameShape, type Shape } from "../engine/core/index.ts";

/** Numbers with or without a shape. */
export type Numeric = HostArray | ArrayLike<number>;

/** How far apart two numbers may be: `|a − b| ≤ atol + rtol · |b|`. */
export interface Tolerance {
  /** Relative part; 1.3e-6 unless said, PyTorch's default for float32. */
  readonly rtol?: number;
  /** Absolute part; 1e-5 unless said. */
  readonly atol?: number;
}

/** A check that failed. */
export class CheckError extends ChainruleError {}

/** The worst disagreement of two arrays. */
export interface Mismatch {
  /** Elements outside the tolerance. */
  readonly count: number;
  readonly total: number;
  /** Flat index of the element farthest outside. */
  readonly index: number;
  readonly actual: number;
  readonly expected: number;
}

/** Where two arrays differ by more than the tolerance; `undefined` if nowhere. NaN equals NaN, an infinity itself. */
export function mismatch(
  actual: Numeric,
  expected: Numeric,
  { rtol = 1.3e-6, atol = 1e-5 }: Tolerance = {},
): Mismatch | undefined {
  const a = numbersOf(actual);
  const b = numbersOf(expected);
  if (a.length !== b.length || !sameShape(shapeOf(actual), shapeOf(expected))) {
    const text = (x: Numeric): string => (x instanceof HostArray ? x.toString() : `${x.length} numbers`);
    throw new CheckError("allClose", `shapes differ: received ${text(actual)} and ${text(expected)}`);
  }
  let count = 0;
  let worst = -1;
  let index = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i]!;
    if (Object.is(x, y) || x === y) continue;
    const distance = Math.abs(x - y);
    const allowed = atol + rtol * Math.abs(y);
    if (distance <= allowed && y !== Infinity && y !== -Infinity) continue;
    count++;
    // NaN on one side is as far as it gets.
    const excess = Number.isNaN(distance) ? Infinity : distance / Math.max(allowed, Number.MIN_VALUE);
    if (excess > worst) [worst, index] = [excess, i];
  }
  return count === 0 ? undefined : { count, total: a.length, index, actual: a[index]!, expected: b[index]! };
}

/**
 * Whether two arrays agree: `|a − b| ≤ atol + rtol · |b|` for each pair (NumPy's rule; NaN equals NaN).
 * Arrays of different shape are refused.
 *
 * @example
 * allClose([1, 2], [1, 2.000001]); // true
 */
export function allClose(actual: Numeric, expected: Numeric, tolerance: Tolerance = {}): boolean {
  return mismatch(actual, expected, tolerance) === undefined;
}

/** Throws CheckError, naming the worst element, unless `allClose`. */
export function assertClose(
  actual: Numeric,
  expected: Numeric,
  { what = "values", ...tolerance }: Tolerance & { readonly what?: string } = {},
): void {
  const found = mismatch(actual, expected, tolerance);
  if (found === undefined) return;
  const { count, total, index } = found;
  throw new CheckError(
    what,
    `${count} of ${total} elements differ: at ${index} expected ${found.expected}, received ${found.actual}`,
  );
}

function numbersOf(x: Numeric): ArrayLike<number> {
  return x instanceof HostArray ? x.toFlat() : x;
}

function shapeOf(x: Numeric): Shape {
  return x instanceof HostArray ? x.shape : [x.length];
}
