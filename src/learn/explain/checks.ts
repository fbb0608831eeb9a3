// Finite differences: chosen gradients held against two runs of the forward program with one number moved.
import { foldIn, HostArray, keyOf, threefry } from "../../engine/core/index.ts";
import { tensor, type Tensor } from "../../engine/tensor/index.ts";
import type { NamedTensors } from "../nn/index.ts";
import type { GradientCheck } from "./explanation.ts";
import { coordinates } from "./numbers.ts";

/** A gradient to be checked. */
export interface CheckPlace {
  readonly path: string;
  /** Flat index. */
  readonly index: number;
}

/** How gradients are checked. */
export interface CheckOptions {
  /** Elements of each parameter; 3 unless said. */
  readonly perParameter?: number;
  /** Half the distance of the two points, for numbers up to 1; larger ones are moved in proportion. 1e-5 unless said. */
  readonly epsilon?: number;
  readonly seed?: number;
}

// Below this part of the largest gradient, rounding in the loss hides the difference.
const NEGLIGIBLE = 0.01;

/** The element of largest gradient of each array, and others drawn among those that are not negligible beside it. */
export function choosePlaces(gradients: NamedTensors, { perParameter = 3, seed = 0 }: CheckOptions = {}): CheckPlace[] {
  return Object.entries(gradients).flatMap(([path, gradient], position) => {
    const values = gradient.host().toFlat().map(Math.abs);
    if (values.length === 0 || perParameter === 0) return [];
    const largest = values.reduce((a, b) => Math.max(a, b));
    const top = values.indexOf(largest);
    const rest = values.flatMap((g, i) => (i !== top && g > 0 && g >= NEGLIGIBLE * largest ? [i] : []));
    const key = foldIn(keyOf(seed), position);
    const chosen = [top];
    for (let n = 0; rest.length > 0 && chosen.length < perParameter; n++) {
      chosen.push(...rest.splice(threefry(key, 0, n)[0] % rest.length, 1));
    }
    return chosen.sort((a, b) => a - b).map((index) => ({ path, index }));
  });
}

/** Central differences of `loss` at the places, each beside the gradient. Run it where float32 is computed in float64. */
export function checkGradients(
  loss: (values: NamedTensors) => Tensor,
  { values, gradients }: { readonly values: NamedTensors; readonly gradients: NamedTensors },
  places: readonly CheckPlace[],
  options: CheckOptions = {},
): GradientCheck[] {
  return places.map(({ path, index }) => {
    const at = values[path]!.host().cast("float64");
    const value = at.get(index);
    const wanted = (options.epsilon ?? 1e-5) * Math.max(1, Math.abs(value));
    const lossAt = (w: number): number => {
      const data = at.data.slice();
      data[index] = w;
      return loss({ ...values, [path]: tensor(new HostArray("float64", at.shape, data), { dtype: "float32" }) }).item();
    };
    const [above, below] = [value + wanted, value - wanted];
    // Divided by the distance that rounding left, not by the one asked for.
    const numeric = (lossAt(above) - lossAt(below)) / (above - below);
    const analytic = gradients[path]!.host().get(index);
    const scale = Math.max(Math.abs(analytic), Math.abs(numeric));
    const relativeError = scale === 0 ? 0 : Math.abs(analytic - numeric) / scale;
    return { path, index: coordinates(index, at.shape), value, epsilon: wanted, analytic, numeric, relativeError };
  });
}
