// Speed of the matrix product and a few other kernels on the native addon alone: `node bench/gemm.mjs [threads] [variant]`.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const addon = require("../dist/native/chainrule.node");
const threads = addon.setThreads(Number(process.argv[2] ?? 1));
const variant = addon.setVariant(process.argv[3] ?? "");
if (variant === undefined) throw new Error(`this machine has no variant ${process.argv[3]}`);
console.log(`${variant} kernels, ${threads} threads, ${addon.compiler}`);

// Operands live as long as this script.
const kept = [];

/** Median seconds of one call of a kernel on operands of so many floats each. */
function time(kernel, sizes, params) {
  const addresses = sizes.map((size) => {
    const memory = new Uint8Array(size * 4 + 128);
    kept.push(memory);
    const address = Math.ceil(addon.address(memory) / 64) * 64;
    addon.write(
      address,
      Float32Array.from({ length: size }, () => Math.random() - 0.5),
    );
    return address;
  });
  const head = [addon.kernels.indexOf(kernel), 0, 0, sizes.length];
  const words = [...head, ...sizes.flatMap((_, slot) => [slot + 1, 0]), ...params];
  words[1] = words.length;
  const plan = addon.load(Int32Array.from(words), 0, sizes.length, 0);
  const slots = Float64Array.from(addresses);
  const runs = [];
  const began = performance.now();
  while (performance.now() - began < 400 || runs.length < 5) {
    const start = performance.now();
    addon.run(plan, slots);
    runs.push(performance.now() - start);
  }
  addon.unload(plan);
  addresses.forEach((address) => addon.free(address));
  return runs.sort((a, b) => a - b)[runs.length >> 1] / 1000;
}

for (const [m, n, k] of [
  [1024, 1024, 1024],
  [512, 512, 512],
  [256, 256, 256],
  [64, 64, 64],
  [32, 128, 784],
  [784, 128, 32],
  [32, 784, 128],
  [1, 4096, 1024],
  [4096, 32, 512],
]) {
  const rates = [
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
  ].map(([ta, tb]) => {
    const seconds = time("matmul", [m * k, k * n, m * n], [1, m, n, k, ta, tb]);
    return ((2 * m * n * k) / seconds / 1e9).toFixed(0).padStart(4);
  });
  console.log(`matmul ${`${m}x${n}x${k}`.padEnd(16)} nn tn nt tt: ${rates.join(" ")} GFLOP/s`);
}
for (const [n, h, c, f] of [
  [32, 28, 1, 32],
  [32, 14, 32, 64],
  [8, 28, 64, 64],
]) {
  const image = n * h * h * c;
  const result = n * h * h * f;
  const kernel = 9 * c * f;
  const params = [n, h, h, c, 3, 3, h, h, 1, 1, 1, 1, 1, 1, f, 1];
  const rate = (seconds) => ((2 * result * 9 * c) / seconds / 1e9).toFixed(0).padStart(4);
  const rates = [
    rate(time("conv", [image, kernel, result], params)),
    rate(time("convInput", [result, kernel, image], params)),
    rate(time("convFilter", [image, result, kernel], params)),
  ];
  console.log(`conv 3x3 ${`${n}x${h}x${h}x${c}->${f}`.padEnd(18)} forward input filter: ${rates.join(" ")} GFLOP/s`);
}
const op = (name) => addon.loopOps.indexOf(name);
for (const name of ["add", "exp", "tanh", "erf", "sin"]) {
  const n = 1 << 20;
  const code = [op("loadWord"), 0, 0, 0, 0, op(name), 1, 0, 0, 0, op("storeWord"), 0, 1, 1, 0];
  const seconds = time("loop", [n, n], [n, 1, 2, 3, 0, ...code]);
  console.log(`loop ${name.padEnd(6)} ${((n / seconds) * 1e-9).toFixed(2)} elements/ns`);
}
