// Convolution in two dimensions and its two adjoints: the gradient of each of the three is made of the other two.
import { ArgumentError, formatType, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, SampleInput, Value } from "../program/index.ts";
import { bind1, expectDtype, expectInputs, float, numbers, withOp, type OpFunction } from "./define.ts";
import { forEachTap, windowsOver, type Padding, type Pair, type Windows } from "./window.ts";

/** How a kernel slides: steps, cells added around the image, gaps between taps, and into how many groups channels fall. */
export type ConvAttrs = {
  readonly strides: Pair;
  readonly padding: Padding;
  readonly dilation: Pair;
  readonly groups: number;
};
/** The image size is said: several sizes give the same number of places. */
export type ConvInputAttrs = ConvAttrs & { readonly inputSize: Pair };
/** The kernel size is said: several sizes give the same number of places. */
export type ConvFilterAttrs = ConvAttrs & { readonly kernelSize: Pair };

/** Sizes of a convolution: windows, channels in and out, and both per group. */
export interface ConvDims {
  readonly windows: Windows;
  readonly channels: number;
  readonly filters: number;
  readonly groups: number;
  readonly groupChannels: number;
  readonly groupFilters: number;
}

/** Reads the sizes of a convolution off an image type [N, H, W, C] and a kernel type [KH, KW, C / groups, F]; refuses what does not fit. */
export function convDims(where: string, x: TensorType, w: TensorType, attrs: ConvAttrs): ConvDims {
  if (x.shape.length !== 4 || w.shape.length !== 4) {
    throw new ShapeError(
      where,
      `needs images [N,H,W,C] and kernels [KH,KW,C/groups,F]: received ${formatType(x)} and ${formatType(w)}`,
      {
        hint: "reshape an image without a batch or channel axis to four axes",
      },
    );
  }
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const [kh, kw, groupChannels, filters] = w.shape as [number, number, number, number];
  const { groups } = attrs;
  if (!Number.isInteger(groups) || groups < 1) {
    throw new ArgumentError(where, `groups must be a whole number ≥ 1: received ${groups}`);
  }
  if (groupChannels * groups !== channels || filters % groups !== 0) {
    throw new ShapeError(
      where,
      `channels do not fit ${groups} ${groups === 1 ? "group" : "groups"}: received images ${formatType(x)} and kernels ${formatType(w)}`,
      { hint: "kernels are [KH, KW, C / groups, F] with C and F divisible by groups" },
    );
  }
  const windows = windowsOver(where, { batch, input: [height, width], window: [kh, kw] }, attrs);
  return { windows, channels, filters, groups, groupChannels, groupFilters: filters / groups };
}

/** Sizes of `convInput`: the image is what the kernel and `inputSize` say. */
export function convInputDims(ct: TensorType, w: TensorType, attrs: ConvInputAttrs): ConvDims {
  const channels = (w.shape[2] ?? 0) * attrs.groups;
  const x: TensorType = { dtype: "float32", shape: [ct.shape[0] ?? 0, ...attrs.inputSize, channels] };
  const dims = convDims("convInput", x, w, attrs);
  expectResult("convInput", ct, dims, `images ${formatType(x)} and kernels ${formatType(w)}`);
  return dims;
}

/** Sizes of `convFilter`: the kernel is what the image, the cotangent and `kernelSize` say. */
export function convFilterDims(x: TensorType, ct: TensorType, attrs: ConvFilterAttrs): ConvDims {
  const groupChannels = Math.floor((x.shape[3] ?? 0) / attrs.groups);
  const w: TensorType = { dtype: "float32", shape: [...attrs.kernelSize, groupChannels, ct.shape[3] ?? 0] };
  const dims = convDims("convFilter", x, w, attrs);
  expectResult("convFilter", ct, dims, `images ${formatType(x)} and kernels ${formatType(w)}`);
  return dims;
}

