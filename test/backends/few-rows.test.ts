// Products of few rows with a matrix that does not stay in the caches: read in pieces, equal to plain sums.
import { expect, it } from "vitest";
import { BackendError, HostArray } from "../../src/engine/core/index.ts";
import { device, type DeviceName } from "../../src/engine/runtime/index.ts";
import { setDefaultDevice, tensor } from "../../src/engine/tensor/index.ts";

const draw = (i: number): number => Math.sin(i * 12.9898) * 0.5;

// Past one strip, tails of columns, pieces of unequal depth.
// The native backend is there only where there was a compiler.
function opens(name: DeviceName): boolean {
  try {
    device(name);
    return true;
  } catch (error) {
    if (name === "native" && error instanceof BackendError) return false;
    throw error;
  }
}
const devices = (["native", "wasm"] as const).filter(opens);
const sizes = devices.flatMap((on) =>
  [1, 2, 3, 5, 8].flatMap((m) => [[on, m, 403, 701] as const, [on, m, 5003, 61] as const]),
);

it.each(sizes)("%s: %i rows, %i columns, depth %i", (on, m, n, k) => {
  setDefaultDevice(device(on));
  const a = Float32Array.from({ length: m * k }, (_, i) => draw(i));
  const b = Float32Array.from({ length: k * n }, (_, i) => draw(i + 7));
  const y = tensor(new HostArray("float32", [m, k], a))
    .matmul(tensor(new HostArray("float32", [k, n], b)))
    .host();
  let furthest = 0;
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[i * k + p]! * b[p * n + j]!;
      furthest = Math.max(furthest, Math.abs(sum - y.get(i * n + j)));
    }
  expect(furthest).toBeLessThan(2e-4);
});
