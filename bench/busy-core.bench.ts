// What another program on one of the cores costs: steps with one and with all threads, on an idle machine and beside a spinning process.
//
//   npm run bench -- busy-core [--rounds 5]
import { spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { Child } from "./lib/child.ts";
import { contestants } from "./lib/contestants.ts";
import type { Measured, Place } from "./lib/contest.ts";
import { median, ownRow } from "./lib/rows.ts";
import { works } from "./lib/works.ts";

export const about = "steps beside a process that keeps one core busy, against an idle machine";

interface Options {
  readonly rounds?: string;
  readonly threads?: string;
  readonly device?: string;
}

export default async function measure({ rounds = "5", ...given }: Options, { root }: Place): Promise<Measured[]> {
  const all = [works["mlp"]![0]!, works["gpt-small"]![0]!];
  const sides: { child: Child; idle: Map<string, number[]>; busy: Map<string, number[]> }[] = [];
  try {
    for (const { command } of contestants(root, given)) {
      const child = await Child.start(command);
      sides.push({ child, idle: new Map(all.map(({ id }) => [id, []])), busy: new Map(all.map(({ id }) => [id, []])) });
      for (const { id } of all) {
        await child.build(id);
        await child.time(id, 1);
      }
    }
    for (let round = 0; round < Number(rounds); round++) {
      for (const { id, repeat } of all) {
        for (const side of sides) side.idle.get(id)!.push(await side.child.time(id, repeat));
        await beside(async () => {
          for (const side of sides) side.busy.get(id)!.push(await side.child.time(id, repeat));
        });
      }
    }
  } finally {
    for (const { child } of sides) child.kill();
  }
  return all.flatMap((work) =>
    sides.flatMap(({ child, ...times }) => {
      const [idle, busy] = [median(times.idle.get(work.id)!), median(times.busy.get(work.id)!)];
      return [
        ownRow(`${work.name}, idle machine`, work.unit, work.value(idle), child.ready),
        ownRow(`${work.name}, one core busy`, work.unit, work.value(busy), child.ready),
        ownRow(`${work.name}, speed with one core busy / idle`, "ratio", idle / busy, child.ready),
      ];
    }),
  );
}

// Runs it beside a process that spins, wherever the system puts that.
async function beside(run: () => Promise<void>): Promise<void> {
  const spinner = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
  await pause(300); // it has started
  try {
    await run();
  } finally {
    spinner.kill("SIGKILL");
    await pause(50);
  }
}
