// explainPlan: every call of the plan with its time, on both machine backends; arguments stay usable; no clock, no profile.
import { describe, expect, test } from "vitest";
import { BackendError } from "../core/index.ts";
import { forEachCall } from "../plan/index.ts";
import { device, explainPlan, jit, ones, scan, tensor, withDevice, type Tensor } from "./index.ts";

// Native is there only where there was a compiler.
function runs(name: "native" | "wasm"): boolean {
  try {
    return device(name).name === name;
  } catch (error) {
    if (name === "native" && error instanceof BackendError) return false;
    throw error;
  }
}

const step = (w: Tensor, x: Tensor): Tensor => w.sub(x.transpose().matmul(x.matmul(w)).mul(1e-6));

describe.each((["native", "wasm"] as const).filter(runs))("%s", (name) => {
  test("every call has its flops, bytes and time", () =>
    withDevice(name, () => {
      const fn = jit(step);
      const args: [Tensor, Tensor] = [ones([64, 64]), ones([96, 64])];
      const plan = explainPlan(fn, args, { runs: 3 });
      const { plan: own } = fn.lower(...args);
      const kernels: string[] = [];
      forEachCall(own.steps, ({ kernel }) => void kernels.push(kernel));
      expect(plan.calls.map(({ kernel }) => kernel)).toEqual(kernels);
      const products = plan.calls.filter(({ kernel }) => kernel.startsWith("matmul"));
      expect(products.map(({ flops }) => flops)).toEqual([2 * 96 * 64 * 64, 2 * 64 * 64 * 96 + 2 * 64 * 64]);
      expect(products[0]!.bytes).toBe(4 * (96 * 64 + 64 * 64 + 96 * 64));
      expect(products.every(({ seconds, peakShare }) => seconds > 0 && peakShare > 0 && peakShare < 3)).toBe(true);
      expect(plan.kernelSeconds).toBeGreaterThan(0);
      expect(plan.kinds.reduce((sum, { calls }) => sum + calls, 0)).toBe(kernels.length);
      expect(plan.passes.map(({ pass }) => pass)).toContain("fuse");
      const lines = plan.toString().split("\n");
      expect(lines.filter((line) => /matmul .*float32\[96,64\]/.test(line))).toHaveLength(2);
      expect(plan.text({ slowest: 1 })).toContain(`and ${kernels.length - 1} faster calls`);
    }));

  test("donated arguments are copied, and a state that is fed back stays finite and unchanged", () =>
    withDevice(name, () => {
      const fn = jit((w: Tensor, x: Tensor) => ({ w: step(w, x), unused: x.sum() }), { donate: [0] });
      const [w, x] = [ones([8, 8]), ones([4, 8])];
      explainPlan(fn, [w, x], { runs: 4 });
      expect(w.toNested()).toEqual(ones([8, 8]).toNested());
      expect(fn(w, x).w.shape).toEqual([8, 8]); // its memory is still its own to give
    }));

  test("the body of a loop counts once for each turn", () =>
    withDevice(name, () => {
      const fn = jit((x: Tensor) =>
        scan((sum: Tensor, row: Tensor) => [sum.add(row), sum], { init: x.sum({ axis: 0 }), xs: x }),
      );
      const plan = explainPlan(fn, [ones([5, 3])], { runs: 1 });
      expect(plan.calls.some(({ turns, op }) => turns === 5 && op.includes("add"))).toBe(true);
    }));
});

test("the reference has no clock and says so", () =>
  withDevice("reference", () => {
    expect(() =>
      explainPlan(
        jit((x: Tensor) => x.exp()),
        [tensor([1, 2])],
      ),
    ).toThrow(BackendError);
  }));
