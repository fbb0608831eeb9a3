// Pooling: the largest or the mean of each window, channel by channel, with the adjoints that close both families.
import { ArgumentError, formatType, sameShape, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, Sample, SampleInput, Value } from "../program/index.ts";
import { bind1, expectDtype, expectInputs, float, numbers, withOp, type OpFunction } from "./define.ts";
import { forEachTap, windowsOver, type Padding, type Pair, type Windows } from "./window.ts";

/** The window, how it steps, and cells added around the image. */
export type PoolAttrs = { readonly window: Pair; readonly strides: Pair; readonly padding: Padding };
/** Whether cells of padding count as zeros in the mean. */
export type AvgPoolAttrs = PoolAttrs & { readonly countPadding: boolean };
/** The image size is said: several sizes give the same number of windows. */
export type AvgPoolSpreadAttrs = AvgPoolAttrs & { readonly inputSize: Pair };

/** Pooling attributes as written: steps of a whole window and no padding unless said. */
export type PoolOptions = Pick<PoolAttrs, "window"> & Partial<PoolAttrs>;

/** Reads the windows of a pooling off an image type [N, H, W, C]; refuses what does not fit, and windows that would see nothing but padding. */
export function poolWindows(where: string, x: TensorType, attrs: PoolAttrs): Windows {
  if (x.shape.length !== 4) {
    throw new ShapeError(where, `needs images [N,H,W,C]: received ${formatType(x)}`, {
      hint: "reshape an image without a batch or channel axis to four axes",
    });
  }
  const [batch, height, width] = x.shape as [number, number, number, number];
  if (height === 0 || width === 0) throw new ShapeError(where, `the image has no cells: received ${formatType(x)}`);
  const { window, strides, padding } = attrs;
  const windows = windowsOver(where, { batch, input: [height, width], window }, { strides, padding, dilation: [1, 1] });
  if (padding.some((pair, axis) => pair.some((n) => n >= window[axis]!))) {
    throw new ArgumentError(
      where,
      `padding must be smaller than the window [${window.join(",")}]: received [${padding.map((pair) => `[${pair.join(",")}]`).join(",")}]`,
      { hint: "a window with nothing but padding has no largest element and no mean" },
    );
  }
  return windows;
}

function pooledShape({ batch, output }: Windows, channels: number): number[] {
  return [batch, ...output, channels];
}

// The place of the first maximum in x for each element of the pooled result.
function firstMaxima(x: Float64Array, windows: Windows, channels: number): Int32Array {
  const [rows, columns] = windows.output;
  const places = new Int32Array(windows.batch * rows * columns * channels).fill(-1);
  forEachTap(windows, (from, to) => {
    for (let c = 0; c < channels; c++) {
      const place = places[to * channels + c]!;
      const value = x[from * channels + c]!;
      // Nothing beats NaN, so the first one stays.
      const wins = place < 0 || value > x[place]! || (value !== value && x[place] === x[place]);
      if (wins) places[to * channels + c] = from * channels + c;
    }
  });
  return places;
}

const maxPoolOp: OpRecord<PoolAttrs> = {
  name: "maxPool",
  doc: "The largest element of each window: `y[n,i,j,c] = max x[n, i·s + p − low, j·s + q − low, c]` over the window's cells inside the image.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("maxPool", types, 1);
    expectDtype("maxPool", types, ["float32"]);
    return [{ dtype: "float32", shape: pooledShape(poolWindows("maxPool", types[0]!, attrs), types[0]!.shape[3]!) }];
  },
  evaluate: ([x], attrs, { inputs }) => {
    const places = firstMaxima(x!, poolWindows("maxPool", inputs[0]!, attrs), inputs[0]!.shape[3]!);
    return [Float64Array.from(places, (place) => x![place]!)];
  },
  vjp: ({ inputs: [x], attrs, cts: [ct] }) => [maxPoolScatter(x!, ct!, attrs)],
  samples: [
    ...maxCases(([x]) => [x]),
    {
      inputs: [float([1, 2, 4, 1], { values: [1, 1, NaN, 2, 1, 1, NaN, 3] })],
      attrs: { window: [2, 2], strides: [2, 2], padding: nothing() },
      wrt: [],
    },
  ],
  errors: [
    ...badWindows().map(({ x, ...rest }) => ({ inputs: [x], ...rest })),
    {
      inputs: [{ dtype: "int32", shape: [1, 4, 4, 1] }],
      attrs: { window: [2, 2], strides: [2, 2], padding: nothing() },
      message: "expected float32",
    },
  ],
};

