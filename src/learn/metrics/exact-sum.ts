// Sums without rounding: a number is kept as a list of float64 whose exact sum it is, so order and grouping cannot matter.
// Source: Shewchuk, "Adaptive precision floating-point arithmetic and fast robust geometric predicates" (1997); Python's math.fsum.
import { DataError } from "../../engine/core/index.ts";

/** Parts that do not overlap, smallest first; their mathematical sum is the number. `[]` is 0. */
export type ExactSum = number[];

/** Largest size of a number whose square and products stay finite and exact. */
export const LARGEST = 1e150;

/** Adds `x` to the sum in place, without rounding. */
export function add(sum: ExactSum, x: number): void {
  checkFinite(x);
  let kept = 0;
  for (let i = 0; i < sum.length; i++) {
    let y = sum[i]!;
    if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
    const high = x + y;
    checkFinite(high);
    const low = y - (high - x);
    if (low !== 0) sum[kept++] = low;
    x = high;
  }
  sum.length = kept;
  if (x !== 0) sum.push(x);
}

/** Adds a sum to another in place, without rounding. */
export function addSum(into: ExactSum, from: ExactSum): void {
  const parts = from === into ? [...from] : from; // a sum may be added to itself
  for (const part of parts) add(into, part);
}

/** Adds the product `a b` without rounding, for factors up to 1e150. */
export function addProduct(sum: ExactSum, a: number, b: number): void {
  const high = a * b;
  add(sum, productError(a, b, high));
  add(sum, high);
}

/** The exact product of two sums. */
export function multiply(a: ExactSum, b: ExactSum): ExactSum {
  const out: ExactSum = [];
  for (const x of a) for (const y of b) addProduct(out, x, y);
  return out;
}

/** `a - b`, exact. */
export function subtract(a: ExactSum, b: ExactSum): ExactSum {
  const out = [...a];
  for (const part of b) add(out, -part);
  return out;
}

/** The float64 nearest to the sum (ties to even). */
export function valueOf(sum: ExactSum): number {
  let i = sum.length - 1;
  if (i < 0) return 0;
  let high = sum[i--]!;
  let low = 0;
  while (i >= 0) {
    const x = high;
    const y = sum[i--]!;
    high = x + y;
    low = y - (high - x);
    if (low !== 0) break;
  }
  // A remainder of exactly half a unit was rounded to even without regard to the parts below it: they decide.
  if (i >= 0 && ((low < 0 && sum[i]! < 0) || (low > 0 && sum[i]! > 0))) {
    const twice = low * 2;
    const next = high + twice;
    if (twice === next - high) high = next;
  }
  return high;
}

/** The float64 nearest to the sum of the values, whatever their order. */
export function exactTotal(values: ArrayLike<number>): number {
  const sum: ExactSum = [];
  for (let i = 0; i < values.length; i++) add(sum, values[i]!);
  return valueOf(sum);
}

/** What `a b` lost when it was rounded to `product` (Dekker's product). */
export function productError(a: number, b: number, product: number): number {
  const split = 134217729; // 2^27 + 1 cuts a float64 into two halves of 26 bits
  const ta = split * a;
  const ah = ta - (ta - a);
  const al = a - ah;
  const tb = split * b;
  const bh = tb - (tb - b);
  const bl = b - bh;
  return al * bl - (product - ah * bh - al * bh - ah * bl);
}

function checkFinite(x: number): void {
  if (!Number.isFinite(x)) throw new DataError("metric", `a sum left the range of float64: received ${x}`);
}
