// The classic network 784-128-64-10 of the article: accuracy on real pictures after 5 and 15 epochs, and the time of an epoch.
//
//   npm run bench -- classic                                    the digits that ship with the package, three seeds
//   npm run bench -- classic --data fashion --folder FOLDER     all of Fashion-MNIST; without a folder Debian's package is unpacked
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { datasets, defaultDevice, dense, Sequential, type HostArray } from "chainrule";

export const about = "784-128-64-10, SGD 0.01, batch 32, Keras's initialisation: test accuracy after 5 and 15 epochs";

interface Options {
  readonly data?: "digits" | "fashion";
  readonly folder?: string;
  readonly seeds?: string;
}

interface Row {
  readonly [column: string]: string | number;
}

/** One row a seed. */
export default async function measure({
  data = "digits",
  folder,
  seeds = data === "digits" ? "3" : "1",
}: Options): Promise<Row[]> {
  const set =
    data === "digits" ? await datasets.mnist() : await datasets.fashionMnist({ folder: folder ?? fromDebian() });
  const [trainX, testX] = [flat(set.trainImages), flat(set.testImages)];
  const device = defaultDevice();
  const rows: Row[] = [];
  for (let seed = 0; seed < Number(seeds); seed++) {
    const model = new Sequential([
      dense(128, { activation: "relu", inputShape: [784] }),
      dense(64, { activation: "relu" }),
      dense(10, { activation: "softmax" }),
    ]);
    model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"], seed });
    const start = performance.now();
    await model.fit(trainX, set.trainLabels, { epochs: 5, verbose: 0 });
    const [, after5 = NaN] = await model.evaluate(testX, set.testLabels);
    await model.fit(trainX, set.trainLabels, { epochs: 10, verbose: 0 });
    const seconds = (performance.now() - start) / 1000;
    const [, after15 = NaN] = await model.evaluate(testX, set.testLabels);
    rows.push({
      data,
      samples: trainX.shape[0]!,
      seed,
      after5,
      after15,
      "s/epoch": seconds / 15,
      "train s": seconds,
      device: device.name,
      threads: device.threads,
    });
  }
  return rows;
}

function flat(images: HostArray): HostArray {
  const n = images.shape[0]!;
  return datasets.rescale(images, 1 / 255).reshape([n, images.size / n]);
}

// Debian ships the original files; unpacked beside the build, nothing is installed.
function fromDebian(): string {
  const cache = join(process.cwd(), ".cache", "fashion-mnist");
  const folder = join(cache, "usr/share/datasets/fashion-mnist");
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const run = (command: string, ...args: string[]): void =>
    void execFileSync(command, args, { cwd: cache, stdio: "ignore" });
  run("apt-get", "update");
  run("apt-get", "download", "dataset-fashion-mnist");
  run(
    "dpkg-deb",
    "-x",
    readdirSync(cache).find((name) => name.endsWith(".deb"))!,
    ".",
  );
  return folder;
}
