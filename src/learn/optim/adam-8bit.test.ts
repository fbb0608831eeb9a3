// Moments in eight bits: codes come back near what they were, and training is near that with float32.
import { describe, expect, it } from "vitest";
import { jit, random, tensor, valueAndGrad, withDevice, type Tensor } from "../../engine/tensor/index.ts";
import { adamw8bit } from "./adam-8bit.ts";
import { adamw, resolveOptimizer } from "./optimizers.ts";
import type { Optimizer } from "./optimizer.ts";
import { cutOf, dequantize, fromChunks, quantize, quantizedZeros, toChunks } from "./quantized.ts";
import { applyUpdates, type TensorMap } from "./transformation.ts";

/** 1,024 numbers over many decades, some 0; in each block the largest stands once with each sign. */
function numbers(signed: boolean): number[] {
  return Array.from({ length: 1024 }, (_, i) => {
    if (i % 7 === 0) return 0;
    const size = i % 256 < 3 ? 4 : 4 * 10 ** ((-8 * ((i * 37) % 256)) / 256);
    return signed && i % 2 === 0 ? -size : size;
  });
}

const there = jit((x: Tensor, signed: boolean) => {
  const quantized = quantize(x, signed);
  return { ...quantized, back: dequantize(quantized, signed) };
});

describe.each(["reference", "native"] as const)("eight bits on %s", (device) => {
  it.each([true, false])("come back within the width of their part (signed: %s)", (signed) => {
    withDevice(device, () => {
      const x = numbers(signed);
      const back = there(tensor(x).reshape([4, 1, 256]), signed)
        .back.host()
        .toFlat();
      x.forEach((value, i) => {
        const q = Math.abs(value) / 4;
        const decade = Math.max(0, Math.min(6, Math.ceil(Math.log10(Math.max(q, 1e-30)) + 6)));
        const width = (0.9 * 10 ** (decade - 6)) / 2 ** (signed ? decade : decade + 1);
        // Half a part; below the first decade whatever is nearest.
        const most = 4 * Math.max(0.51 * width, signed ? 1e-7 : (1.1 * 10 ** -6) / 2);
        expect(Math.abs(back[i]! - value), `${value}`).toBeLessThan(most);
        if (!signed && value > 0) expect(back[i]!).toBeGreaterThan(0);
        if (value === 0) expect(Math.abs(back[i]!)).toBe(0);
        if (q === 1) expect(back[i]!).toBeCloseTo(value, 5);
      });
    });
  });
  it("keep every code through its word", () => {
    withDevice(device, () => {
      for (const signed of [true, false]) {
        // The numbers of all codes, made by decoding all words, code to themselves.
        const bytes = Int32Array.from(
          { length: 256 },
          (_, i) => (i + 256 * ((i + 64) % 256) + 65536 * ((i + 128) % 256) + 2 ** 24 * (((i + 192) % 256) - 128)) | 0,
        );
        const codes = tensor([...bytes], { dtype: "int32" }).reshape([1, 256]);
        const first = jit((c: Tensor) => dequantize({ codes: c, scales: tensor([[1], [1], [1], [1]]) }, signed))(codes);
        const again = there(first, signed);
        const largest = Math.max(...first.host().toFlat());
        expect(largest).toBeCloseTo(1 - 0.45 / (signed ? 64 : 128), 5);
        again.back
          .host()
          .toFlat()
          .forEach((value, i) => expect(value).toBeCloseTo(first.host().toFlat()[i]!, 6));
      }
    });
  });
  it("begin with zeros", () => {
    withDevice(device, () => {
      const { codes, scales } = quantizedZeros(5000);
      const { chunks, blocks } = cutOf(5000);
      const chunk = { codes: codes.slice(0, 1).squeeze(0), scales: scales.slice(0, 1).squeeze(0) };
      expect([chunks, blocks]).toEqual([1, 5]);
      expect(jit((c: typeof chunk) => dequantize(c, true).abs().sum())(chunk).item()).toBe(0);
    });
  });
});

describe("chunks", () => {
  it.each([1, 1024, 5000, 65536, 100_000, 1024 * 96, 1024 * 97, 1024 * 509, 384 * 1536])(
    "of %i numbers hold them all in order",
    (size) => {
      withDevice("native", () => {
        const x = random.uniform(random.key(1), [size]);
        const { chunks, blocks } = cutOf(size);
        expect(blocks).toBeLessThanOrEqual(64);
        expect(chunks * blocks * 1024).toBeGreaterThanOrEqual(size);
        // Padding is less than a block of each chunk, and chunks are no more than twice as many as they must be.
        expect(chunks * blocks * 1024 - size).toBeLessThan(chunks * 1024);
        expect(chunks).toBeLessThanOrEqual(2 * Math.ceil(size / (64 * 1024)));
        if (size === 1024 * 96) expect(chunks * blocks * 1024).toBe(size);
        expect(Buffer.compare(fromChunks(toChunks(x), [size]).host().bytes(), x.host().bytes())).toBe(0);
      });
    },
  );
});

function train(optimizer: Optimizer, count: number): { losses: number[]; params: TensorMap; state: unknown } {
  const loss = (p: TensorMap, x: Tensor): Tensor => {
    const h = x.matmul(p["up.kernel"]!).add(p["up.bias"]!).tanh();
    return h
      .matmul(p["down.kernel"]!)
      .sub(x.square().mean({ axis: -1, keepDims: true }))
      .square()
      .mean();
  };
  const step = jit((params: TensorMap, state: ReturnType<Optimizer["transformation"]["init"]>, x: Tensor) => {
    const [value, gradients] = valueAndGrad((p: TensorMap) => loss(p, x))(params);
    const next = optimizer.transformation.update(gradients, state, params);
    return { value, params: applyUpdates(params, next.updates), state: next.state };
  });
  let params: TensorMap = {
    "up.kernel": random.normal(random.key(1), [16, 300]).mul(0.2),
    "up.bias": random.normal(random.key(2), [300]).mul(0.1),
    "down.kernel": random.normal(random.key(3), [300, 16]).mul(0.1),
  };
  let state = optimizer.transformation.init(params);
  const losses: number[] = [];
  for (let i = 0; i < count; i++) {
    const next = step(params, state, random.normal(random.key(100 + i), [64, 16]));
    losses.push(next.value.item());
    ({ params, state } = next);
  }
  return { losses, params, state };
}

const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b) / list.length;

describe("adamw8bit", () => {
  it("learns as AdamW does", () => {
    withDevice("native", () => {
      const options = { learningRate: 0.003, weightDecay: 0.01, epsilon: 1e-8 };
      const exact = train(adamw({ ...options, convention: "torch" }), 150).losses;
      const small = train(adamw8bit(options), 150).losses;
      const [a, b] = [mean(exact.slice(-30)), mean(small.slice(-30))];
      expect(a).toBeLessThan(exact[0]! / 5);
      expect(Math.abs(a - b)).toBeLessThan(0.1 * a);
    });
  });
  it("is AdamW where parameters are small", () => {
    withDevice("native", () => {
      const options = { learningRate: 0.003, weightDecay: 0.01, epsilon: 1e-8 };
      const exact = train(adamw({ ...options, convention: "torch" }), 5).losses;
      const small = train(adamw8bit({ ...options, minSize: 1e6 }), 5).losses;
      small.forEach((loss, i) => expect(loss).toBeCloseTo(exact[i]!, 5));
    });
  });
  it("is made from its config", () => {
    const made = adamw8bit({ minSize: 100 });
    expect(resolveOptimizer(made.config).config).toEqual(made.config);
  });
});
