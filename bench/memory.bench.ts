// What a step leaves behind: growth of the resident size over many steps, JavaScript and engine memory a step.
//
//   npm run bench -- memory [--steps 10000]
import type { Measured, Place } from "./lib/contest.ts";
import type { Growth } from "./lib/growth.ts";
import { probe, settings, type Settings } from "./lib/probe.ts";
import { ownRow } from "./lib/rows.ts";

export const about = "memory of the classic network's steps: resident growth, bytes of JavaScript a step";

const ways = { step: "step(state, batch)", run: "await step.run(state, batch)", fit: "fit" } as const;

export default async function measure(
  { steps = "10000", ...given }: Settings & { readonly steps?: string },
  { root }: Place,
): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const [way, text] of Object.entries(ways)) {
    // Allocations need a young generation without collections; the resident size needs the usual one.
    const flags = ["--min-semi-space-size=128", "--max-semi-space-size=128"];
    const one = { root, env: settings(given) };
    const growth = await probe<Growth>("growth", { ...one, args: [way, "2000"], flags });
    const long = await probe<Growth>("growth", { ...one, args: [way, steps] });
    if (growth.heapPerStep === null || growth.arraysPerStep === null)
      throw new Error(`${text}: no stretch of steps was without a collection: nothing is known`);
    const mebibytes = (bytes: number): number => bytes / 2 ** 20;
    rows.push(
      ownRow(`${text}: JavaScript`, "bytes/step", growth.heapPerStep, growth),
      ownRow(`${text}: new array memory`, "bytes/step", growth.arraysPerStep, growth),
      ownRow(`${text}: asks for memory`, "a step", growth.requestsPerStep, growth),
      ownRow(`${text}: resident after a tenth`, "MiB", mebibytes(long.residentBefore), growth),
      ownRow(`${text}: resident after ${long.steps} steps`, "MiB", mebibytes(long.residentAfter), growth),
    );
  }
  return rows;
}
