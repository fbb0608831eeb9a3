// `chainrule quickstart`: the article's program on real digits, from nothing to an explained step; what `npm start` runs.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import type { HostArray } from "../../engine/core/index.ts";
import type { Sequential } from "../../learn/train/index.ts";
import { outputOf, type Output } from "../output.ts";

interface Options {
  readonly folder: string;
  readonly seed: string;
}

/** What `summary.json` holds. */
export interface QuickstartSummary {
  readonly device: string;
  readonly threads: number;
  readonly node: string;
  readonly seconds: { readonly total: number; readonly train: number };
  /** Accuracy on the thousand digits nobody trained on. */
  readonly digits: { readonly after5: number; readonly after15: number; readonly train: number; readonly test: number };
  readonly loss: { readonly first: number; readonly last: number };
  /** The largest relative difference between a gradient and its finite difference in the explained step. */
  readonly gradientCheck: number;
  readonly files: { readonly model: string; readonly explanation: string };
}

export function quickstart(): Command {
  return new Command("quickstart")
    .description("train the classic network on real handwritten digits, fine-tune it, explain one step")
    .option("--folder <folder>", "where to leave the model, the explanation and summary.json", "runs/quickstart")
    .option("--seed <number>", "initial weights and order of the digits", "0")
    .action(async (options: Options, command: Command) => {
      const output = outputOf(command);
      output.result(await run(options, output), (summary) => closing(summary, output));
    });
}

async function run({ folder, seed }: Options, output: Output): Promise<QuickstartSummary> {
  const began = performance.now();
  const { dense, Sequential, datasets, defaultDevice, explain, renderHtml, renderText } =
    await import("../../index.ts");
  const say = output.json ? (): void => {} : (text: string): void => void process.stdout.write(`${text}\n`);
  const title = (text: string): void => say(`\n${output.colors.bold(text)}`);
  await mkdir(folder, { recursive: true });

  const device = defaultDevice();
  title("1. The machine");
  say(device.toString());

  title("2. The digits");
  const digits = await datasets.mnist();
  const [trainImages, testImages] = [
    flat(datasets.rescale(digits.trainImages, 1 / 255)),
    flat(datasets.rescale(digits.testImages, 1 / 255)),
  ];
  const { trainLabels, testLabels } = digits;
  say(`${digits.source}: 28 × 28 pixels, ten classes`);

  title("3. The network: 784-128-64-10");
  const model = new Sequential([
    dense(128, { activation: "relu", inputShape: [784] }),
    dense(64, { activation: "relu" }),
    dense(10, { activation: "softmax" }),
  ]);
  model.compile({
    optimizer: "sgd",
    loss: "sparse_categorical_crossentropy",
    metrics: ["accuracy"],
    seed: Number(seed),
  });
  model.summary({ print: say });

  title("4. Training: 5 epochs, then 10 more that go on from where it stood");
  const accuracy = async (): Promise<number> => (await model.evaluate(testImages, testLabels))[1]!;
  const start = performance.now();
  const first = await model.fit(trainImages, trainLabels, { epochs: 5 });
  const after5 = await accuracy();
  const second = await model.fit(trainImages, trainLabels, { epochs: 10 }); // fine-tune
  const train = (performance.now() - start) / 1000;
  const after15 = await accuracy();
  say(
    `on ${testLabels.size} digits it has never seen: ${percent(after5)} after 5 epochs, ${percent(after15)} after 15`,
  );

  title("5. How good is it, digit by digit?");
  say(await report(model, testImages, testLabels));

  title("6. The glass box");
  const sample = { input: testImages.rows(0, 1).reshape([784]), target: testLabels.get(0) };
  const explanation = explain(model, sample, { learningRate: 0.01, classNames: digits.classNames });
  say(
    renderText(explanation, {
      width: Math.min(process.stdout.columns ?? 100, 120),
      color: output.colors.isColorSupported,
    }),
  );
  const files = { model: join(folder, "model"), explanation: join(folder, "explain.html") };
  await writeFile(files.explanation, renderHtml(explanation));
  await model.save(files.model);

  const summary: QuickstartSummary = {
    device: device.name,
    threads: device.threads,
    node: process.versions.node,
    seconds: { total: rounded((performance.now() - began) / 1000), train: rounded(train) },
    digits: { after5, after15, train: trainLabels.size, test: testLabels.size },
    loss: { first: first.history["loss"]![0]!, last: second.history["loss"]!.at(-1)! },
    gradientCheck: Math.max(...explanation.checks.map((check) => check.relativeError)),
    files,
  };
  await writeFile(join(folder, "summary.json"), `${JSON.stringify(summary, undefined, 2)}\n`);
  return summary;
}

function flat(images: HostArray): HostArray {
  const n = images.shape[0]!;
  return images.reshape([n, images.size / n]);
}

async function report(model: Sequential, images: HostArray, labels: HostArray): Promise<string> {
  const { classificationReport, measure } = await import("../../learn/metrics/index.ts");
  const yPred = (await model.predict(images)) as HostArray;
  return measure(classificationReport(), { yTrue: labels, yPred }).toString();
}

function closing({ seconds, digits, gradientCheck, device, files }: QuickstartSummary, output: Output): string {
  const { bold } = output.colors;
  return [
    "",
    bold(
      `${percent(digits.after15)} of unseen digits right after ${seconds.train} s of training on ${device}; all in ${seconds.total} s.`,
    ),
    `Gradients and finite differences agree to ${gradientCheck.toExponential(1)}.`,
    `The whole step with pictures: ${files.explanation}`,
    `The model, to load with loadModel("${files.model}"): ${files.model}`,
  ].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function rounded(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
