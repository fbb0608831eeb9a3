// Fused ops against plain loops and closed forms, and the properties their papers promise.
import { describe, expect, test } from "vitest";
import { HostArray, keyOf } from "../../src/engine/core/index.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { trace, type SampleInput, type Value } from "../../src/engine/program/index.ts";
import { device } from "../../src/engine/runtime/index.ts";
import { vjp } from "../../src/engine/transform/index.ts";
import { allClose, drawSample, runner } from "../../src/testing/index.ts";

const { float, int } = ops;
const exact = { rtol: 1e-12, atol: 1e-12 };

function run(
  fn: (inputs: readonly Value[]) => readonly Value[],
  inputs: readonly SampleInput[],
  arrays: readonly HostArray[],
): number[][] {
  return runner(trace(inputs, fn).program, device("reference"))(arrays).map((array) => array.toFlat());
}

const numbers = (...values: number[]): HostArray => HostArray.of(Float64Array.from(values));

describe("crossEntropy", () => {
  const types = [float([3, 3]), int([3], 0, 2)];
  const logits = numbers(1e4, -1e4, 0, 1e4, -1e4, 0, 1, 2, 3).reshape([3, 3]);
  const labels = HostArray.of(Int32Array.of(0, 1, 2));
  const last = Math.log(1 + Math.exp(-1) + Math.exp(-2));

  test("is exact for logits of ±1e4", () => {
    const [loss] = run(([x, y]) => [ops.crossEntropy(x!, y!)], types, [logits, labels]);
    expect(allClose(loss!, [0, 20000, last], exact)).toBe(true);
  });

  test("has the gradient softmax − onehot there", () => {
    const { program } = trace(types, ([x, y]) => [ops.crossEntropy(x!, y!)]);
    const [, gradient] = runner(vjp(program, [0]), device("reference"))([logits, labels, numbers(1, 1, 1)]);
    const p = [-2, -1, 0].map((z) => Math.exp(z - last));
    expect(allClose(gradient!.toFlat(), [0, 0, 0, 1, -1, 0, p[0]!, p[1]!, p[2]! - 1], exact)).toBe(true);
  });
});

test("gelu and silu have the values of their formulas", () => {
  const at = numbers(1, -1, 3);
  const [exactly, approximately, silu] = run(
    ([x]) => [ops.gelu(x!), ops.gelu(x!, { approximate: true }), ops.silu(x!)],
    [float([3])],
    [at],
  );
  expect(allClose(exactly!, [0.8413447460685429, -0.15865525393145707, 2.99595030590511], exact)).toBe(true);
  expect(allClose(approximately!, [0.8411919906082768, -0.15880800939172324, 2.996362607918227], exact)).toBe(true);
  expect(allClose(silu!, [0.7310585786300049, -0.2689414213699951, 2.8577223804673], exact)).toBe(true);
});

