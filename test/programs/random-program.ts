// Random programs: a function of a seed, made of ops whose results a rounding error cannot turn over.
import { keyOf, sizeOf, threefry, type Shape } from "../../src/engine/core/index.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { trace, type Program, type SampleInput, type Value } from "../../src/engine/program/index.ts";

/** A stream of random choices. */
export class Choices {
  readonly #seed: number;
  #count = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** A whole number from 0 to n − 1. */
  below(n: number): number {
    return threefry(keyOf(this.#seed), 1, this.#count++)[0] % n;
  }

  chance(p: number): boolean {
    return this.below(1000) < p * 1000;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  shape(): Shape {
    return Array.from({ length: this.below(4) }, () => this.pick([1, 2, 3, 5, 17]));
  }
}

/** A program of up to 24 steps, and the types its inputs are drawn from. */
export function randomProgram(choices: Choices): { program: Program; types: readonly SampleInput[] } {
  const shapes = [choices.shape(), choices.shape()];
  const types: SampleInput[] = [
    ...Array.from({ length: 1 + choices.below(3) }, () => ops.float(choices.pick(shapes), { low: -1, high: 1 })),
    ops.int(choices.pick(shapes), -9, 9),
    { dtype: "bool", shape: choices.pick(shapes), low: 0, high: 1 },
  ];
  const { program } = trace(types, (inputs) => {
    const pool = [...inputs];
    const steps = 2 + choices.below(23);
    while (pool.length < inputs.length + steps) {
      // Recent values more often: programs grow deep.
      const x = choices.chance(0.6) ? pool.at(-1 - choices.below(Math.min(4, pool.length)))! : choices.pick(pool);
      const y = step(choices, x, pool);
      if (y !== undefined && sizeOf(y.shape) <= 20_000) pool.push(y);
    }
    // Outputs may be inputs, and the same value twice.
    return [pool.at(-1)!, ...Array.from({ length: choices.below(4) }, () => choices.pick(pool))];
  });
  return { program, types };
}

type Step = (x: Value, choices: Choices, pool: readonly Value[]) => Value | undefined;

function step(choices: Choices, x: Value, pool: readonly Value[]): Value | undefined {
  if (choices.chance(0.45)) return choices.pick(layouts)(x, choices, pool);
  if (x.dtype === "float32") return choices.pick(floats)(x, choices, pool);
  return x.dtype === "int32" ? choices.pick(ints)(x, choices, pool) : ops.logicalNot(x);
}

// Another value of the same type, x itself where there is none.
function partner(x: Value, choices: Choices, pool: readonly Value[]): Value {
  const same = pool.filter((y) => y.dtype === x.dtype && String(y.shape) === String(x.shape));
  return choices.pick([...same, x]);
}

function condition(x: Value, choices: Choices, pool: readonly Value[]): Value {
  const masks = pool.filter((y) => y.dtype === "bool" && String(y.shape) === String(x.shape));
  if (masks.length > 0) return choices.pick(masks);
  const axis = x.shape.length - 1;
  const count = axis < 0 ? ops.full(1, { dtype: "int32", shape: [] }) : ops.iota(x.shape, axis, "int32");
  return ops.less(count, ops.fullLike(1 + choices.below(3), count));
}

const layouts: readonly Step[] = [
  (x, choices) => {
    const order = x.shape.map((_, i) => i);
    for (let i = order.length - 1; i > 0; i--) {
      const j = choices.below(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return ops.transpose(x, order);
  },
  (x, choices) => ops.reshape(x, choices.chance(0.5) ? [sizeOf(x.shape)] : [1, ...x.shape]),
  (x, choices) => ops.broadcast(x, [choices.pick([1, 2, 4]), ...x.shape]),
  (x, choices) => {
    const start = x.shape.map((n) => choices.below(n));
    const step = x.shape.map(() => 1 + choices.below(2));
    return ops.slice(x, start, x.shape, step);
  },
  (x, choices) => {
    const counts = (n: number): number[] => x.shape.map(() => choices.below(n));
    return ops.pad(x, { low: counts(2), high: counts(2), interior: counts(2), value: x.dtype === "bool" ? 1 : 0 });
  },
  (x) => (x.shape.length > 0 ? ops.reverse(x, [x.shape.length - 1]) : undefined),
  (x, choices, pool) =>
    x.shape.length > 0 ? ops.concat([x, partner(x, choices, pool)], choices.below(x.shape.length)) : undefined,
  (x) => ops.barrier(x),
];

const floats: readonly Step[] = [
  (x) => ops.tanh(x),
  (x) => ops.sin(x),
  (x) => ops.sigmoid(x),
  (x) => ops.neg(x),
  (x, choices, pool) => ops.add(x, partner(x, choices, pool)),
  (x, choices, pool) => ops.sub(partner(x, choices, pool), x),
  (x, choices, pool) => ops.tanh(ops.mul(x, partner(x, choices, pool))),
  (x, choices) => ops.mul(x, ops.fullLike(0.25 * choices.below(5), x)),
  (x, choices, pool) => ops.where(condition(x, choices, pool), x, partner(x, choices, pool)),
  (x, choices) => (x.shape.length > 0 ? ops.tanh(ops.sum(x, [choices.below(x.shape.length)])) : undefined),
  (x, choices) => {
    if (x.shape.length < 2) return undefined;
    const transposeA = choices.chance(0.5);
    return ops.tanh(ops.matmul(x, x, { transposeA, transposeB: !transposeA }));
  },
  (x) => (x.shape.length > 0 ? ops.softmax(x) : undefined),
  (x) => ops.silu(x),
  (x, choices, pool) => {
    const [length, ...rest] = x.shape;
    if (length === undefined) return undefined;
    const start = ops.full(0.5, { dtype: "float32", shape: rest });
    const scale = partner(start, choices, pool);
    // The old carry handed on as the other one, in either direction: overwritten before it is read, unless copied.
    const forward = choices.chance(0.5);
    const { carries, ys } = ops.scan(
      ([a, b], [row]) => {
        const next = ops.tanh(ops.add(ops.mul(forward ? b! : a!, scale), row!));
        return { carries: forward ? [next, a!] : [b!, next], ys: [ops.add(a!, row!)] };
      },
      [start, start],
      { xs: [x], reverse: choices.chance(0.5) },
    );
    return choices.chance(0.5) ? carries[0]! : ys[0]!;
  },
];

const ints: readonly Step[] = [
  (x, choices, pool) => ops.add(x, partner(x, choices, pool)),
  (x, choices, pool) => ops.maximum(x, partner(x, choices, pool)),
  (x, choices, pool) => ops.less(x, partner(x, choices, pool)),
  (x) => ops.tanh(ops.cast(x, "float32")),
  (x) => ops.neg(x),
];