// Shape rule of the two adjoints: the second input must be what `expected` says.
function expectSecond(where: string, types: readonly TensorType[], expected: readonly number[]): void {
  if (!sameShape(types[1]!.shape, expected)) {
    throw new ShapeError(
      where,
      `expected float32[${expected.join(",")}] beside ${formatType(types[0]!)}: received ${formatType(types[1]!)}`,
    );
  }
}

const maxPoolScatterOp: OpRecord<PoolAttrs> = {
  name: "maxPoolScatter",
  doc: "The adjoint of `maxPoolGather`: zeros of the shape of x, plus each `ct[n,i,j,c]` at the place of the first maximum of its window of x.",
  traits: { kind: "index", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("maxPoolScatter", types, 2);
    expectDtype("maxPoolScatter", types, ["float32"]);
    const windows = poolWindows("maxPoolScatter", types[0]!, attrs);
    expectSecond("maxPoolScatter", types, pooledShape(windows, types[0]!.shape[3]!));
    return [{ dtype: "float32", shape: types[0]!.shape }];
  },
  evaluate: ([x, ct], attrs, { inputs, outputs }) => {
    const places = firstMaxima(x!, poolWindows("maxPoolScatter", inputs[0]!, attrs), inputs[0]!.shape[3]!);
    const out = numbers(outputs[0]!);
    places.forEach((place, i) => (out[place]! += ct![i]!));
    return [out];
  },
  // Piecewise constant in x.
  vjp: ({ inputs: [x], attrs, cts: [ct] }) => [undefined, maxPoolGather(x!, ct!, attrs)],
  samples: maxCases(([x, pooled]) => [x, pooled]),
  errors: [
    ...badWindows().map(({ x, ...rest }) => ({ inputs: [x, x], ...rest })),
    {
      inputs: [float([1, 4, 4, 1]), float([1, 4, 2, 1])],
      attrs: { window: [2, 2], strides: [2, 2], padding: nothing() },
      message: "expected float32[1,2,2,1]",
    },
  ],
  terms: (_, { window, strides }) => overlap(window, strides),
};

const maxPoolGatherOp: OpRecord<PoolAttrs> = {
  name: "maxPoolGather",
  doc: "Picks by windows: `y[n,i,j,c] = v` at the place of the first maximum of that window of x.",
  traits: { kind: "index", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("maxPoolGather", types, 2);
    expectDtype("maxPoolGather", types, ["float32"]);
    const windows = poolWindows("maxPoolGather", types[0]!, attrs);
    expectSecond("maxPoolGather", types, types[0]!.shape);
    return [{ dtype: "float32", shape: pooledShape(windows, types[0]!.shape[3]!) }];
  },
  evaluate: ([x, v], attrs, { inputs }) => {
    const places = firstMaxima(x!, poolWindows("maxPoolGather", inputs[0]!, attrs), inputs[0]!.shape[3]!);
    return [Float64Array.from(places, (place) => v![place]!)];
  },
  vjp: ({ inputs: [x], attrs, cts: [ct] }) => [undefined, maxPoolScatter(x!, ct!, attrs)],
  samples: maxCases(([x]) => [x, float(x.shape)]),
  errors: [
    ...badWindows().map(({ x, ...rest }) => ({ inputs: [x, x], ...rest })),
    {
      inputs: [float([1, 4, 4, 1]), float([1, 2, 2, 1])],
      attrs: { window: [2, 2], strides: [2, 2], padding: nothing() },
      message: "expected float32[1,4,4,1]",
    },
  ],
};

// Calls `fn` for each cell a window sees, with the weight it has in the mean.
function forEachShare(
  windows: Windows,
  countPadding: boolean,
  fn: (from: number, to: number, share: number) => void,
): void {
  const counts = new Int32Array(windows.batch * windows.output[0] * windows.output[1]);
  if (countPadding) counts.fill(windows.window[0] * windows.window[1]);
  else forEachTap(windows, (_, to) => counts[to]!++);
  forEachTap(windows, (from, to) => fn(from, to, 1 / counts[to]!));
}

