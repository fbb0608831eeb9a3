// Arithmetic on two numbers, and the exponential and logarithm its gradients need.
import { equal, greater, logicalAnd, where } from "./compare.ts";
import { fullLike, zerosLike } from "./create.ts";
import { binary, unary, type Binary, type Unary } from "./define.ts";
import { joinPadded } from "./layout.ts";

const numeric = ["float32", "int32", "uint32"] as const;

export const neg: Unary = unary({
  name: "neg",
  doc: "The negative: `−x`.",
  scalar: (x) => -x,
  dtypes: ["float32", "int32"],
  vjp: ({ ct }) => neg(ct),
});

export const exp: Unary = unary({
  name: "exp",
  doc: "The exponential: `eˣ`.",
  scalar: Math.exp,
  vjp: ({ ct, y }) => mul(ct, y),
});

export const log: Unary = unary({
  name: "log",
  doc: "The natural logarithm: `ln x`.",
  scalar: Math.log,
  domain: { low: 0.1, high: 4 },
  vjp: ({ ct, x }) => div(ct, x),
});

export const add: Binary = binary({
  name: "add",
  doc: "The sum: `x + y`.",
  scalar: (x, y) => x + y,
  dtypes: numeric,
  commutative: true,
  // What a split leaves in its gradient: parts that are zero beside each other are put side by side.
  // What is added at a few places goes there alone.
  simplify: ({ inputs: [x, y], producer, alone }) => {
    const joined = joinPadded(producer(x!), producer(y!), producer);
    if (joined !== undefined) return [joined];
    for (const [i, base] of [y!, x!].entries()) {
      const maker = producer([x!, y!][i]!);
      if (alone(i) && maker?.op.addedTo !== undefined) return [maker.op.addedTo(base, maker.inputs, maker.attrs)];
    }
    return undefined;
  },
  vjp: ({ ct }) => [ct, ct],
});

export const sub: Binary = binary({
  name: "sub",
  doc: "The difference: `x − y`.",
  scalar: (x, y) => x - y,
  dtypes: numeric,
  vjp: ({ ct }) => [ct, neg(ct)],
});

export const mul: Binary = binary({
  name: "mul",
  doc: "The product: `x · y`.",
  scalar: (x, y) => x * y,
  integer: Math.imul,
  dtypes: numeric,
  commutative: true,
  vjp: ({ ct, x, y }) => [mul(ct, y), mul(ct, x)],
});

export const div: Binary = binary({
  name: "div",
  doc: "The quotient: `x / y`.",
  scalar: (x, y) => x / y,
  samples: { y: { low: 0.4, high: 2 } },
  vjp: ({ ct, y, z }) => [div(ct, y), neg(div(mul(ct, z), y))],
});

export const pow: Binary = binary({
  name: "pow",
  doc: "The power: `xʸ`.",
  scalar: (x, y) => x ** y,
  samples: { x: { low: 0.2, high: 3 } },
  recompute: "costly",
  vjp: ({ ct, x, y, z }) => {
    const [one, zero] = [fullLike(1, x), zerosLike(x)];
    // x⁰ is flat in x, also at x = 0, where x^(y − 1) is infinite; ln x counts only where x > 0.
    const base = where(logicalAnd(equal(x, zero), equal(y, zero)), one, x);
    const dx = mul(ct, mul(y, pow(base, sub(y, one))));
    const positive = greater(x, zero);
    const dy = where(positive, mul(ct, mul(z, log(where(positive, x, one)))), zero);
    return [dx, dy];
  },
});

export const maximum: Binary = binary({
  name: "maximum",
  doc: "The larger: `max(x, y)`; NaN if one is NaN. Equal elements share the gradient.",
  scalar: (x, y) => Math.max(x, y),
  dtypes: ["float32", "int32"],
  commutative: true,
  vjp: ({ ct, x, y }) => share(ct, x, y),
});

export const minimum: Binary = binary({
  name: "minimum",
  doc: "The smaller: `min(x, y)`; NaN if one is NaN. Equal elements share the gradient.",
  scalar: (x, y) => Math.min(x, y),
  dtypes: ["float32", "int32"],
  commutative: true,
  vjp: ({ ct, x, y }) => share(ct, y, x),
});

export const remainder: Binary = binary({
  name: "remainder",
  doc: "The remainder with the sign of the divisor: `x − ⌊x/y⌋ · y`; for integers `x mod 0 = 0`.",
  scalar: (x, y) => x - Math.floor(x / y) * y,
  dtypes: ["float32", "int32"],
  samples: { x: { low: -5, high: 5 }, y: { low: 0.6, high: 1.4 } },
  vjp: ({ ct, x, y, z }) => [ct, neg(mul(ct, div(sub(x, z), y)))],
});

// The gradient goes to the winner, half each on a tie.
function share(ct: Parameters<typeof neg>[0], winner: typeof ct, loser: typeof ct): [typeof ct, typeof ct] {
  const half = where(equal(winner, loser), mul(ct, fullLike(0.5, ct)), zerosLike(ct));
  return [where(greater(winner, loser), ct, half), where(greater(loser, winner), ct, half)];
}
