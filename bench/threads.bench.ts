// Threads beside others: training while another process keeps a core busy, and how long the event loop waits meanwhile.
//
//   npm run bench -- threads [--works mlp,gpt/small] [--rounds 5]
import { spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { defaultDevice } from "chainrule";
import { Child } from "./lib/child.ts";
import type { Measured, Place } from "./lib/contest.ts";
import { build } from "./lib/ours.ts";

export const about = "training beside a busy core, each number of threads; delay of the event loop meanwhile";

interface Options {
  readonly works?: string;
  readonly rounds?: string;
}

/** Other processes while ours is timed: none, one that may go where it likes, one held to a core. */
const neighbours = ["idle", "busy", "busy, pinned"] as const;

/** `ratio` is the time on an idle machine over the time beside the neighbour. */
export default async function measure(
  { works = "mlp,gpt/small", rounds = "5" }: Options,
  { root }: Place,
): Promise<Measured[]> {
  const rows: Measured[] = [];
  const pinned = spawnSync("taskset", ["--version"]).status === 0;
  for (const work of works.split(",")) {
    for (const threads of new Set([1, availableParallelism()])) {
      const child = await Child.start({
        file: process.execPath,
        args: [join(root, ".cache/bench/lib/main.mjs")],
        env: { ...process.env, CHAINRULE_THREADS: String(threads) },
      });
      try {
        await child.build(work);
        await child.time(work, 1);
        const repeat = Math.max(1, Math.round(0.5 / (await child.time(work, 1))));
        const seconds = new Map<string, number[]>();
        for (let round = 0; round < Number(rounds); round++) {
          for (const neighbour of neighbours) {
            if (neighbour === "busy, pinned" && !pinned) continue;
            const stop = await start(neighbour);
            const list = seconds.get(neighbour) ?? [];
            seconds.set(neighbour, [...list, await child.time(work, repeat)]);
            stop();
          }
        }
        const idle = median(seconds.get("idle")!);
        for (const [neighbour, list] of seconds)
          rows.push(
            row(`${work} ${neighbour}`, "ms", { ours: median(list) * 1e3, ratio: idle / median(list), threads }),
          );
      } finally {
        child.kill();
      }
    }
  }
  const delays = await eventLoop();
  for (const [name, ms] of delays) rows.push(row(`event loop delay ${name}`, "ms", { ours: ms, ratio: null, threads: defaultDevice().threads })); // prettier-ignore
  return rows;
}

function row(
  name: string,
  unit: string,
  { ours, ratio, threads }: { readonly ours: number; readonly ratio: number | null; readonly threads: number },
): Measured {
  return { name, unit, ours, peer: null, ratio, threads, device: defaultDevice().name, peakShare: null };
}

// A neighbour that computes; the function ends it.
async function start(neighbour: (typeof neighbours)[number]): Promise<() => void> {
  if (neighbour === "idle") return () => {};
  const loop = [process.execPath, "-e", "for (;;);"];
  const [file = "", ...args] =
    neighbour === "busy" ? loop : ["taskset", "-c", String(availableParallelism() - 1), ...loop];
  const busy = spawn(file, args, { stdio: "ignore" });
  await pause(200); // it has started
  return () => void busy.kill();
}

// Training at full speed in this process, for a few seconds.
async function eventLoop(): Promise<[string, number][]> {
  const run = build("mlp");
  await run();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (const end = performance.now() + 3000; performance.now() < end;) await run();
  delay.disable();
  // The histogram holds the timer's own millisecond too.
  return [50, 99, 99.9].map((percent) => [`p${percent}`, Math.max(0, delay.percentile(percent) / 1e6 - 1)]);
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
}