const avgPoolOp: OpRecord<AvgPoolAttrs> = {
  name: "avgPool",
  doc: "The mean of each window: `y[n,i,j,c] = 1/k Σ x[n, i·s + p − low, j·s + q − low, c]`; k counts cells of padding (as zeros) only with `countPadding`.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("avgPool", types, 1);
    expectDtype("avgPool", types, ["float32"]);
    return [{ dtype: "float32", shape: pooledShape(poolWindows("avgPool", types[0]!, attrs), types[0]!.shape[3]!) }];
  },
  evaluate: ([x], attrs, { inputs, outputs }) => {
    const channels = inputs[0]!.shape[3]!;
    const out = numbers(outputs[0]!);
    forEachShare(poolWindows("avgPool", inputs[0]!, attrs), attrs.countPadding, (from, to, share) => {
      for (let c = 0; c < channels; c++) out[to * channels + c]! += share * x![from * channels + c]!;
    });
    return [out];
  },
  vjp: ({ inputs: [x], attrs, cts: [ct] }) => [
    avgPoolSpread(ct!, { ...attrs, inputSize: [x!.shape[1]!, x!.shape[2]!] }),
  ],
  samples: avgCases().map(({ x, attrs }) => ({ inputs: [x], attrs })),
  errors: badWindows().map(({ x, attrs, message }) => ({
    inputs: [x],
    attrs: { ...attrs, countPadding: false },
    message,
  })),
  terms: (_, { window }) => window[0] * window[1],
};

const avgPoolSpreadOp: OpRecord<AvgPoolSpreadAttrs> = {
  name: "avgPoolSpread",
  doc: "The adjoint of `avgPool`: each `ct[n,i,j,c] / k` added to every cell of its window, in an image of `inputSize`.",
  traits: { kind: "reduce", recompute: "costly" },
  shape: (types, attrs) => {
    expectInputs("avgPoolSpread", types, 1);
    expectDtype("avgPoolSpread", types, ["float32"]);
    const [ct] = types as [TensorType];
    const image = spreadShape(ct, attrs);
    const windows = poolWindows("avgPoolSpread", { dtype: "float32", shape: image }, attrs);
    const expected = pooledShape(windows, image[3]!);
    if (!sameShape(ct.shape, expected)) {
      throw new ShapeError(
        "avgPoolSpread",
        `images float32[${image.join(",")}] have float32[${expected.join(",")}] windows: received ${formatType(ct)}`,
        {
          hint: "check the size asked for, strides and padding",
        },
      );
    }
    return [{ dtype: "float32", shape: image }];
  },
  evaluate: ([ct], attrs, { outputs }) => {
    const channels = outputs[0]!.shape[3]!;
    const out = numbers(outputs[0]!);
    forEachShare(poolWindows("avgPoolSpread", outputs[0]!, attrs), attrs.countPadding, (from, to, share) => {
      for (let c = 0; c < channels; c++) out[from * channels + c]! += share * ct![to * channels + c]!;
    });
    return [out];
  },
  vjp: ({ attrs, cts: [ct] }) => [avgPool(ct!, attrs)],
  samples: avgCases().map(({ x, pooled, attrs }) => ({
    inputs: [pooled],
    attrs: { ...attrs, inputSize: [x.shape[1]!, x.shape[2]!] as const },
  })),
  errors: [
    {
      inputs: [float([1, 2, 3, 1])],
      attrs: { window: [2, 2], strides: [2, 2], padding: nothing(), countPadding: false, inputSize: [4, 4] },
      message: "have float32[1,2,2,1] windows",
    },
    {
      inputs: [float([2, 2])],
      attrs: { window: [2, 2], strides: [2, 2], padding: nothing(), countPadding: false, inputSize: [4, 4] },
      message: "received float32[2,2]",
    },
  ],
  terms: (_, { window, strides }) => overlap(window, strides),
};

function spreadShape(ct: TensorType, { inputSize }: AvgPoolSpreadAttrs): number[] {
  return [ct.shape[0] ?? 0, ...inputSize, ct.shape[3] ?? 0];
}

// How many windows see one cell at most.
function overlap(window: Pair, strides: Pair): number {
  return Math.ceil(window[0] / strides[0]) * Math.ceil(window[1] / strides[1]);
}

/** The largest element of each window of images [N, H, W, C]; cells of padding never win, NaN does. */
export const maxPool: OpFunction<(x: Value, options: PoolOptions) => Value, PoolAttrs> = withOp(
  maxPoolOp,
  (x, options) => bind1(maxPoolOp, [x], plain(options)),
);

