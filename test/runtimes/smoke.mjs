// What a user does first, on the installed package: import, train, save, load. Prints one JSON line; argument: the device.
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dense, loadModel, Sequential, setDefaultDevice, valueAndGrad, tensor, HostArray } from "chainrule";
import { allOps } from "chainrule/ops";

const device = process.argv[2];
setDefaultDevice(device);

// Two classes on a plane, from a fixed recurrence: no random numbers, no file.
const points = Array.from({ length: 64 }, (_, i) => [Math.sin(i * 1.3), Math.cos(i * 2.1)]);
const labels = points.map(([x, y]) => (x * y > 0 ? 1 : 0));

const model = new Sequential([dense(16, { activation: "tanh", inputShape: [2] }), dense(2, { activation: "softmax" })]);
model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"], seed: 7 });
// 4 batches of 16 in each of 5 epochs: 20 steps.
const history = await model.fit(points, labels, { epochs: 5, batchSize: 16, verbose: 0 });

const folder = mkdtempSync(join(tmpdir(), "chainrule-smoke-"));
const before = await model.predict(points);
await model.save(join(folder, "model"));
const again = await loadModel(join(folder, "model"));
const after = await again.predict(points);
rmSync(folder, { recursive: true });

const hash = (array) => createHash("sha256").update(array.bytes()).digest("hex");
const [value, slope] = valueAndGrad((w) => w.square().sum())(tensor(HostArray.from([1, 2, 3])));
console.log(
  JSON.stringify({
    node: process.versions.node,
    device,
    losses: history.history.loss,
    predictions: { saved: hash(before), loaded: hash(after) },
    gradient: [value.item(), ...slope.host().toFlat()],
    ops: allOps.length,
  }),
);
