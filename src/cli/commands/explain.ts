// `chainrule explain`: one digit through forward, loss, backward and update, in the terminal, as a page or as JSON.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import type { HostArray, Shape } from "../../engine/core/index.ts";
import type { Model, Sequential } from "../../learn/train/index.ts";
import { outputOf, type Output } from "../output.ts";

interface Options {
  readonly sample: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly checks: number;
  readonly html?: string;
  readonly digits?: string;
}

export function explain(): Command {
  return new Command("explain")
    .description("take one digit through a training step and show every number: forward, loss, backward, update")
    .argument("[folder]", "a saved model, or the folder of a run; none: the classic network, freshly initialised")
    .option("--sample <number>", "which of the test digits", wholeNumber, 0)
    .option("--learning-rate <rate>", "size of the step", positive, 0.01)
    .option("--checks <number>", "finite differences of each parameter", wholeNumber, 3)
    .option("--seed <number>", "initial weights, and which gradients are checked", wholeNumber, 0)
    .option("--html <file>", "write one self-contained page as well")
    .option("--digits <folder>", "original files of MNIST or of a set in its form, instead of the digits shipped here")
    .action(run);
}

async function run(folder: string | undefined, options: Options, command: Command): Promise<void> {
  const { ArgumentError } = await import("../../engine/core/index.ts");
  const { mnist } = await import("../../data/datasets/index.ts");
  const room = await import("../../learn/explain/index.ts");
  const output = outputOf(command);
  const model = folder === undefined ? await classic(options.seed) : await load(folder);
  const { testImages, testLabels, classNames } = await mnist(
    options.digits === undefined ? {} : { folder: options.digits },
  );
  const { sample, seed } = options;
  if (sample >= testLabels.size)
    throw new ArgumentError("explain", `there are ${testLabels.size} test digits: received --sample ${sample}`);
  const image = pixels(testImages.rows(sample, sample + 1), await pictureShape(model));
  const explanation = room.explain(
    model,
    { input: image, target: testLabels.get(sample) },
    {
      learningRate: options.learningRate,
      seed,
      classNames,
      checks: { perParameter: options.checks },
      ...(model.compileOptions === undefined ? { loss: "sparse_categorical_crossentropy" } : {}),
    },
  );
  if (options.html !== undefined) {
    await writeFile(options.html, room.renderHtml(explanation));
    output.progress(`page: ${options.html}`);
  }
  output.result(explanation, (data) => room.renderText(data, look(output)));
}

function look({ colors }: Output): { width: number; color: boolean } {
  return { width: Math.min(process.stdout.columns ?? 100, 140), color: colors.isColorSupported };
}

/** The network of the article, with weights of its seed. */
async function classic(seed: number): Promise<Sequential> {
  const { dense } = await import("../../learn/nn/index.ts");
  const { Sequential: Model } = await import("../../learn/train/index.ts");
  const model = new Model([
    dense(128, { activation: "relu", inputShape: [784] }),
    dense(64, { activation: "relu" }),
    dense(10, { activation: "softmax" }),
  ]);
  model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"] });
  return model.init(seed, { dtype: "float32", shape: [1, 784] });
}

// A saved model lies in the folder itself, in its folder `model`, or in the newest intact checkpoint of a run.
async function load(folder: string): Promise<Sequential | Model> {
  const { CheckpointError } = await import("../../engine/core/index.ts");
  const { listCheckpoints, loadModel, readCheckpoint } = await import("../../learn/train/index.ts");
  for (const place of [folder, join(folder, "model")]) {
    if (existsSync(join(place, "config.json")) && existsSync(join(place, "model.safetensors"))) return loadModel(place);
  }
  const checkpoints = join(folder, "checkpoints");
  const reasons: string[] = [];
  for (const step of existsSync(checkpoints) ? (await listCheckpoints(checkpoints)).reverse() : []) {
    try {
      return await loadModel((await readCheckpoint(checkpoints, step)).path);
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      reasons.push(error.message);
    }
  }
  const found = reasons.length === 0 ? "no model, and no checkpoint, is in it" : reasons.join("; ");
  throw new CheckpointError(folder, found, {
    hint: "give the folder of model.save(), of a run with checkpoints, or none for a fresh network",
  });
}

// What one input of the model looks like, as its configuration says.
async function pictureShape(model: Sequential | Model): Promise<Shape> {
  const { ArgumentError } = await import("../../engine/core/index.ts");
  const { config } = model;
  const { sampleShape, inputs } = config as { sampleShape?: Shape; inputs?: readonly { shape?: Shape }[] };
  const shape = sampleShape ?? (inputs?.length === 1 ? inputs[0]?.shape : undefined);
  if (shape === undefined || shape.reduce((n, d) => n * d, 1) !== 784) {
    const received = shape === undefined ? "several inputs" : `[${shape.join(", ")}]`;
    throw new ArgumentError("explain", `this command explains models of one picture of 28 × 28: received ${received}`, {
      hint: "for other models call explain(model, { input, target }) in a program",
    });
  }
  return shape;
}

function pixels(image: HostArray, shape: Shape): HostArray {
  const out = image.cast("float32");
  for (let i = 0; i < out.size; i++) out.set(i, image.get(i) / 255);
  return out.reshape(shape);
}

function wholeNumber(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0 || text.trim() === "") throw new InvalidArgumentError("a whole number ≥ 0.");
  return n;
}

function positive(text: string): number {
  const n = Number(text);
  if (!(n > 0 && Number.isFinite(n))) throw new InvalidArgumentError("a number > 0.");
  return n;
}
