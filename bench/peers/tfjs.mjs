// TensorFlow.js's side of the works (wasm backend), by the same lines. `node tfjs.mjs FOLDER`, where npm installed it.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.argv[2], "package.json"));
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(`${join(process.argv[2], "node_modules/@tensorflow/tfjs-backend-wasm/dist")}/`);
wasm.setThreadsCount(1);
await tf.setBackend("wasm");
await tf.ready();

// Of the 60,000 of an epoch: it is slow, and its time is that of so many equal steps.
const SAMPLES = 3000;

function build(id) {
  const [kind, what, transposes] = id.split("/");
  if (kind === "gemm") {
    const [a, b] = [tf.randomUniform([+what, +what]), tf.randomUniform([+what, +what])];
    return () => tf.matMul(a, b, transposes[0] === "T", transposes[1] === "T").dispose();
  }
  if (kind === "elementwise") {
    const x = tf.randomUniform([2 ** 24], -0.5, 0.5);
    if (what === "neg") return () => tf.neg(x).dispose();
    const chain = () => {
      const y = tf.sub(tf.mul(tf.abs(tf.add(tf.mul(x, 1.5), 0.5)), 0.25), 1);
      return tf.mul(tf.maximum(tf.mul(y, y), 0), 0.5);
    };
    return () => tf.tidy(chain).dispose();
  }
  if (id === "mlp") {
    const layers = [
      tf.layers.dense({ units: 128, activation: "relu", inputShape: [784] }),
      tf.layers.dense({ units: 64, activation: "relu" }),
      tf.layers.dense({ units: 10, activation: "softmax" }),
    ];
    const model = tf.sequential({ layers });
    model.compile({ optimizer: "sgd", loss: "sparseCategoricalCrossentropy" });
    const x = tf.randomUniform([SAMPLES, 784]);
    const y = tf.cast(tf.floor(tf.randomUniform([SAMPLES, 1], 0, 10)), "float32");
    return () => model.fit(x, y, { epochs: 1, batchSize: 32, verbose: 0 });
  }
  throw new Error(`there is no work ${id}`);
}

const say = (message) => void process.stdout.write(`${JSON.stringify(message)}\n`);
const built = new Map();
say({ ready: true, version: tf.version.tfjs, threads: 1, device: "wasm" });
for await (const line of createInterface({ input: process.stdin })) {
  const [command, id, repeat] = line.split(" ");
  if (command === "end") {
    say({ peakBytes: process.resourceUsage().maxRSS * 1024 });
    break;
  }
  try {
    if (command === "build") {
      built.set(id, build(id));
      say({ built: id });
      continue;
    }
    const start = performance.now();
    for (let i = 0; i < Number(repeat); i++) await built.get(id)();
    const share = id === "mlp" ? SAMPLES / 60000 : 1;
    say({ seconds: (performance.now() - start) / 1000 / Number(repeat) / share });
  } catch (error) {
    say({ error: String(error) }); // the work is lost, the others are not
  }
}
