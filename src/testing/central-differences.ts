// The one comparison behind all gradient checks: derivatives along directions, by rule and by central differences.
import { foldIn, HostArray, keyOf, type HostKey } from "../engine/core/index.ts";
import { CheckError, type Tolerance } from "./all-close.ts";
import { drawWeights } from "./sample.ts";

/** How a gradient is checked. */
export interface GradientOptions extends Tolerance {
  /** Half the distance of the two points of a difference; 1e-6 unless said. */
  readonly eps?: number;
  /** Chooses the weights of the outputs and the directions. */
  readonly seed?: number;
  /** Elements checked one by one of each input; larger inputs are checked at so many elements and along two random directions. 24 unless said. */
  readonly elements?: number;
}

/** A real function of arrays, and its gradient at one point. */
export interface Differentiable {
  /** For messages. */
  readonly what: string;
  readonly value: (inputs: readonly HostArray<"float64">[]) => number;
  readonly inputs: readonly HostArray<"float64">[];
  /** The gradient by each input that is checked, by its number. */
  readonly gradients: ReadonlyMap<number, ArrayLike<number>>;
}

/**
 * Throws CheckError unless `∇f · d = (f(x + ε d) − f(x − ε d))/2ε` within `atol + rtol · |difference|` for unit vectors d.
 * All must be computed in float64: in float32 the difference of two close numbers says nothing.
 */
export function checkCentralDifferences(
  { what, value, inputs, gradients }: Differentiable,
  { eps = 1e-6, atol = 1e-5, rtol = 1e-3, seed = 0, elements = 24 }: GradientOptions = {},
): void {
  for (const [position, gradient] of gradients) {
    const at = inputs[position]!;
    directions(at.size, elements, foldIn(keyOf(seed), position)).forEach(({ name, entries }) => {
      const moved = (step: number): number => {
        const data = at.data.slice();
        for (const [i, d] of entries) data[i]! += step * d;
        const point = new HostArray("float64", at.shape, data);
        return value(inputs.map((input, i) => (i === position ? point : input)));
      };
      const numeric = (moved(eps) - moved(-eps)) / (2 * eps);
      const analytic = entries.reduce((total, [i, d]) => total + gradient[i]! * d, 0);
      if (Math.abs(numeric - analytic) <= atol + rtol * Math.abs(numeric)) return;
      throw new CheckError(
        what,
        `the gradient by input ${position} at ${name} is wrong: expected ${numeric} (central difference), received ${analytic}`,
      );
    });
  }
}

interface Direction {
  readonly name: string;
  readonly entries: readonly (readonly [number, number])[];
}

function directions(size: number, elements: number, key: HostKey): Direction[] {
  const all = Array.from({ length: size }, (_, i) => i);
  const chosen =
    size <= elements ? all : [...drawWeights(elements, key)].map((u) => Math.floor(((u + 1) / 2) * size) % size);
  const out: Direction[] = [...new Set(chosen)].map((i) => ({ name: `element ${i}`, entries: [[i, 1]] }));
  if (size <= elements) return out;
  for (const n of [0, 1]) {
    const weights = drawWeights(size, foldIn(key, n + 1));
    const length = Math.hypot(...weights);
    out.push({ name: `random direction ${n}`, entries: all.map((i) => [i, weights[i]! / length]) });
  }
  return out;
}