describe("attention", () => {
  const [B, H, G, T, S, D] = [2, 4, 2, 3, 5, 2] as const;
  const types = [float([B, H, T, D]), float([B, G, S, D]), float([B, G, S, D])];
  const mask: SampleInput = { dtype: "bool", shape: [B, 1, T, S] };
  const arrays = [...types, mask].map((type, i) => drawSample(type, keyOf(i)));
  // The first query of the first batch may look nowhere.
  arrays[3]!.data.fill(0, 0, S);
  const scale = 0.8;

  // Query by query, as the formula is written.
  function loops(causal: boolean, masked: boolean): number[] {
    const [q, k, v, m] = arrays.map(({ data }) => data);
    const out: number[] = [];
    for (let b = 0; b < B; b++) {
      for (let h = 0; h < H; h++) {
        const group = b * G + Math.floor((h * G) / H);
        for (let t = 0; t < T; t++) {
          const weights = Array.from({ length: S }, (_, s) => {
            if ((causal && s > t + S - T) || (masked && m![(b * T + t) * S + s] === 0)) return 0;
            let dot = 0;
            for (let d = 0; d < D; d++) dot += q![((b * H + h) * T + t) * D + d]! * k![(group * S + s) * D + d]!;
            return Math.exp(scale * dot);
          });
          const total = weights.reduce((a, w) => a + w, 0);
          for (let d = 0; d < D; d++) {
            const sum = weights.reduce((a, w, s) => a + w * v![(group * S + s) * D + d]!, 0);
            out.push(total === 0 ? 0 : sum / total);
          }
        }
      }
    }
    return out;
  }

  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])("equals loops over queries (causal %s, masked %s)", (causal, masked) => {
    const [y] = run(
      ([q, k, v, m]) => [ops.attention(q!, { k: k!, v: v!, mask: masked ? m! : undefined }, { causal, scale })],
      [...types, mask],
      arrays,
    );
    const expected = loops(causal, masked);
    expect(allClose(y!, expected, exact)).toBe(true);
    if (masked) expect(y!.slice(0, D)).toEqual([0, 0]);
  });

  test("rows without an allowed key have gradient 0, not NaN", () => {
    const { program } = trace([...types, mask], ([q, k, v, m]) => [
      ops.attention(q!, { k: k!, v: v!, mask: m! }, { scale }),
    ]);
    const ct = HostArray.of(new Float64Array(B * H * T * D).fill(1), [B, H, T, D]);
    const [, dq, dk, dv] = runner(vjp(program, [0, 1, 2]), device("reference"))([...arrays, ct]);
    expect(dq!.toFlat().slice(0, D)).toEqual([0, 0]);
    for (const gradient of [dq!, dk!, dv!]) expect(gradient.toFlat().every(Number.isFinite)).toBe(true);
  });

  test("a step of decoding is the last row of the whole", () => {
    const square = [float([1, 1, 4, 2]), float([1, 1, 4, 2]), float([1, 1, 4, 2])];
    const own = square.map((type, i) => drawSample(type, keyOf(9 + i)));
    const [whole, step] = run(
      ([q, k, v]) => [
        ops.attention(q!, { k: k!, v: v! }, { causal: true }),
        ops.attention(ops.slice(q!, [0, 0, 3, 0], [1, 1, 4, 2]), { k: k!, v: v! }, { causal: true }),
      ],
      square,
      own,
    );
    expect(allClose(step!, whole!.slice(-2), exact)).toBe(true);
  });
});

describe("rotary", () => {
  const type = float([1, 1, 1, 6]);
  const [q, k] = [drawSample(type, keyOf(1)), drawSample(type, keyOf(2))];
  const rotated = (x: HostArray, position: number, interleaved: boolean): number[] =>
    run(
      ([v, p]) => [ops.rotary(v!, p!, { interleaved })],
      [type, int([1], 0, 0)],
      [x, HostArray.of(Int32Array.of(position))],
    )[0]!;
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

  test.each([true, false])("scores depend on the distance of positions alone (interleaved %s)", (interleaved) => {
    const score = (m: number, n: number): number => dot(rotated(q, m, interleaved), rotated(k, n, interleaved));
    expect(score(7, 3)).toBeCloseTo(score(104, 100), 9);
    expect(score(7, 3)).not.toBeCloseTo(score(7, 4), 3);
  });

  test("turns a pair by its angle", () => {
    const unit = numbers(1, 0, 0, 0, 0, 0).reshape([1, 1, 1, 6]);
    expect(allClose(rotated(unit, 2, true), [Math.cos(2), Math.sin(2), 0, 0, 0, 0], exact)).toBe(true);
    expect(allClose(rotated(unit, 2, false), [Math.cos(2), 0, 0, Math.sin(2), 0, 0], exact)).toBe(true);
  });

  test("the two layouts are one rotation of elements in another order", () => {
    const order = [0, 2, 4, 1, 3, 5];
    const shuffled = numbers(...order.map((i) => q.get(i))).reshape([1, 1, 1, 6]);
    const plain = rotated(q, 5, true);
    expect(
      allClose(
        rotated(shuffled, 5, false),
        order.map((i) => plain[i]!),
        exact,
      ),
    ).toBe(true);
  });
});

