// Ops that pick, add, order or draw elements.
import { elementBytes, floatBits } from "../../../plan/index.ts";
import { aroundAxis, rule, sizeOf, type LowerRule, type LowerRules } from "./lowering.ts";

const float = (dtype: string): number => Number(dtype === "float32");

const gather: LowerRule = rule<{ axis: number }>(({ attrs, inputs }) => {
  const [x, indices] = [inputs[0]!, inputs[1]!];
  const { outer, n, inner } = aroundAxis(x.shape, attrs.axis);
  return { kernel: "gather", params: [elementBytes(x.dtype), outer, n, inner, sizeOf(indices.shape)] };
});

const embedding: LowerRule = ({ inputs }) => {
  const [rows, width] = inputs[0]!.shape as [number, number];
  return { kernel: "gather", params: [4, 1, rows, width, sizeOf(inputs[1]!.shape)] };
};

const scatterAdd: LowerRule = rule<{ axis: number; size: number }>(({ attrs, inputs, outputs }) => {
  const { outer, n, inner } = aroundAxis(outputs[0]!.shape, attrs.axis);
  return {
    kernel: "scatterAdd",
    params: [float(outputs[0]!.dtype), outer, n, inner, sizeOf(inputs[0]!.shape)],
    flops: sizeOf(inputs[1]!.shape),
  };
});

const scatterAddTo: LowerRule = rule<{ axis: number }>(({ attrs, inputs: [base, indices, updates] }) => {
  const { outer, n, inner } = aroundAxis(base!.shape, attrs.axis);
  return {
    kernel: "scatterAddTo",
    params: [float(base!.dtype), outer, n, inner, sizeOf(indices!.shape)],
    flops: sizeOf(updates!.shape),
    inplace: [[0, 0]],
  };
});

const takeAlongAxis: LowerRule = rule<{ axis: number }>(({ attrs: { axis }, inputs }) => {
  const [x, indices] = [inputs[0]!, inputs[1]!];
  const { outer, n, inner } = aroundAxis(x.shape, axis);
  return { kernel: "takeAlongAxis", params: [elementBytes(x.dtype), outer, n, inner, indices.shape[axis]!] };
});

const scatterAddAlongAxis: LowerRule = rule<{ axis: number }>(({ attrs: { axis }, inputs, outputs }) => {
  const { outer, n, inner } = aroundAxis(outputs[0]!.shape, axis);
  return {
    kernel: "scatterAddAlongAxis",
    params: [float(outputs[0]!.dtype), outer, n, inner, inputs[0]!.shape[axis]!],
    flops: sizeOf(inputs[1]!.shape),
  };
});

const keyTypes: readonly string[] = ["float32", "int32", "uint32"];

const sort: LowerRule = rule<{ axis: number; descending: boolean }>(({ attrs, inputs }) => {
  const { dtype, shape } = inputs[0]!;
  const { outer, n, inner } = aroundAxis(shape, attrs.axis);
  return { kernel: "sort", params: [keyTypes.indexOf(dtype), outer, n, inner, Number(attrs.descending), n] };
});

const topK: LowerRule = rule<{ k: number }>(({ attrs: { k }, inputs }) => {
  const { dtype, shape } = inputs[0]!;
  const { outer, n } = aroundAxis(shape, shape.length - 1);
  return { kernel: "sort", params: [keyTypes.indexOf(dtype), outer, n, 1, 1, k] };
});

const draw: LowerRule = ({ op, outputs }) => ({ kernel: op.name, params: [sizeOf(outputs[0]!.shape)] });

const splitKey: LowerRule = ({ outputs }) => ({ kernel: "randomBits", params: [sizeOf(outputs[0]!.shape)] });

const dropout: LowerRule = rule<{ rate: number }>(({ attrs: { rate }, inputs }) => {
  if (rate === 0) return { view: 0 };
  // The rate rounded up to the 24 bits of a uniform number: exact in float32.
  const threshold = Math.ceil(rate * 2 ** 24) * 2 ** -24;
  return {
    kernel: "dropout",
    params: [sizeOf(inputs[0]!.shape), floatBits(threshold), floatBits(1 / (1 - rate))],
    inplace: [[0, 0]],
  };
});

const writeBlocks: LowerRule = ({ inputs: [base, block] }) => {
  const [rows, places, ...inner] = base!.shape as [number, number, ...number[]];
  const [batch, time] = block!.shape as [number, number];
  return {
    kernel: "writeBlocks",
    params: [elementBytes(base!.dtype) * sizeOf(inner), rows, places, batch, time],
    inplace: [[0, 0]],
  };
};

/** Rules of indexing, sorting and random numbers. */
export const indexingRules: LowerRules = {
  gather,
  embedding,
  scatterAdd,
  scatterAddTo,
  takeAlongAxis,
  scatterAddAlongAxis,
  sort,
  topK,
  randomBits: draw,
  uniform: draw,
  writeBlocks,
  foldIn: () => ({ kernel: "foldIn", params: [] }),
  splitKey,
  dropout,
};
