// Decoding with GPT-2's shape (124M), one row, float32: tokens a second, against what reading the weights once allows.
//
//   npm run bench -- decode [--tokens 60] [--prompt 64] [--slots 1] [--threads 1]
import { jit, random, type Tensor } from "chainrule";
import { defaultDevice } from "chainrule/tensor";
import { Decoder } from "chainrule/generate";
import { gpt2, presets } from "chainrule/models";
import type { Measured } from "./lib/contest.ts";

export const about = "decoding with GPT-2's shape (124M), one row: tokens/s and the share of memory bandwidth";

interface Options {
  readonly tokens?: string;
  readonly prompt?: string;
  readonly slots?: string;
  readonly threads?: string;
}

export default async function measure(options: Options): Promise<Measured[]> {
  // Before the device opens.
  if (options.threads !== undefined) process.env["CHAINRULE_THREADS"] = options.threads;
  const [count, prompt, slots] = [
    Number(options.tokens ?? 60),
    Number(options.prompt ?? 64),
    Number(options.slots ?? 1),
  ];
  const model = gpt2(presets["gpt2"]!).init(0, { dtype: "int32", shape: [1, 1] });
  const bytes = 4 * model.count();
  const decoder = new Decoder(model, { slots });
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7919) % model.vocabSize);
  for (let slot = 0; slot < slots; slot++) await decoder.prefill(slot, ids);
  const step = (i: number): Promise<Float32Array[]> =>
    decoder.step(Array.from({ length: slots }, (_, slot) => ({ slot, id: (i * 104729) % model.vocabSize })));
  for (let i = 0; i < 5; i++) await step(i); // the plan is compiled and the threads are awake
  const times: number[] = [];
  let bandwidth = 0;
  for (let i = 0; i < count; i++) {
    // In turns with the steps, so that both see the same machine.
    if (i % 10 === 0) bandwidth = Math.max(bandwidth, readRate());
    const start = performance.now();
    await step(i);
    times.push((performance.now() - start) / 1e3);
  }
  const seconds = times.sort((a, b) => a - b)[times.length >> 1]!;
  decoder.rewind(0);
  const begun = performance.now();
  await decoder.prefill(0, ids);
  const prefill = (performance.now() - begun) / 1e3;
  const { threads, name } = { threads: defaultDevice().backend.threads, name: defaultDevice().name };
  const row = (what: string, unit: string, ours: number, peakShare: number | null = null): Measured => {
    return { name: what, unit, ours, peer: null, ratio: null, threads, device: name, peakShare };
  };
  const rate = bytes / seconds / 1e9;
  return [
    row("memory read by a sum", "GB/s", bandwidth),
    row(`decode, ${slots} row${slots === 1 ? "" : "s"}`, "tokens/s", slots / seconds, rate / bandwidth),
    row("decode, weights read", "GB/s", rate, rate / bandwidth),
    row(`prefill of ${prompt} tokens`, "tokens/s", prompt / prefill),
  ];
}

let big: Tensor | undefined;
const total = jit((x: Tensor) => x.sum());

// GB/s of one pass over 256 MiB that only reads: the best of three.
function readRate(): number {
  big ??= random.uniform(random.key(0), [2 ** 26]);
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    total(big).item();
    best = Math.min(best, performance.now() - start);
  }
  return 2 ** 28 / best / 1e6;
}
