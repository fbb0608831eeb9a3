// What this machine can do at most, measured once with a matrix product: the unit of "share of peak".
import { jit, random, type Tensor } from "../../engine/tensor/index.ts";

let known: Promise<number> | undefined;

/**
 * Floating-point operations a second of a square matrix product on the default device: the best of some runs, about a
 * quarter of a second. Measured once a process.
 *
 * @example
 * const peak = await measurePeak();
 */
export function measurePeak({ size = 1024 }: { readonly size?: number } = {}): Promise<number> {
  return (known ??= measure(size));
}

async function measure(size: number): Promise<number> {
  const product = jit((a: Tensor, b: Tensor) => a.matmul(b));
  const [a, b] = [random.normal(random.key(0), [size, size]), random.normal(random.key(1), [size, size])];
  const began = performance.now();
  let best = Infinity;
  for (let i = 0; i < 3 || performance.now() - began < 250; i++) {
    const before = performance.now();
    (await product.run(a, b)).dispose();
    best = Math.min(best, performance.now() - before);
  }
  return (2 * size ** 3) / (best / 1000);
}
