// A few steps of the classic network on the WebAssembly backend, by the engine alone: the same file runs in Node and in a page.
import { createWasm } from "../../dist/engine/backend/index.js";
import { HostArray } from "../../dist/engine/core/index.js";
import { Device } from "../../dist/engine/runtime/index.js";
import { jit, relu, setDefaultDevice, tensor, valueAndGrad } from "../../dist/engine/tensor/index.js";

// Numbers from a fixed recurrence.
function numbers(shape, scale) {
  const array = new HostArray("float32", shape);
  let x = shape.reduce((a, b) => (a * 31 + b) >>> 0, 1);
  for (let i = 0; i < array.size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    array.data[i] = (x / 2 ** 32 - 0.5) * scale;
  }
  return array;
}

/** Losses of some steps, every other one off the caller's thread; `module`: the bytes. */
export async function train({ module, threads }) {
  const device = new Device(createWasm({ module, threads }), "under test");
  setDefaultDevice(device);
  const sizes = [784, 128, 64, 10];
  let weights = sizes.slice(1).map((n, i) => tensor(numbers([sizes[i], n], 0.2)));
  const [x, y] = [tensor(numbers([256, 784], 2)), tensor(numbers([256, 10], 2))];
  const loss = ([a, b, c]) => {
    const error = relu(relu(x.matmul(a)).matmul(b))
      .matmul(c)
      .sub(y);
    return error.mul(error).mean();
  };
  const step = jit((params) => {
    const [value, gradients] = valueAndGrad(loss)(params);
    return [value, params.map((w, i) => w.sub(gradients[i].mul(0.05)))];
  });
  const losses = [];
  for (let i = 0; i < 12; i++) {
    const [value, next] = i % 2 === 0 ? await step.run(weights) : step(weights);
    weights = next;
    losses.push(value.item());
  }
  return { what: device.backend.describe(), threads: device.threads, losses };
}
