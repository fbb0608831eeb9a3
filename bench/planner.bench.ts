// What `chainrule plan` predicts against what is true, for three sizes of GPT-2; plan and run each in a process of its own.
//
//   npm run bench -- planner [--work small|med|big] [--threads 1]
import type { Place } from "./lib/contest.ts";
import { gpt2Sizes } from "./lib/gpt2.ts";
import type { Planned } from "./lib/planned.ts";
import { probe, settings, type Settings } from "./lib/probe.ts";

export const about = "predictions of the planner against real runs: resident size and time of a step";

type Size = keyof typeof gpt2Sizes;

// Steps of the real run: enough for a median.
const STEPS: { readonly [size in Size]: number } = { small: 100, med: 8, big: 10 };

interface Row {
  readonly name: string;
  readonly unit: string;
  readonly predicted: number;
  readonly truth: number;
  /** Percent. */
  readonly error: number;
  readonly threads: number;
  readonly device: string;
}

export default async function measure(
  { work, ...given }: Settings & { readonly work?: string },
  { root }: Place,
): Promise<Row[]> {
  const all = Object.keys(gpt2Sizes) as Size[];
  if (work !== undefined && !all.some((size) => size === work))
    throw new Error(`--work is one of ${all.join(", ")}: received ${work}`);
  const rows: Row[] = [];
  for (const size of all.filter((one) => work === undefined || one === work)) {
    const ask = (how: "plan" | "run"): Promise<Planned> =>
      probe<Planned>("planned", { root, env: settings(given), args: [how, size, String(STEPS[size])] });
    const [plan, run] = [await ask("plan"), await ask("run")];
    const row = (what: string, unit: string, of: (one: Planned) => number): Row => {
      const [predicted, truth] = [of(plan), of(run)];
      const error = Math.round(1000 * (predicted / truth - 1)) / 10;
      const { threads, device } = plan;
      return { name: `gpt-${size} ${what}`, unit, predicted, truth, error, threads, device };
    };
    rows.push(
      row("resident in training", "MiB", ({ training }) => training / 2 ** 20),
      row("resident at most", "MiB", ({ peak }) => peak / 2 ** 20),
      row("step", "ms", ({ step }) => 1000 * step),
      row("seconds it took", "s", ({ took }) => took),
    );
  }
  return rows;
}
