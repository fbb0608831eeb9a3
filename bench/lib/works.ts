// The works that are measured: names, units and costs, nothing that runs, so that both sides and the printer read one list.
import { gpt2Flops, gpt2Sizes } from "./gpt2.ts";

/** One thing to time. Ours and each peer build it by its id. */
export interface Work {
  /** What the programs are asked for: `gemm/1024/NN`. */
  readonly id: string;
  readonly name: string;
  /** Of the value that is printed. */
  readonly unit: string;
  /** The value from the seconds of one repetition. */
  readonly value: (seconds: number) => number;
  /** Repetitions in one timing, so that it is long enough to read; fewer where they would take more than a second. */
  readonly repeat: number;
  /** Floating-point operations of one repetition; 0 where the share of peak says nothing. */
  readonly flops: number;
  /** Whether each number of threads is a row; else the best number of threads is, for both sides. */
  readonly eachThreads: boolean;
  /** Whether each timing is a process of its own. */
  readonly fresh: boolean;
  /** Whether TensorFlow.js can do it. */
  readonly tfjs: boolean;
}

const defaults = { repeat: 1, flops: 0, eachThreads: false, fresh: false, tfjs: false };

const transposes = ["NN", "NT", "TN", "TT"] as const;
type Transposes = (typeof transposes)[number];

function product(n: number, transposes: Transposes): Work {
  const flops = 2 * n ** 3;
  return {
    ...defaults,
    id: `gemm/${n}/${transposes}`,
    name: `gemm ${n} ${transposes}`,
    unit: "GFLOP/s",
    value: (seconds) => flops / seconds / 1e9,
    repeat: Math.max(1, Math.ceil(2 ** 33 / flops)), // the first product after a pause wakes the threads
    flops,
    eachThreads: true,
    tfjs: transposes === "NN" || n <= 512, // it turns the others around first: seconds each for larger ones
  };
}

/** Floats of the element-wise works: 64 MiB, more than the caches hold. */
export const elements: number = 2 ** 24;

function elementwise(id: string, name: string): Work {
  return {
    ...defaults,
    id: `elementwise/${id}`,
    name,
    unit: "GB/s", // read once, written once: what a fused chain has to move
    value: (seconds) => (8 * elements) / seconds / 1e9,
    repeat: 10, // as for products
    eachThreads: true,
    tfjs: true,
  };
}

const milliseconds = (seconds: number): number => seconds * 1e3;

function gpt(size: keyof typeof gpt2Sizes, repeat: number): Work {
  const flops = gpt2Flops(gpt2Sizes[size]);
  return { ...defaults, id: `gpt/${size}`, name: `gpt-${size}`, unit: "ms/step", value: milliseconds, repeat, flops };
}

function start(id: string, name: string): Work {
  return { ...defaults, id: `start/${id}`, name, unit: "ms", value: milliseconds, fresh: true };
}

// Forward, the gradient of every weight, and of every input but the first layer's.
const mlpFlops = 60_000 * 2 * (3 * (784 * 128 + 128 * 64 + 64 * 10) - 784 * 128);
const convs = [26 * 26 * 9 * 32, 24 * 24 * 9 * 32 * 64] as const;
const cnnFlops = 640 * 2 * (3 * (convs[1] + 9216 * 128 + 128 * 10) + 2 * convs[0]);

/** What sets the peak: measured beside everything that has a share of it. */
export const peakWorks: readonly Work[] = [product(1024, "NN"), product(2048, "NN")];

/** What a peer shows at the door: with the wrong BLAS it is many times slower than ours. */
export const guardWork: Work = product(512, "NN");

/** The works by the name of their benchmark. */
export const works: { readonly [bench: string]: readonly Work[] } = {
  gemm: [
    product(256, "NN"),
    ...transposes.map((pair) => product(512, pair)),
    ...transposes.map((pair) => product(1024, pair)),
    ...transposes.map((pair) => product(2048, pair)),
  ],
  elementwise: [elementwise("chain", "chain of 8 ops, 16M"), elementwise("neg", "neg, 16M")],
  mlp: [
    {
      ...defaults,
      id: "mlp",
      name: "mlp",
      unit: "s/epoch",
      value: (seconds) => seconds,
      flops: mlpFlops,
      tfjs: true,
    },
  ],
  cnn: [{ ...defaults, id: "cnn", name: "cnn", unit: "img/s", value: (seconds) => 640 / seconds, flops: cnnFlops }],
  "gpt-small": [gpt("small", 30)],
  "gpt-med": [gpt("med", 1)],
  "gpt-big": [gpt("big", 1)],
  "start-up": [
    start("import", "process to ready"),
    start("mlp", "first step of mlp"),
    start("gpt-small", "first step of gpt-small"),
    start("gpt-big", "first step of gpt-big"),
  ],
};
