// Initializers: variances and bounds by Keras's fans, orthogonality, the same numbers from the same key.
import { describe, expect, it } from "vitest";
import { jit, matmul, random, setDefaultDevice, type Tensor } from "../../engine/tensor/index.ts";
import * as initializers from "./initializers.ts";
import { fans, initializerNames, resolveInitializer } from "./initializers.ts";
import { specOf, type Spec } from "./named.ts";

setDefaultDevice("reference");

const key = (seed: number = 0): Tensor => random.key(seed);
const flat = (x: Tensor): number[] => [...x.host().toFlat()];

function moments(values: readonly number[]): { mean: number; variance: number; largest: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  return { mean, variance, largest: values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) };
}

describe("fans", () => {
  it("are Keras's for dense, convolution, transposed and attention kernels", () => {
    expect(fans([7, 5])).toEqual({ fanIn: 7, fanOut: 5 });
    expect(fans([3, 2, 7, 5])).toEqual({ fanIn: 42, fanOut: 30 });
    expect(fans([3, 7, 5])).toEqual({ fanIn: 21, fanOut: 15 });
    expect(fans([5])).toEqual({ fanIn: 5, fanOut: 5 });
    expect(fans([])).toEqual({ fanIn: 1, fanOut: 1 });
  });
});

describe("variance", () => {
  // 24,000 numbers: the standard error of a variance is about 1 % of it.
  const shape = [120, 200];
  const cases: readonly (readonly [string, number, number])[] = [
    ["glorot_uniform", 2 / 320, Math.sqrt(6 / 320)],
    ["glorot_normal", 2 / 320, (2 * Math.sqrt(2 / 320)) / 0.8796256610342398],
    ["he_uniform", 2 / 120, Math.sqrt(6 / 120)],
    ["he_normal", 2 / 120, (2 * Math.sqrt(2 / 120)) / 0.8796256610342398],
    ["lecun_uniform", 1 / 120, Math.sqrt(3 / 120)],
    ["lecun_normal", 1 / 120, (2 * Math.sqrt(1 / 120)) / 0.8796256610342398],
    ["random_uniform", 0.1 ** 2 / 12, 0.05],
    ["random_normal", 0.05 ** 2, Infinity],
    // A normal cut off at two deviations keeps 0.7737 of its variance.
    ["truncated_normal", 0.05 ** 2 * 0.7737413, 0.1],
  ];
  it.each(cases)("%s", (name, expected, bound) => {
    const { mean, variance, largest } = moments(flat(resolveInitializer(name)(key(3), shape)));
    expect(Math.abs(variance / expected - 1)).toBeLessThan(0.03);
    expect(Math.abs(mean)).toBeLessThan(4 * Math.sqrt(expected / 24000));
    expect(largest).toBeLessThanOrEqual(bound * (1 + 1e-7));
    if (bound !== Infinity) expect(largest).toBeGreaterThan(0.95 * bound);
  });
  it("scales by mode and distribution", () => {
    for (const [mode, fan] of [
      ["fan_in", 120],
      ["fan_out", 200],
      ["fan_avg", 160],
    ] as const) {
      for (const distribution of ["uniform", "truncated_normal", "untruncated_normal"] as const) {
        const values = flat(initializers.varianceScaling({ scale: 3, mode, distribution })(key(5), shape));
        expect(Math.abs((moments(values).variance * fan) / 3 - 1)).toBeLessThan(0.03);
      }
    }
  });
});

describe("truncated normal", () => {
  it("has the quantiles of the normal within two deviations", () => {
    const sorted = flat(initializers.truncatedNormal({ stddev: 1 })(key(1), [40000])).sort((a, b) => a - b);
    // Φ⁻¹(Φ(−2) + q (Φ(2) − Φ(−2)))
    for (const [q, z] of [
      [0.1, -1.1812],
      [0.25, -0.6374],
      [0.5, 0],
      [0.75, 0.6374],
      [0.9, 1.1812],
    ] as const)
      expect(Math.abs(sorted[Math.floor(q * sorted.length)]! - z)).toBeLessThan(0.025);
  });
});

