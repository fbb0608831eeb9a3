// Rotary position embedding: pairs of elements turned by an angle that grows with the position.
import { ArgumentError, formatType, HostArray, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { add, mul, neg, sub } from "./arith.ts";
import { constant } from "./create.ts";
import { bind1, expectDtype, expectInputs, float, int, withOp, type OpFunction } from "./define.ts";
import { broadcast, concat, reshape } from "./layout.ts";
import { cast, cos, sin } from "./math.ts";
import { slice } from "./slice.ts";

type RotaryAttrs = { readonly base: number; readonly interleaved: boolean };

/** Angle per position of each pair of a head of `depth` elements: `base^(−2i/D)`. */
export function rotaryFrequencies(depth: number, base: number): Float64Array {
  return Float64Array.from({ length: depth / 2 }, (_, i) => base ** ((-2 * i) / depth));
}

const rotaryOp: OpRecord<RotaryAttrs> = {
  name: "rotary",
  doc: "Turns pair i of each row by the angle `θᵢ = position · base^(−2i/D)`: `(a, b) → (a cos θ − b sin θ, a sin θ + b cos θ)` (Su et al. 2021). Pairs are (2i, 2i + 1) where interleaved, as in GPT-J, else (i, i + D/2), as in Llama and GPT-NeoX.",
  traits: { kind: "fused", recompute: "costly" },
  shape: (types, { base }) => {
    expectInputs("rotary", types, 2);
    const [x, positions] = types as [TensorType, TensorType];
    expectDtype("rotary", [x], ["float32"]);
    expectDtype("rotary", [positions], ["int32"]);
    if (!(base > 0 && base < Infinity)) throw new ArgumentError("rotary", `\`base\` must be above 0: received ${base}`);
    const [b, , t, d] = x.shape;
    const given = positions.shape;
    const fits =
      x.shape.length === 4 &&
      d! % 2 === 0 &&
      (given.length === 1 ? given[0] === t : given.length === 2 && given[0] === b && given[1] === t);
    if (!fits) {
      throw new ShapeError(
        "rotary",
        `expected x [B,H,T,D] with D even and positions [T] or [B,T]: received ${types.map(formatType).join(" and ")}`,
      );
    }
    return [{ dtype: "float32", shape: x.shape }];
  },
  decompose: ([x, positions], { base, interleaved }) => {
    const shape = x!.shape as readonly [number, number, number, number];
    const depth = shape[3];
    const half = [...shape.slice(0, 3), depth / 2];
    const angles = rotaryAngles(positions!, depth, base);
    const axes = positions!.shape.length === 1 ? [2, 3] : [0, 2, 3];
    const [c, s] = [broadcast(cos(angles), half, axes), broadcast(sin(angles), half, axes)];
    const step = [1, 1, 1, interleaved ? 2 : 1];
    const part = (start: number, end: number): Value => slice(x!, [0, 0, 0, start], [...shape.slice(0, 3), end], step);
    const [a, b] = interleaved
      ? [part(0, depth), part(Math.min(1, depth), depth)]
      : [part(0, depth / 2), part(depth / 2, depth)];
    const turned = [sub(mul(a, c), mul(b, s)), add(mul(a, s), mul(b, c))];
    if (!interleaved) return [concat(turned, 3)];
    const pairs = turned.map((y) => reshape(y, [...half, 1]));
    return [reshape(concat(pairs, 4), shape)];
  },
  // A rotation's adjoint is the rotation back.
  vjp: ({ inputs: [, positions], attrs, cts: [ct] }) => [rotary(ct!, neg(positions!), attrs), undefined],
  samples: [true, false].flatMap((interleaved) => [
    { inputs: [float([1, 2, 3, 4]), int([3], 0, 9)], attrs: { base: 10000, interleaved } },
    { inputs: [float([2, 1, 3, 6]), int([2, 3], 0, 50)], attrs: { base: 100, interleaved } },
    { inputs: [float([2, 3, 1, 2]), int([1], 0, 9)], attrs: { base: 10000, interleaved } },
    { inputs: [float([1, 1, 0, 4]), int([0], 0, 9)], attrs: { base: 10000, interleaved } },
    { inputs: [float([1, 2, 5, 18]), int([5], 0, 9)], attrs: { base: 10000, interleaved } },
  ]),
  errors: [
    { inputs: [float([1, 1, 2, 3]), int([2], 0, 9)], attrs: { base: 10000, interleaved: false }, message: "D even" },
    { inputs: [float([1, 1, 2, 4]), int([3], 0, 9)], attrs: { base: 10000, interleaved: false }, message: "[T] or" },
    {
      inputs: [float([1, 1, 2, 4]), float([2])],
      attrs: { base: 10000, interleaved: false },
      message: "expected int32",
    },
    { inputs: [float([1, 1, 2, 4]), int([2], 0, 9)], attrs: { base: 0, interleaved: false }, message: "above 0" },
  ],
};

function rotaryAngles(positions: Value, depth: number, base: number): Value {
  const shape = [...positions.shape, depth / 2];
  const frequencies = constant(HostArray.of(rotaryFrequencies(depth, base)));
  const position = broadcast(
    cast(positions, "float32"),
    shape,
    positions.shape.map((_, axis) => axis),
  );
  return mul(position, broadcast(frequencies, shape));
}

/** Rows of x [B,H,T,D] turned by their positions [T] or [B,T]. */
export const rotary: OpFunction<(x: Value, positions: Value, options?: Partial<RotaryAttrs>) => Value, RotaryAttrs> =
  withOp(rotaryOp, (x, positions, { base = 10000, interleaved = false } = {}) =>
    bind1(rotaryOp, [x, positions], { base, interleaved }),
  );
