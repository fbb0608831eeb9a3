// Our side of the works, and the child process that times them when asked: one line in, one line of JSON out.
import { createInterface } from "node:readline";
import { defaultDevice, type Device, type Shape } from "chainrule";
import * as ops from "chainrule/ops";
import { trace, type Value } from "chainrule/program";
import type { gpt2Sizes } from "./gpt2.ts";
import { classicModel, filled, pictureModel, repeated, trainingStep } from "./steps.ts";
import { elements } from "./works.ts";

/** One repetition of a work. */
export type Run = () => unknown;

// A program of one expression on the default device; the memory of its output is reused from run to run.
function kernel(shapes: readonly Shape[], fn: (inputs: readonly Value[]) => Value): Run {
  const device = defaultDevice();
  const types = shapes.map((shape) => ({ dtype: "float32" as const, shape }));
  const executable = device.executable(trace(types, (inputs) => [fn(inputs)]).program);
  const inputs = types.map((type) =>
    device.put(
      filled("float32", type.shape, () => Math.random() - 0.5),
      type,
    ),
  );
  return () => executable.run(inputs).forEach((output) => output.dispose());
}

function product(n: number, transposes: string): Run {
  const [transposeA, transposeB] = [transposes[0] === "T", transposes[1] === "T"];
  return kernel([[n, n], [n, n]], ([a, b]) => ops.matmul(a!, b!, { transposeA, transposeB })); // prettier-ignore
}

// ((|x · 1.5 + 0.5| · 0.25 − 1)², at least 0, · 0.5): eight cheap operations, so that memory is the limit.
function chain(x: Value): Value {
  const number = (value: number): Value => ops.full(value, x);
  const scaled = ops.abs(ops.add(ops.mul(x, number(1.5)), number(0.5)));
  const moved = ops.sub(ops.mul(scaled, number(0.25)), number(1));
  return ops.mul(ops.maximum(ops.mul(moved, moved), number(0)), number(0.5));
}

function classic(samples: number): Run {
  const model = classicModel();
  model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy", seed: 0 });
  const x = filled("float32", [samples, 784], Math.random);
  const y = filled("int32", [samples], () => Math.floor(Math.random() * 10));
  return () => model.fit(x, y, { epochs: 1, batchSize: 32, verbose: 0 });
}

function pictures(): Run {
  const model = pictureModel();
  model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", seed: 0 });
  const x = filled("float32", [640, 28, 28, 1], Math.random);
  const y = filled("int32", [640], () => Math.floor(Math.random() * 10));
  return () => model.fit(x, y, { epochs: 1, batchSize: 64, verbose: 0 });
}

/** Builds a work by its id. */
export function build(id: string): Run {
  const [kind, what, more] = id.split("/");
  if (kind === "gemm") return product(Number(what), more!);
  if (id === "elementwise/chain") return kernel([[elements]], ([x]) => chain(x!));
  if (id === "elementwise/neg") return kernel([[elements]], ([x]) => ops.neg(x!));
  if (id === "mlp") return classic(60_000);
  if (id === "cnn") return pictures();
  if (kind === "gpt") return repeated(trainingStep(`gpt-${what as keyof typeof gpt2Sizes}`));
  if (id === "start/mlp") return classic(32);
  if (kind === "start" && what?.startsWith("gpt-") === true) return build(id.slice("start/".length).replace("-", "/"));
  throw new Error(`there is no work ${id}`);
}

// The device, and the kernels where they are not its usual ones: as it says itself, not as it was asked.
function kernelsOf({ name, backend }: Device): string {
  const variant = ["avx2", "baseline", "relaxed"].find((word) => backend.describe().includes(word));
  return variant === undefined ? name : `${name} ${variant}`;
}

/** Answers until the input ends: `build ID` prepares, `time ID N` runs it N times, `end` tells the memory. */
export async function serve(): Promise<void> {
  const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);
  const built = new Map<string, Run>();
  const device = defaultDevice();
  say({ ready: true, threads: device.threads, device: kernelsOf(device) });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, id = "", repeat = "1"] = line.split(" ");
    if (command === "end") {
      say({ peakBytes: process.resourceUsage().maxRSS * 1024 });
      break;
    }
    if (command === "build") {
      built.set(id, build(id));
      say({ built: id });
      continue;
    }
    const run = built.get(id)!;
    const start = performance.now();
    for (let i = 0; i < Number(repeat); i++) await run();
    say({ seconds: (performance.now() - start) / 1000 / Number(repeat) });
  }
}