// The cotangent must have the shape of the convolution's result.
function expectResult(where: string, ct: TensorType, { windows, filters }: ConvDims, of: string): void {
  const expected = [windows.batch, ...windows.output, filters];
  if (ct.shape.length !== 4 || expected.some((n, i) => n !== ct.shape[i])) {
    throw new ShapeError(where, `the result of ${of} is float32[${expected.join(",")}]: received ${formatType(ct)}`, {
      hint: "check the size asked for, strides and padding",
    });
  }
}

/** Walks the products of a convolution: `fn(x, w, y)` for each channel of each tap; the filters of its group lie behind w and y. */
function forEachProduct(dims: ConvDims, fn: (x: number, w: number, y: number) => void): void {
  const { windows, channels, filters, groups, groupChannels, groupFilters } = dims;
  forEachTap(windows, (from, to, tap) => {
    for (let group = 0; group < groups; group++) {
      const y = to * filters + group * groupFilters;
      for (let c = 0; c < groupChannels; c++) {
        const w = (tap * groupChannels + c) * filters + group * groupFilters;
        fn(from * channels + group * groupChannels + c, w, y);
      }
    }
  });
}

const convOp: OpRecord<ConvAttrs> = {
  name: "conv",
  doc: "Convolution of images with kernels (cross-correlation): `y[n,i,j,f] = Σ x[n, i·s + p·d − low, j·s + q·d − low, c] · w[p,q,c,f]`.",
  traits: { kind: "contract", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("conv", types, 2);
    expectDtype("conv", types, ["float32"]);
    const { windows, filters } = convDims("conv", types[0]!, types[1]!, attrs);
    return [{ dtype: "float32", shape: [windows.batch, ...windows.output, filters] }];
  },
  evaluate: ([x, w], attrs, { inputs, outputs }) => {
    const dims = convDims("conv", inputs[0]!, inputs[1]!, attrs);
    const out = numbers(outputs[0]!);
    forEachProduct(dims, (xi, wi, yi) => {
      const value = x![xi]!;
      for (let f = 0; f < dims.groupFilters; f++) out[yi + f]! += value * w![wi + f]!;
    });
    return [out];
  },
  vjp: ({ inputs: [x, w], attrs, cts: [ct] }) => [
    convInput(ct!, w!, { ...attrs, inputSize: [x!.shape[1]!, x!.shape[2]!] }),
    convFilter(x!, ct!, { ...attrs, kernelSize: [w!.shape[0]!, w!.shape[1]!] }),
  ],
  samples: cases().map(({ x, w, attrs }) => ({ inputs: [x, w], attrs })),
  errors: [
    { inputs: [float([5, 5, 1]), float([3, 3, 1, 2])], attrs: plain(), message: "needs images [N,H,W,C]" },
    { inputs: [float([1, 5, 5, 3]), float([3, 3, 2, 4])], attrs: plain(), message: "channels do not fit 1 group" },
    { inputs: [float([1, 5, 5, 4]), float([3, 3, 2, 3])], attrs: plain({ groups: 2 }), message: "do not fit 2 groups" },
    {
      inputs: [float([1, 2, 5, 1]), float([3, 3, 1, 1])],
      attrs: plain(),
      message: "does not fit into 2 cells along the height",
    },
    {
      inputs: [float([1, 5, 5, 1]), float([3, 3, 1, 1])],
      attrs: plain({ strides: [0, 1] }),
      message: "strides must be 2 whole numbers ≥ 1",
    },
    {
      inputs: [float([1, 5, 5, 1]), float([3, 3, 1, 1])],
      attrs: plain({
        padding: [
          [0, -1],
          [0, 0],
        ],
      }),
      message: "padding must be 4 whole numbers ≥ 0",
    },
    {
      inputs: [float([1, 5, 5, 1]), { dtype: "int32", shape: [3, 3, 1, 1] }],
      attrs: plain(),
      message: "expected float32",
    },
  ],
  terms: (types) => types[1]!.shape.slice(0, 3).reduce((a, b) => a * b, 1),
};