describe("dropout", () => {
  const types: SampleInput[] = [float([10_000]), { dtype: "uint32", shape: [2] }];
  const key = HostArray.of(Uint32Array.of(1, 2));
  const ones = HostArray.of(new Float64Array(10_000).fill(1));

  test("drops its share, scales the rest, and is a function of the key", () => {
    const once = run(([x, k]) => [ops.dropout(x!, k!, 0.25)], types, [ones, key])[0]!;
    const dropped = once.filter((y) => y === 0).length / once.length;
    expect(Math.abs(dropped - 0.25)).toBeLessThan(0.02);
    expect(new Set(once)).toEqual(new Set([0, 1 / 0.75]));
    expect(run(([x, k]) => [ops.dropout(x!, k!, 0.25)], types, [ones, key])[0]).toEqual(once);
    const other = HostArray.of(Uint32Array.of(1, 3));
    expect(run(([x, k]) => [ops.dropout(x!, k!, 0.25)], types, [ones, other])[0]).not.toEqual(once);
  });

  test("rate 0 is the identity", () => {
    const { program } = trace(types, ([x, k]) => [ops.dropout(x!, k!, 0)]);
    expect(program.equations).toEqual([]);
  });
});

test("embedding adds up the cotangents of repeated rows", () => {
  const { program } = trace([float([3, 2]), int([4], 0, 2)], ([table, ids]) => [ops.embedding(table!, ids!)]);
  const inputs = [drawSample(float([3, 2]), keyOf(0)), HostArray.of(Int32Array.of(1, 1, 2, 1))];
  const ct = numbers(1, 2, 10, 20, 5, 6, 100, 200).reshape([4, 2]);
  const [, gradient] = runner(vjp(program, [0]), device("reference"))([...inputs, ct]);
  expect(gradient!.toNested()).toEqual([
    [0, 0],
    [111, 222],
    [5, 6],
  ]);
});

describe("optimizer steps", () => {
  const scalar = float([]);
  const gradients = [0.3, -0.2, 0.5];

  test.each([false, true])("sgdUpdate with momentum equals the written-out steps (nesterov %s)", (nesterov) => {
    let [p, v] = [1, 0];
    let [param, velocity] = [numbers(1).reshape([]), numbers(0).reshape([])];
    for (const g of gradients) {
      v = 0.9 * v + g;
      p -= 0.1 * (nesterov ? g + 0.9 * v : v);
      [param, velocity] = runner(
        trace([scalar, scalar, scalar, scalar], ([x, y, z, rate]) =>
          ops.sgdUpdate({ param: x!, grad: y!, velocity: z!, rate: rate! }, { momentum: 0.9, nesterov }),
        ).program,
        device("reference"),
      )([param, numbers(g).reshape([]), velocity, numbers(0.1).reshape([])]) as [
        HostArray<"float64">,
        HostArray<"float64">,
      ];
      expect(param.get(0)).toBeCloseTo(p, 12);
      expect(velocity.get(0)).toBeCloseTo(v, 12);
    }
  });

  test("adamwUpdate equals the written-out steps", () => {
    const [rate, beta1, beta2, epsilon, decay] = [0.1, 0.9, 0.99, 1e-8, 0.05];
    let [p, m, v] = [1, 0, 0];
    let state: readonly HostArray[] = [1, 0, 0].map((x) => numbers(x).reshape([]));
    gradients.forEach((g, i) => {
      const [c1, c2] = [1 - beta1 ** (i + 1), 1 - beta2 ** (i + 1)];
      p *= 1 - rate * decay;
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      p -= (rate * (m / c1)) / (Math.sqrt(v / c2) + epsilon);
      const inputs = [state[0]!, numbers(g), state[1]!, state[2]!, ...[rate, c1, c2].map((x) => numbers(x))];
      state = runner(
        trace(Array<SampleInput>(7).fill(scalar), ([param, grad, first, second, eta, correction1, correction2]) =>
          ops.adamwUpdate(
            {
              param: param!,
              grad: grad!,
              m: first!,
              v: second!,
              rate: eta!,
              correction1: correction1!,
              correction2: correction2!,
            },
            { beta1, beta2, epsilon, decay },
          ),
        ).program,
        device("reference"),
      )(inputs.map((x) => x.reshape([])));
      expect(
        allClose(
          state.map((x) => x.get(0)),
          [p, m, v],
          exact,
        ),
      ).toBe(true);
    });
  });
});
