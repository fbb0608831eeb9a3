// Training runs for the suites of this folder, on the built package: random cases, and what a child process does with one.
// Plain JavaScript, so that a child starts at once: node cases.mjs '{"mode": …}' prints lines of JSON.
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import * as core from "../../dist/engine/core/index.js";
import * as tensor from "../../dist/engine/tensor/index.js";
import * as nn from "../../dist/learn/nn/index.js";
import * as optim from "../../dist/learn/optim/index.js";
import * as train from "../../dist/learn/train/index.js";

/** Draws of one case: a function of its number alone. */
function draws(number) {
  let counter = 0;
  const key = core.foldIn(core.keyOf(2024), number);
  const unit = () => core.unitFloat(core.randomBits(core.foldIn(key, counter++), 1)[0]);
  return { unit, below: (n) => Math.floor(unit() * n), pick: (list) => list[Math.floor(unit() * list.length)] };
}

const models = {
  dense: () =>
    new train.Sequential([
      nn.dense(12, { activation: "relu", inputShape: [8], kernelRegularizer: "l2" }),
      nn.dense(3, { activation: "softmax" }),
    ]),
  dropout: () =>
    new train.Sequential([
      nn.dense(12, { activation: "tanh", inputShape: [8] }),
      nn.dropout(0.4),
      nn.batchNormalization(),
      nn.dense(3, { activation: "softmax" }),
    ]),
  conv: () =>
    new train.Sequential([
      nn.reshape([8, 1], { inputShape: [8] }),
      nn.conv1d(4, 3, { activation: "relu" }),
      nn.flatten(),
      nn.dense(3, { activation: "softmax" }),
    ]),
  lstm: () =>
    new train.Sequential([nn.reshape([4, 2], { inputShape: [8] }), nn.lstm(5), nn.dense(3, { activation: "softmax" })]),
  frozen: () =>
    new train.Sequential([
      nn.dense(12, { activation: "gelu", inputShape: [8], trainable: false }),
      nn.layerNormalization(),
      nn.dense(3, { activation: "softmax" }),
    ]),
};

function optimizerOf({ pick, unit }) {
  const name = pick(["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "lion", "nadam", "adamax"]);
  const learningRate =
    unit() < 0.3 ? optim.warmup(optim.cosineDecay({ initial: 0.02, decaySteps: 40 }), { steps: 5 }) : 0.01;
  const options = { learningRate, ...(unit() < 0.3 ? { globalClipNorm: 0.5 } : {}) };
  if (name === "momentum") return optim.sgd({ ...options, momentum: 0.9 });
  if (name === "nesterov") return optim.sgd({ ...options, momentum: 0.9, nesterov: true });
  return optim.optimizers[name](options);
}

/** A case: model, optimizer, batch size, epochs and options, and after which step it is interrupted. */
export function makeCase(number) {
  const draw = draws(number);
  const samples = 20 + draw.below(30);
  const x = core.HostArray.from(
    Array.from({ length: samples }, () => Array.from({ length: 8 }, () => draw.unit() - 0.5)),
  );
  const y = Uint8Array.from({ length: samples }, () => draw.below(3));
  const batchSize = 3 + draw.below(9);
  const epochs = 2 + draw.below(3);
  const validated = draw.unit() < 0.5;
  const trained = validated ? Math.floor(samples * 0.8) : samples;
  const steps = Math.ceil(trained / batchSize) * epochs;
  const optimizer = optimizerOf(draw);
  const kind = draw.pick(Object.keys(models));
  const callbacks = () => [
    ...(validated ? [train.earlyStopping({ patience: 1, restoreBestWeights: true })] : []),
    ...(typeof optimizer.learningRate === "number" && validated
      ? [train.reduceOnPlateau({ factor: 0.5, patience: 1 })]
      : []),
  ];
  return {
    title: `${number}: ${kind}, ${optimizer.name}, batch ${batchSize}, ${steps} steps`,
    steps,
    stopAt: 1 + draw.below(steps),
    start() {
      const model = models[kind]();
      model.compile({ optimizer, loss: "sparse_categorical_crossentropy", metrics: ["accuracy"], seed: number });
      const fit = (options) =>
        model.fit(x, y, {
          epochs,
          batchSize,
          verbose: 0,
          shuffle: number % 5 !== 0,
          validationSplit: validated ? 0.2 : 0,
          ...options,
          callbacks: [...callbacks(), { onNote() {} }, ...(options.callbacks ?? [])],
        });
      return { model, fit };
    },
  };
}

/** Trains a case to its end, or to `stopAt`; what it must be equal in. */
export async function runCase(number, { folder, stopAt } = {}) {
  const { model, fit } = makeCase(number).start();
  const losses = {};
  const abort = new AbortController();
  const history = await fit({
    ...(folder === undefined ? {} : { checkpoint: { folder, keepLast: 2 }, resume: true }),
    signal: abort.signal,
    callbacks: [
      {
        onBatchEnd(_, __, run) {
          losses[run.step] = run.batchLoss;
          if (run.step === stopAt) abort.abort();
        },
      },
    ],
  });
  return { hash: train.hashState(model.trainState), losses, history };
}

/** SHA-256 of the weights after some steps of a network large enough for several threads. */
export async function trainLarge(seed) {
  const draw = draws(seed);
  const x = core.HostArray.from(Array.from({ length: 192 }, () => Array.from({ length: 28 * 28 }, () => draw.unit())));
  const y = Uint8Array.from({ length: 192 }, () => draw.below(10));
  const model = new train.Sequential([
    nn.reshape([28, 28, 1], { inputShape: [784] }),
    nn.conv2d(8, 3, { activation: "relu" }),
    nn.maxPooling2d(),
    nn.flatten(),
    nn.dense(128, { activation: "relu" }),
    nn.dropout(0.3),
    nn.batchNormalization(),
    nn.dense(10, { activation: "softmax" }),
  ]);
  model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"], seed });
  await model.fit(x, y, { epochs: 2, batchSize: 64, verbose: 0 });
  const hash = createHash("sha256");
  for (const [path, array] of Object.entries(model.getWeights())) hash.update(path).update(array.bytes());
  return hash.digest("hex");
}

/**
 * The run that is killed: 200 steps, saved after each one, logged into a run folder. `onLine` hears of the state it goes
 * on from and of every step that is safe on the disk.
 */
export async function killable(folder, onLine = () => {}) {
  const draw = draws(77);
  const x = core.HostArray.from(Array.from({ length: 60 }, () => Array.from({ length: 8 }, () => draw.unit() - 0.5)));
  const y = Uint8Array.from({ length: 60 }, () => draw.below(3));
  const model = models.dropout();
  model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"], seed: 5 });
  let first;
  await model.fit(x, y, {
    epochs: 20,
    batchSize: 6,
    verbose: 0,
    ...(folder === undefined ? {} : { run: folder, resume: true, checkpoint: { everySteps: 1, keepLast: 2 } }),
    callbacks: [
      {
        onBatchBegin(_, run) {
          first ??= run.step;
          const kind = run.step === first ? "from" : "saved";
          onLine({ kind, step: run.step, hash: train.hashState(run.state), loss: run.batchLoss });
        },
      },
    ],
  });
  onLine({ kind: "end", step: 200, hash: train.hashState(model.trainState), loss: null });
  return model;
}

export { core, nn, optim, tensor, train };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const task = JSON.parse(process.argv[2]);
  const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
  if (task.mode === "case") say(await runCase(task.number, task));
  if (task.mode === "large") say(await trainLarge(task.seed));
  if (task.mode === "killable") await killable(task.folder, say);
}
