// A training step of the preset `shakespeare` (6 layers, width 384, 256 tokens) with dropout on the weights of attention.
//
//   npm run bench -- dropout [--steps 4] [--batch 16]
import { adamw, createState, HostArray, makeStep, tensor } from "chainrule";
import type { Objective, Tensor } from "chainrule";
import { createModel, presets } from "chainrule/models";
import { crossEntropy, defaultDevice } from "chainrule/tensor";
import type { Measured } from "./lib/contest.ts";

export const about = "a training step of the preset shakespeare: what dropout on the weights of attention costs";

export default async function measure(options: {
  readonly steps?: string;
  readonly batch?: string;
}): Promise<Measured[]> {
  const [steps, batch] = [Number(options.steps ?? 4), Number(options.batch ?? 16)];
  const preset = presets["shakespeare"]!;
  const seconds = await times([preset, { ...preset, attn_pdrop: 0 }], { steps, batch });
  const { threads, name } = { threads: defaultDevice().backend.threads, name: defaultDevice().name };
  const row = (what: string, ours: number): Measured => {
    return {
      name: what,
      unit: "ms",
      ours: ours * 1e3,
      peer: null,
      ratio: null,
      threads,
      device: name,
      peakShare: null,
    };
  };
  return [row("step, attn_pdrop 0.2", seconds[0]!), row("step, attn_pdrop 0", seconds[1]!)];
}

// The least seconds a step of each model, taken in turns so that all see the same machine.
async function times(
  configs: readonly (typeof presets)[string][],
  { steps, batch }: { readonly steps: number; readonly batch: number },
): Promise<number[]> {
  const time = 256;
  const ids = new HostArray("int32", [batch, time]);
  for (let i = 0; i < ids.size; i++) ids.data[i] = (i * 7919) % 65;
  const x = tensor(ids, { dtype: "int32" });
  const objective: Objective = (logits, { y }) => ({ loss: crossEntropy(logits as Tensor, y[0]!).mean(), parts: [] });
  const optimizer = adamw({ learningRate: 1e-4 });
  const runs = configs.map((config) => {
    const model = createModel(config).init(0, { dtype: "int32", shape: [1, 1] });
    const step = makeStep(model, { objective, optimizer, predictions: false });
    return { step, state: createState(model, { optimizer, seed: 0, take: true }), best: Infinity };
  });
  for (let i = 0; i <= steps; i++) {
    for (const run of runs) {
      const start = performance.now();
      [run.state] = await run.step.run(run.state, { x, y: [x] });
      if (i > 0) run.best = Math.min(run.best, (performance.now() - start) / 1e3);
    }
  }
  return runs.map(({ best }) => best);
}
