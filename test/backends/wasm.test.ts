// The WebAssembly backend's own matters: worker threads, off the event loop, the end of the process, relaxed SIMD.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { createWasm, type Backend, type KernelSpec } from "../../src/engine/backend/index.ts";
import { ArgumentError, HostArray, keyOf, type TensorType } from "../../src/engine/core/index.ts";
import { allOps, float } from "../../src/engine/ops/index.ts";
import type { KernelCall } from "../../src/engine/plan/index.ts";
import { drawWeights } from "../../src/testing/index.ts";
import { root } from "../architecture/imports.ts";
import { allocateAll, slotPlan } from "./one-call.ts";

/** A plan of some products of one square matrix with itself, each large enough for several threads. */
function products(backend: Backend, n: number, count: number): ReturnType<Backend["load"]> {
  const type = float([n, n]);
  const op = allOps.find(({ name }) => name === "matmul")!;
  const attrs = { transposeA: false, transposeB: true };
  const spec = backend.lower({ op, attrs: attrs as never, inputs: [type, type], outputs: [type] }) as KernelSpec;
  const call: KernelCall = {
    kind: "kernel",
    kernel: spec.kernel,
    op: "matmul",
    inputs: [0, 0],
    outputs: [1],
    params: spec.params,
    flops: 0,
  };
  return backend.load(
    slotPlan(
      [type, type],
      Array.from({ length: count }, () => call),
    ),
  );
}

const square = (n: number): HostArray => HostArray.of(Float32Array.from(drawWeights(n * n, keyOf(n))), [n, n]);

describe.each([false, true])("relaxed %s", (relaxed) => {
  it("gives the same bits with 1, 2 and 4 threads, on the caller's thread and off it", async () => {
    const n = 333;
    const type: TensorType = float([n, n]);
    const results: HostArray[] = [];
    for (const threads of [1, 2, 4]) {
      const backend = createWasm({ threads, relaxed, poison: true });
      expect(backend.threads).toBe(threads);
      const loaded = products(backend, n, 1);
      const memory = allocateAll(backend, [type, type], [square(n)]);
      // Its workers are there after the first run off the thread.
      for (const run of ["run", "runAsync", "run", "run", "runAsync"] as const) {
        await loaded[run](memory);
        results.push(backend.read(memory[1]!, type));
      }
    }
    for (const result of results) expect(result.equals(results[0]!)).toBe(true);
  });
});

it("runs off the event loop", async () => {
  const n = 512;
  const backend = createWasm({ threads: 2 });
  const loaded = products(backend, n, 20);
  const memory = allocateAll(backend, [float([n, n]), float([n, n])], [square(n)]);
  await loaded.runAsync(memory);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await loaded.runAsync(memory);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(5);
});

it("keeps a plan that is disposed while it runs until it is done", async () => {
  const n = 300;
  const backend = createWasm({ threads: 2 });
  const loaded = products(backend, n, 8);
  const memory = allocateAll(backend, [float([n, n]), float([n, n])], [square(n)]);
  const running = [loaded.runAsync(memory), loaded.runAsync(memory)];
  loaded.dispose();
  await Promise.all(running);
  await expect(loaded.runAsync(memory)).rejects.toThrow(/disposed/);
});

it("refuses numbers of threads that cannot be", () => {
  expect(() => createWasm({ threads: 0 })).toThrow(ArgumentError);
  expect(() => createWasm({ threads: 1.5 })).toThrow(ArgumentError);
});

const child = async (program: string): Promise<string> => {
  const env = { ...process.env, CHAINRULE_DEVICE: "wasm", CHAINRULE_THREADS: "3" };
  const args = ["--input-type=module", "-e", program];
  return (await promisify(execFile)(process.execPath, args, { cwd: root, env, timeout: 20_000 })).stdout;
};

it("runs on one thread in an engine without shared memory", async () => {
  const stdout = await child(`
    const { Memory } = WebAssembly;
    WebAssembly.Memory = function (type) {
      if (type.shared) throw new TypeError("there is none");
      return new Memory(type);
    };
    const { defaultDevice, ones, jit } = await import("chainrule");
    console.log((await jit((x) => x.matmul(x).sum()).run(ones([100, 100]))).item(), defaultDevice().threads);`);
  expect(stdout).toBe("1000000 1\n");
});

it("lets the process end by itself, after its last run and not before", async () => {
  const program = `
    import { defaultDevice, jit, zeros } from "chainrule";
    const square = jit((x) => x.matmul(x).sum());
    const x = zeros([700, 700]);
    square(x).item();
    square.run(x).then((y) => console.log(defaultDevice().name, defaultDevice().threads, y.item()));`;
  const stdout = await child(program);
  expect(stdout).toBe("wasm 3 0\n");
});
