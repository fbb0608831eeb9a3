// What a first step costs before it is fast: trace, each pass of the compiler, load, first run. Each timing is a process of its own.
//
//   npm run bench -- compile [--work mlp,gpt-small,gpt-big] [--rounds 3]
import type { Measured, Place } from "./lib/contest.ts";
import type { FirstStep } from "./lib/first-step.ts";
import { probe, settings, type Settings } from "./lib/probe.ts";
import { median, ownRow } from "./lib/rows.ts";
import { isStepName, stepNames } from "./lib/steps.ts";

export const about = "the first step of a model, taken apart: trace, passes, load, first run";

interface Options extends Settings {
  readonly work?: string;
  readonly rounds?: string;
}

export default async function measure(
  { work = "mlp,gpt-small,gpt-big", rounds = "3", ...given }: Options,
  { root }: Place,
): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const name of work.split(",")) {
    if (!isStepName(name)) throw new Error(`--work is some of ${stepNames.join(", ")}: received ${name}`);
    const runs: FirstStep[] = [];
    for (let round = 0; round < Number(rounds); round++)
      runs.push(await probe<FirstStep>("first-step", { root, args: [name], env: settings(given) }));
    runs[0]!.parts.forEach(([part], i) => {
      const ms = median(runs.map(({ parts }) => parts[i]![1]));
      rows.push(ownRow(`${name}, ${part}`, "ms", ms, runs[0]!));
    });
  }
  return rows;
}