const convInputOp: OpRecord<ConvInputAttrs> = {
  name: "convInput",
  doc: "The adjoint of `conv` in its images, also called transposed convolution: `x[n, i·s + p·d − low, …, c] += y[n,i,j,f] · w[p,q,c,f]`.",
  traits: { kind: "contract", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("convInput", types, 2);
    expectDtype("convInput", types, ["float32"]);
    const { windows, channels } = convInputDims(types[0]!, types[1]!, attrs);
    return [{ dtype: "float32", shape: [windows.batch, ...windows.input, channels] }];
  },
  evaluate: ([y, w], attrs, { inputs, outputs }) => {
    const dims = convInputDims(inputs[0]!, inputs[1]!, attrs);
    const out = numbers(outputs[0]!);
    forEachProduct(dims, (xi, wi, yi) => {
      let total = 0;
      for (let f = 0; f < dims.groupFilters; f++) total += y![yi + f]! * w![wi + f]!;
      out[xi]! += total;
    });
    return [out];
  },
  vjp: ({ inputs: [y, w], attrs, cts: [ct] }) => [
    conv(ct!, w!, attrs),
    convFilter(ct!, y!, { ...attrs, kernelSize: [w!.shape[0]!, w!.shape[1]!] }),
  ],
  samples: cases().map(({ x, w, y, attrs }) => ({
    inputs: [y, w],
    attrs: { ...attrs, inputSize: [x.shape[1]!, x.shape[2]!] as const },
  })),
  errors: [
    {
      inputs: [float([1, 3, 3, 2]), float([3, 3, 1, 2])],
      attrs: { ...plain(), inputSize: [6, 5] },
      message: "is float32[1,4,3,2]: received float32[1,3,3,2]",
    },
    {
      inputs: [float([1, 3, 3, 4]), float([3, 3, 1, 2])],
      attrs: { ...plain(), inputSize: [5, 5] },
      message: "is float32[1,3,3,2]: received float32[1,3,3,4]",
    },
    {
      inputs: [float([3, 3, 2]), float([3, 3, 1, 2])],
      attrs: { ...plain(), inputSize: [5, 5] },
      message: "received float32[3,3,2]",
    },
  ],
  terms: (types, { groups }) => (types[1]!.shape[0]! * types[1]!.shape[1]! * types[1]!.shape[3]!) / groups,
};

const convFilterOp: OpRecord<ConvFilterAttrs> = {
  name: "convFilter",
  doc: "The adjoint of `conv` in its kernels: `w[p,q,c,f] = Σ x[n, i·s + p·d − low, j·s + q·d − low, c] · y[n,i,j,f]`.",
  traits: { kind: "contract", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("convFilter", types, 2);
    expectDtype("convFilter", types, ["float32"]);
    const { windows, groupChannels, filters } = convFilterDims(types[0]!, types[1]!, attrs);
    return [{ dtype: "float32", shape: [...windows.window, groupChannels, filters] }];
  },
  evaluate: ([x, y], attrs, { inputs, outputs }) => {
    const dims = convFilterDims(inputs[0]!, inputs[1]!, attrs);
    const out = numbers(outputs[0]!);
    forEachProduct(dims, (xi, wi, yi) => {
      const value = x![xi]!;
      for (let f = 0; f < dims.groupFilters; f++) out[wi + f]! += value * y![yi + f]!;
    });
    return [out];
  },
  vjp: ({ inputs: [x, y], attrs, cts: [ct] }) => [
    convInput(y!, ct!, { ...attrs, inputSize: [x!.shape[1]!, x!.shape[2]!] }),
    conv(x!, ct!, attrs),
  ],
  samples: cases().map(({ x, w, y, attrs }) => ({
    inputs: [x, y],
    attrs: { ...attrs, kernelSize: [w.shape[0]!, w.shape[1]!] as const },
  })),
  errors: [
    {
      inputs: [float([1, 5, 5, 1]), float([1, 3, 3, 2])],
      attrs: { ...plain(), kernelSize: [2, 3] },
      message: "is float32[1,4,3,2]: received float32[1,3,3,2]",
    },
    {
      inputs: [float([2, 5, 5, 1]), float([1, 3, 3, 2])],
      attrs: { ...plain(), kernelSize: [3, 3] },
      message: "is float32[2,3,3,2]: received float32[1,3,3,2]",
    },
    {
      inputs: [float([1, 5, 5, 3]), float([1, 3, 3, 2])],
      attrs: { ...plain({ groups: 2 }), kernelSize: [3, 3] },
      message: "do not fit 2 groups",
    },
  ],
  terms: (types) => types[1]!.shape.slice(0, 3).reduce((a, b) => a * b, 1),
};

