// einsum: sums of products written by index letters, lowered to one batched matrix product a step.
import { ArgumentError, ShapeError, sizeOf } from "../../core/index.ts";
import * as ops from "../../ops/index.ts";
import type { Value } from "../../program/index.ts";
import { applyMany, type Tensor } from "../tensor.ts";

/**
 * Einstein's summation: letters name axes, letters missing from the result are summed over.
 *
 * @example
 * einsum("bij,bjk->bik", ones([2, 3, 4]), ones([2, 4, 5])).shape; // [2, 3, 5]
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  const { inputs, output } = parse(equation, operands.length);
  return applyMany(
    (...values) =>
      evaluate(
        inputs,
        output,
        values.map((v) => ops.cast(v, "float32")),
      ),
    operands,
  );
}

interface Labelled {
  readonly labels: string;
  readonly value: Value;
}

function parse(equation: string, count: number): { inputs: string[]; output: string } {
  const [left, right, ...rest] = equation.replaceAll(" ", "").split("->");
  const inputs = (left ?? "").split(",");
  if (rest.length > 0 || !/^[a-zA-Z,]*$/.test(left!) || !/^[a-zA-Z]*$/.test(right ?? "")) {
    throw new ArgumentError("einsum", `expected letters, commas and one arrow: received "${equation}"`);
  }
  if (inputs.length !== count)
    throw new ArgumentError("einsum", `"${equation}" names ${inputs.length} operands: received ${count}`);
  const all = inputs.join("");
  // Without an arrow: the letters that occur once, in alphabetical order (NumPy's rule).
  const implicit = [...new Set(all)]
    .filter((c) => all.indexOf(c) === all.lastIndexOf(c))
    .sort()
    .join("");
  const output = right ?? implicit;
  for (const c of output) {
    if (!all.includes(c))
      throw new ArgumentError("einsum", `"${c}" of the result is in no operand: received "${equation}"`);
    if (output.indexOf(c) !== output.lastIndexOf(c))
      throw new ArgumentError("einsum", `"${c}" is twice in the result: received "${equation}"`);
  }
  return { inputs, output };
}

function evaluate(inputs: readonly string[], output: string, values: readonly Value[]): Value {
  const sizes = new Map<string, number>();
  const operands = inputs.map((labels, i): Labelled => {
    const value = values[i]!;
    if (labels.length !== value.shape.length)
      throw new ShapeError("einsum", `"${labels}" names ${labels.length} axes: received ${value.toString()}`);
    [...labels].forEach((c, axis) => {
      const n = value.shape[axis]!;
      if ((sizes.get(c) ?? n) !== n) throw new ShapeError("einsum", `axis "${c}" is both ${sizes.get(c)} and ${n}`);
      sizes.set(c, n);
    });
    return diagonal(labels, value);
  });
  const result = operands.reduce((a, b, i) => contract(a, b, output + inputs.slice(i + 1).join("")));
  return arrange(sumOut(result, output), output);
}

// A letter twice in one operand is its diagonal.
function diagonal(labels: string, value: Value): Labelled {
  const twice = [...labels].find((c, i) => labels.indexOf(c) !== i);
  if (twice === undefined) return { labels, value };
  const [first, second] = [labels.indexOf(twice), labels.lastIndexOf(twice)];
  const mask = ops.equal(ops.iota(value.shape, first, "int32"), ops.iota(value.shape, second, "int32"));
  const kept = ops.sum(ops.where(mask, value, ops.zerosLike(value)), [second]);
  return diagonal(labels.slice(0, second) + labels.slice(second + 1), kept);
}

function sumOut({ labels, value }: Labelled, keep: string): Labelled {
  const axes = [...labels].flatMap((c, i) => (keep.includes(c) ? [] : [i]));
  return { labels: [...labels].filter((c) => keep.includes(c)).join(""), value: ops.sum(value, axes) };
}

function arrange({ labels, value }: Labelled, order: string): Value {
  return ops.transpose(
    value,
    [...order].map((c) => labels.indexOf(c)),
  );
}

// Two operands become one: shared kept letters are the batch, shared dropped ones the inner axis of a matrix product.
function contract(left: Labelled, right: Labelled, keep: string): Labelled {
  const a = sumOut(left, keep + right.labels);
  const b = sumOut(right, keep + left.labels);
  const shared = [...a.labels].filter((c) => b.labels.includes(c));
  const batch = shared.filter((c) => keep.includes(c)).join("");
  const inner = shared.filter((c) => !keep.includes(c)).join("");
  const rows = [...a.labels].filter((c) => !b.labels.includes(c)).join("");
  const columns = [...b.labels].filter((c) => !a.labels.includes(c)).join("");
  const x = arrange(a, batch + rows + inner);
  const y = arrange(b, batch + inner + columns);
  const size = (labels: string, from: Labelled): number[] =>
    [...labels].map((c) => from.value.shape[from.labels.indexOf(c)]!);
  const n = sizeOf(size(batch, a));
  const [m, k, p] = [sizeOf(size(rows, a)), sizeOf(size(inner, a)), sizeOf(size(columns, b))];
  const product = ops.matmul(ops.reshape(x, [n, m, k]), ops.reshape(y, [n, k, p]));
  return {
    labels: batch + rows + columns,
    value: ops.reshape(product, [...size(batch, a), ...size(rows, a), ...size(columns, b)]),
  };
}
