// Which arrays are pictures, and of what size.
import { ArgumentError } from "../../engine/core/index.ts";

const SMALLEST = 8;

/** Height, width and channels of an array that is a picture: `[h, w]`, `[h, w, 1]`, `[h, w, 3]`, or a square laid flat. */
export function pictureOf(
  shape: readonly number[],
  given?: readonly [number, number],
): readonly [number, number, number] | null {
  const size = shape.reduce((n, d) => n * d, 1);
  if (given !== undefined) {
    const channels = size / (given[0] * given[1]);
    if (channels !== 1 && channels !== 3)
      throw new ArgumentError("explain", `an input [${shape.join(", ")}] is no picture of ${given[0]} × ${given[1]}`);
    return [given[0], given[1], channels];
  }
  const [h = 0, w = 0, c = 1] = shape;
  if (shape.length === 2 || (shape.length === 3 && (c === 1 || c === 3)))
    return h >= SMALLEST && w >= SMALLEST ? [h, w, c] : null;
  const side = Math.sqrt(size);
  return shape.length === 1 && Number.isInteger(side) && side >= SMALLEST ? [side, side, 1] : null;
}