describe("orthogonal", () => {
  const deviation = (product: Tensor, scale: number): number => {
    const n = product.shape[0]!;
    return Math.max(...flat(product).map((v, i) => Math.abs(v - (i % (n + 1) === 0 ? scale : 0))));
  };
  it.each([
    [8, 8],
    [5, 20],
    [20, 5],
    [1, 4],
    [40, 40],
  ])("[%i, %i]", (rows, columns) => {
    const w = initializers.orthogonal({ gain: 2 })(key(2), [rows, columns]);
    const product = rows <= columns ? matmul(w, w.transpose()) : matmul(w.transpose(), w);
    expect(deviation(product, 4)).toBeLessThan(1e-12);
  });
  it("takes leading axes together", () => {
    const w = initializers.orthogonal()(key(2), [3, 4, 5]).reshape([12, 5]);
    expect(deviation(matmul(w.transpose(), w), 1)).toBeLessThan(1e-12);
  });
  it("is uniform: entries have mean 0 and variance 1/n, diagonal signs are fair", () => {
    const draws = Array.from({ length: 60 }, (_, seed) => flat(initializers.orthogonal()(key(seed), [4, 4])));
    const { mean, variance } = moments(draws.flat());
    expect(Math.abs(mean)).toBeLessThan(0.06);
    expect(Math.abs(variance - 0.25)).toBeLessThan(0.02);
    const positive = draws.flatMap((w) => [w[0]!, w[5]!, w[10]!, w[15]!]).filter((v) => v > 0).length;
    expect(Math.abs(positive - 120)).toBeLessThan(40);
  });
  it("refuses vectors", () => {
    expect(() => initializers.orthogonal()(key(), [3])).toThrow(/needs at least two axes: received \[3\]/);
  });
});

describe("constants", () => {
  it("are what they say", () => {
    expect(initializers.identity({ gain: 2 })(key(), [2, 3]).toNested()).toEqual([
      [2, 0, 0],
      [0, 2, 0],
    ]);
    expect(initializers.constant({ value: 3 })(key(), [2]).toNested()).toEqual([3, 3]);
    expect(initializers.zeros()(key(), [2]).toNested()).toEqual([0, 0]);
    expect(initializers.ones()(key(), []).item()).toBe(1);
  });
});

describe("every initializer", () => {
  const shape = [6, 4];
  it.each(initializerNames)("%s: a function of its key, compiled as well, by name again", (name) => {
    const one = resolveInitializer(name);
    const value = one(key(7), shape).toNested();
    expect(one(key(7), shape).toNested()).toEqual(value);
    expect(jit((k: Tensor) => one(k, shape))(key(7)).toNested()).toEqual(value);
    const spec = JSON.parse(JSON.stringify(specOf(one))) as Spec;
    expect(resolveInitializer(spec)(key(7), shape).toNested()).toEqual(value);
    const constant = ["zeros", "ones", "constant", "identity"].includes(name);
    if (!constant) expect(one(key(8), shape).toNested()).not.toEqual(value);
  });
  it("is refused by an unknown name or option, with help", () => {
    expect(() => resolveInitializer("glorot_unifrom")).toThrow(
      /there is no initializer named "glorot_unifrom"\nhint: did you mean "glorot_uniform"\?/,
    );
    expect(() => resolveInitializer({ name: "constant", valeu: 3 })).toThrow(
      /`constant` has no option `valeu`\nhint: its options are value/,
    );
    expect(() => initializers.varianceScaling({ scale: 0 })).toThrow(/`scale` must be > 0/);
    expect(() => resolveInitializer({ name: "variance_scaling", mode: "fanin" })).toThrow(/did you mean "fan_in"/);
    expect(resolveInitializer("HeNormal")(key(1), shape).toNested()).toEqual(
      resolveInitializer("he_normal")(key(1), shape).toNested(),
    );
  });
});
