// Windows sliding over images: the sizes and the walk that convolution and pooling share.
import { ArgumentError, checkShape, ShapeError } from "../core/index.ts";

/** One number for the height axis, one for the width axis. */
export type Pair = readonly [number, number];
/** Cells added before and after each of the two axes. */
export type Padding = readonly [Pair, Pair];

/** Windows over a batch of images: all a walk needs to know. */
export interface Windows {
  readonly batch: number;
  readonly input: Pair;
  readonly output: Pair;
  readonly window: Pair;
  readonly strides: Pair;
  readonly dilation: Pair;
  readonly padding: Padding;
}

/**
 * Number of places a window takes along one axis: `⌊(size + low + high − dilation · (kernel − 1) − 1) / stride⌋ + 1`, or 0 where it does not fit.
 *
 * @example
 * convOutputSize(28, 3, { stride: 2, padding: [0, 1] }); // 14
 */
export function convOutputSize(
  size: number,
  kernel: number,
  options: { readonly stride?: number; readonly dilation?: number; readonly padding?: Pair } = {},
): number {
  const { stride = 1, dilation = 1, padding = [0, 0] } = options;
  return Math.max(0, Math.floor((size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) / stride) + 1);
}

/**
 * The padding that gives `⌈size / stride⌉` places; an odd cell goes to the end.
 * Source: `padding="same"` of TensorFlow and Keras.
 *
 * @example
 * samePadding(28, 3, 2, 1); // [0, 1]
 */
export function samePadding(size: number, kernel: number, stride: number, dilation: number): [number, number] {
  const places = Math.ceil(size / stride);
  const total = Math.max(0, (places - 1) * stride + dilation * (kernel - 1) + 1 - size);
  const low = Math.floor(total / 2);
  return [low, total - low];
}

/** The windows of `window` cells over images of `input` cells; refuses counts out of range and windows that do not fit. */
export function windowsOver(
  where: string,
  sizes: { readonly batch: number; readonly input: Pair; readonly window: Pair },
  attrs: { readonly strides: Pair; readonly dilation: Pair; readonly padding: Padding },
): Windows {
  const { input, window } = sizes;
  const { strides, dilation, padding } = attrs;
  const check = (name: string, numbers: readonly number[], count: number, least: number): void => {
    if (numbers.length !== count || numbers.some((n) => !Number.isInteger(n) || n < least)) {
      throw new ArgumentError(
        where,
        `${name} must be ${count} whole numbers ≥ ${least}: received [${numbers.join(",")}]`,
      );
    }
  };
  checkShape(where, input);
  check("window", window, 2, 1);
  check("strides", strides, 2, 1);
  check("dilation", dilation, 2, 1);
  check("padding", padding.flat(), 4, 0);
  const places = (axis: 0 | 1): number => {
    const [stride, step] = [strides[axis], dilation[axis]];
    const count = convOutputSize(input[axis], window[axis], { stride, dilation: step, padding: padding[axis] });
    if (count > 0) return count;
    const reach = step * (window[axis] - 1) + 1;
    const room = input[axis] + padding[axis][0] + padding[axis][1];
    throw new ShapeError(
      where,
      `a window of ${reach} does not fit into ${room} cells along the ${axis === 0 ? "height" : "width"}`,
      {
        hint: "use a smaller window, less dilation or more padding",
      },
    );
  };
  return { batch: sizes.batch, input, output: [places(0), places(1)], window, strides, dilation, padding };
}

/**
 * Calls `fn(from, to, tap)` for each cell of the input that a window sees: its number, the number of the window and its place inside the window.
 * Cells of padding are left out; the taps of one window come in row-major order.
 */
export function forEachTap(windows: Windows, fn: (from: number, to: number, tap: number) => void): void {
  const { batch, strides, dilation, padding } = windows;
  const [height, width] = windows.input;
  const [rows, columns] = windows.output;
  const [kh, kw] = windows.window;
  for (let n = 0; n < batch; n++) {
    for (let row = 0; row < rows; row++) {
      for (let p = 0; p < kh; p++) {
        const y = row * strides[0] - padding[0][0] + p * dilation[0];
        if (y < 0 || y >= height) continue;
        for (let column = 0; column < columns; column++) {
          const to = (n * rows + row) * columns + column;
          for (let q = 0; q < kw; q++) {
            const x = column * strides[1] - padding[1][0] + q * dilation[1];
            if (x >= 0 && x < width) fn((n * height + y) * width + x, to, p * kw + q);
          }
        }
      }
    }
  }
}
