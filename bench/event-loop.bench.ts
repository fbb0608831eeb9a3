// How late the event loop is while training at full speed: a server that trains must still answer.
//
//   npm run bench -- event-loop [--seconds 4] [--threads N]
import type { Measured, Place } from "./lib/contest.ts";
import type { Delays } from "./lib/delays.ts";
import { probe, settings, type Settings } from "./lib/probe.ts";
import { ownRow } from "./lib/rows.ts";

export const about = "delay of the event loop while fit trains at full speed, by a timer of 1 ms: idle shows the timer";

export default async function measure(
  { seconds = "4", ...given }: Settings & { readonly seconds?: string },
  { root }: Place,
): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const work of ["idle", "mlp", "cnn", "gpt-small"]) {
    const delays = await probe<Delays>("delays", { root, args: [work, seconds], env: settings(given) });
    for (const which of ["p50", "p99", "max"] as const)
      rows.push(ownRow(`event loop, ${work}: delay ${which}`, "ms", delays[which], delays));
    if (work !== "idle") rows.push(ownRow(`event loop, ${work}: speed`, "steps/s", delays.steps, delays));
  }
  return rows;
}
