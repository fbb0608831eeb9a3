// Where the time of a training step goes: every kernel call of its plan, from explainPlan.
//
//   npm run bench -- plan --work mlp|cnn|gpt-small|gpt-med|gpt-big [--slowest 30] [--device wasm] [--threads 1]
import { device, explainPlan, setDefaultDevice, type DeviceName } from "chainrule";
import type { Measured } from "./lib/contest.ts";
import { isStepName, stepNames, trainingStep } from "./lib/steps.ts";

export const about = "where the time of a training step goes: each kernel call, with --work NAME";

interface Options {
  readonly work?: string;
  readonly slowest?: string;
  readonly runs?: string;
  readonly device?: DeviceName;
  readonly threads?: string;
  readonly variant?: string;
}

export default function measure({ work = "mlp", slowest, runs, device: on, threads, variant }: Options): Measured[] {
  if (!isStepName(work)) throw new Error(`--work is one of ${stepNames.join(", ")}: received ${work}`);
  // Before the device opens.
  if (threads !== undefined) process.env["CHAINRULE_THREADS"] = threads;
  if (variant !== undefined) process.env["CHAINRULE_VARIANT"] = variant;
  if (on !== undefined) setDefaultDevice(device(on));
  const { step, state, batch } = trainingStep(work);
  const plan = explainPlan(step, [state, batch], runs === undefined ? {} : { runs: Number(runs) });
  console.log(`\n${plan.text(slowest === undefined ? {} : { slowest: Number(slowest) })}`);
  const row = (name: string, unit: string, ours: number, peakShare: number | null = null): Measured => {
    return {
      name: `${work} ${name}`,
      unit,
      ours,
      peer: null,
      ratio: null,
      threads: plan.threads,
      device: plan.device,
      peakShare,
    };
  };
  return [
    row("step", "ms", plan.seconds * 1e3, plan.flops / plan.seconds / plan.peak),
    row("in kernels", "ms", plan.kernelSeconds * 1e3, plan.flops / plan.kernelSeconds / plan.peak),
    row("kernel calls", "calls", plan.calls.length),
    row("arena", "MiB", plan.arenaBytes / 2 ** 20),
  ];
}