/** A sliding kernel over images [N, H, W, C] with kernels [KH, KW, C / groups, F]: [N, OH, OW, F]. Step 1, no padding, no dilation, one group unless said. */
export const conv: OpFunction<(x: Value, w: Value, attrs?: Partial<ConvAttrs>) => Value, ConvAttrs> = withOp(
  convOp,
  (x, w, attrs = {}) => bind1(convOp, [x, w], plain(attrs)),
);

/** The adjoint of `conv` in its images: places [N, OH, OW, F] back to images of `inputSize` [N, H, W, C]. */
export const convInput: OpFunction<
  (ct: Value, w: Value, attrs: Partial<ConvAttrs> & { readonly inputSize: Pair }) => Value,
  ConvInputAttrs
> = withOp(convInputOp, (ct, w, attrs) => bind1(convInputOp, [ct, w], { ...plain(attrs), inputSize: attrs.inputSize }));

/** The adjoint of `conv` in its kernels: images and places back to kernels of `kernelSize` [KH, KW, C / groups, F]. */
export const convFilter: OpFunction<
  (x: Value, ct: Value, attrs: Partial<ConvAttrs> & { readonly kernelSize: Pair }) => Value,
  ConvFilterAttrs
> = withOp(convFilterOp, (x, ct, attrs) =>
  bind1(convFilterOp, [x, ct], { ...plain(attrs), kernelSize: attrs.kernelSize }),
);

// All four attributes and nothing else.
function plain(attrs: Partial<ConvAttrs> = {}): ConvAttrs {
  const {
    strides = [1, 1],
    padding = [
      [0, 0],
      [0, 0],
    ],
    dilation = [1, 1],
    groups = 1,
  } = attrs;
  return { strides, padding, dilation, groups };
}

// The convolutions all three ops are tested on: image, kernel and result.
function cases(): { x: SampleInput; w: SampleInput; y: SampleInput; attrs: ConvAttrs }[] {
  const around = (n: number): Padding => [
    [n, n],
    [n, n],
  ];
  const list: [x: readonly number[], w: readonly number[], attrs: Partial<ConvAttrs>][] = [
    [[1, 4, 5, 2], [3, 3, 2, 3], {}],
    [[2, 5, 4, 3], [3, 2, 3, 4], { padding: around(1) }],
    [
      [1, 6, 7, 1],
      [3, 3, 1, 2],
      {
        strides: [2, 3],
        padding: [
          [0, 1],
          [1, 0],
        ],
      },
    ],
    [[1, 7, 6, 2], [3, 2, 2, 2], { dilation: [2, 3], padding: around(2), strides: [2, 1] }],
    [[1, 4, 4, 4], [2, 2, 2, 6], { groups: 2 }],
    [[1, 5, 5, 3], [3, 3, 1, 6], { groups: 3, strides: [2, 2], padding: around(1) }],
    [[2, 1, 9, 2], [1, 3, 2, 3], { strides: [1, 2] }],
    [[3, 3, 2, 5], [1, 1, 5, 4], {}],
    [[0, 4, 4, 2], [3, 3, 2, 3], {}],
    [[1, 9, 9, 8], [3, 3, 8, 17], { padding: around(1) }],
  ];
  return list.map(([xs, ws, given]) => {
    const attrs = plain(given);
    const [x, w] = [float(xs), float(ws)];
    const { windows, filters } = convDims("conv", x, w, attrs);
    return { x, w, y: float([windows.batch, ...windows.output, filters]), attrs };
  });
}