/** Cotangents of pooled elements, added at the places of the first maxima of x. */
export const maxPoolScatter: OpFunction<(x: Value, ct: Value, options: PoolOptions) => Value, PoolAttrs> = withOp(
  maxPoolScatterOp,
  (x, ct, options) => bind1(maxPoolScatterOp, [x, ct], plain(options)),
);

/** The elements of v at the places of the first maxima of x. */
export const maxPoolGather: OpFunction<(x: Value, v: Value, options: PoolOptions) => Value, PoolAttrs> = withOp(
  maxPoolGatherOp,
  (x, v, options) => bind1(maxPoolGatherOp, [x, v], plain(options)),
);

/** The mean of each window of images [N, H, W, C]; padding counts only with `countPadding`. */
export const avgPool: OpFunction<
  (x: Value, options: PoolOptions & { readonly countPadding?: boolean }) => Value,
  AvgPoolAttrs
> = withOp(avgPoolOp, (x, options) =>
  bind1(avgPoolOp, [x], { ...plain(options), countPadding: options.countPadding ?? false }),
);

/** Each pooled element shared equally among the cells of its window. */
export const avgPoolSpread: OpFunction<
  (ct: Value, options: PoolOptions & { readonly countPadding?: boolean; readonly inputSize: Pair }) => Value,
  AvgPoolSpreadAttrs
> = withOp(avgPoolSpreadOp, (ct, options) => {
  const { countPadding = false, inputSize } = options;
  return bind1(avgPoolSpreadOp, [ct], { ...plain(options), countPadding, inputSize });
});

// The three shared attributes and nothing else.
function plain({ window, strides = window, padding = nothing() }: PoolOptions): PoolAttrs {
  return { window, strides, padding };
}

function nothing(): Padding {
  return [
    [0, 0],
    [0, 0],
  ];
}

// The poolings all five ops are tested on: image, pooled result, attributes.
function cases(): { x: SampleInput; pooled: SampleInput; attrs: PoolAttrs }[] {
  const list: [shape: readonly number[], options: PoolOptions][] = [
    [[1, 4, 4, 1], { window: [2, 2] }],
    [[2, 5, 7, 3], { window: [2, 3], strides: [1, 2] }],
    [
      [1, 6, 5, 2],
      {
        window: [3, 3],
        strides: [2, 2],
        padding: [
          [0, 1],
          [1, 1],
        ],
      },
    ],
    [
      [2, 1, 9, 2],
      {
        window: [1, 3],
        strides: [1, 2],
        padding: [
          [0, 0],
          [1, 1],
        ],
      },
    ],
    [[1, 3, 3, 17], { window: [3, 3] }],
    [[0, 4, 4, 2], { window: [2, 2] }],
    [[1, 7, 7, 1], { window: [2, 2], strides: [3, 3] }],
  ];
  return list.map(([shape, options]) => {
    const attrs = plain(options);
    const windows = poolWindows("pool", { dtype: "float32", shape }, attrs);
    return { x: float(shape), pooled: float(pooledShape(windows, shape[3]!)), attrs };
  });
}

function maxCases(inputs: (pair: readonly [SampleInput, SampleInput]) => SampleInput[]): Sample<PoolAttrs>[] {
  return cases().map(({ x, pooled, attrs }) => ({ inputs: inputs([{ ...x, distinct: true }, pooled]), attrs }));
}

function avgCases(): { x: SampleInput; pooled: SampleInput; attrs: AvgPoolAttrs }[] {
  return cases().flatMap(({ attrs, ...rest }) =>
    (attrs.padding.flat().some((n) => n > 0) ? [false, true] : [false]).map((countPadding) => ({
      ...rest,
      attrs: { ...attrs, countPadding },
    })),
  );
}

function badWindows(): { x: SampleInput; attrs: PoolAttrs; message: string }[] {
  const x = float([1, 4, 4, 1]);
  return [
    { x: float([4, 4, 1]), attrs: plain({ window: [2, 2] }), message: "needs images [N,H,W,C]" },
    { x: float([1, 0, 4, 1]), attrs: plain({ window: [1, 1] }), message: "the image has no cells" },
    { x, attrs: plain({ window: [2, 5] }), message: "does not fit into 4 cells along the width" },
    { x, attrs: plain({ window: [0, 2] }), message: "window must be 2 whole numbers ≥ 1" },
    {
      x,
      attrs: plain({
        window: [2, 2],
        padding: [
          [2, 0],
          [0, 0],
        ],
      }),
      message: "padding must be smaller than the window",
    },
  ];
}
