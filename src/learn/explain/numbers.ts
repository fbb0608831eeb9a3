// Numbers for people: a sensible number of digits, arrays abridged with their shape.
import type { NumberArray } from "./explanation.ts";

/** Four significant digits; very small and very large numbers with an exponent. */
export function formatNumber(x: number, digits: number = 4): string {
  if (x === 0) return "0";
  if (!Number.isFinite(x)) return String(x);
  const size = Math.abs(x);
  if (size < 1e-4 || size >= 1e6) return x.toExponential(digits - 1).replace(/\.?0+e/, "e");
  if (Number.isInteger(x)) return String(x);
  const text = x.toPrecision(digits);
  return text.includes("e") ? String(Math.round(x)) : text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** Enough digits to see where two numbers part: 10 significant ones. */
export const formatLong = (x: number): string => formatNumber(x, 10);

/** `[784, 128]`; a single number has no shape to show. */
export const formatShape = (shape: readonly number[]): string => `[${shape.join(", ")}]`;

/** `1.3e-10`. */
export const formatError = (x: number): string => (x === 0 ? "0" : x.toExponential(1));

/** An array as lines of aligned numbers: all of it if it is small, else its corners with `…` between. */
export function abridge(
  { shape, values }: NumberArray,
  { columns = 8, rows = 4 }: { readonly columns?: number; readonly rows?: number } = {},
): string[] {
  // A vector that is a little too long goes on in the next line.
  if (shape.length === 1 && values.length > columns && values.length <= 2 * columns)
    return abridge({ shape: [1, columns], values: values.slice(0, columns) }, { columns }).concat(
      abridge({ shape: [1, values.length - columns], values: values.slice(columns) }, { columns }),
    );
  const width = shape.at(-1) ?? 1;
  const count = width === 0 ? 0 : values.length / width;
  const keepColumns = ends(width, columns);
  const keepRows = ends(count, rows);
  const cells = keepRows.map((row) =>
    row === null
      ? keepColumns.map((column) => (column === null ? "…" : "⋮"))
      : keepColumns.map((column) => (column === null ? "…" : formatNumber(values[row * width + column]!))),
  );
  const widths = keepColumns.map((_, i) => Math.max(0, ...cells.map((line) => line[i]!.length)));
  return cells.map((line) => line.map((cell, i) => cell.padStart(widths[i]!)).join("  "));
}

// The first numbers and the last one, with a gap (null) between.
function ends(n: number, most: number): (number | null)[] {
  if (n <= most) return Array.from({ length: n }, (_, i) => i);
  return [...Array.from({ length: most - 2 }, (_, i) => i), null, n - 1];
}

/** A flat index as one index for each axis. */
export function coordinates(index: number, shape: readonly number[]): number[] {
  const out: number[] = [];
  for (const size of shape.toReversed()) {
    out.unshift(index % size);
    index = Math.floor(index / size);
  }
  return out;
}

/** Where the number of largest size is; 0 for an empty array. */
export function indexOfLargest(values: readonly number[]): number {
  return values.reduce((best, value, i) => (Math.abs(value) > Math.abs(values[best]!) ? i : best), 0);
}
