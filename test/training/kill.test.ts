// kill -9 while training and saving, a hundred times: no checkpoint is lost or damaged, each resume goes on bit for bit.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMetrics } from "../../src/learn/train/index.ts";
import { temporaryFolder } from "../built-package.ts";
import { loadCases, script, type Cases, type KillLine } from "./built.ts";

const KILLS = 100;
/** Runs under way at the same time, each in a folder of its own. */
const CHAINS = 2;

let cases: Cases;
let root = "";
const expected = new Map<number, KillLine>();
beforeAll(async () => {
  cases = await loadCases();
  root = temporaryFolder();
  await cases.killable(undefined, (line) => expected.set(line.step, line));
}, 60_000);
afterAll(() => rmSync(root, { recursive: true }));

/** One life of a process: its lines until it ends or, some milliseconds after it began to train, is killed. */
function life(
  folder: string,
  killAfter: number | undefined,
): Promise<{ lines: KillLine[]; killed: boolean; errors: string }> {
  return new Promise((resolve, reject) => {
    const process = spawn(globalThis.process.execPath, [script, JSON.stringify({ mode: "killable", folder })]);
    let [text, errors, killed] = ["", "", false];
    process.stdout.on("data", (data: Buffer) => {
      if (text === "" && killAfter !== undefined) {
        setTimeout(() => {
          killed = process.kill("SIGKILL");
        }, killAfter);
      }
      text += data.toString();
    });
    process.stderr.on("data", (data: Buffer) => void (errors += data.toString()));
    process.on("error", reject);
    process.on("close", () => {
      // The last line may be cut in two by the kill.
      const lines = text.split("\n").slice(0, -1);
      resolve({ lines: lines.map((line) => JSON.parse(line) as KillLine), killed, errors });
    });
  });
}

async function chain(number: number, kills: number): Promise<{ killed: number; whole: number }> {
  const count = { killed: 0, whole: 0 };
  let folder = join(root, String(number));
  let safe = 0;
  let lives = 0;
  for (;;) {
    // Kill times of 1 to 120 ms: in the middle of steps, of writes, of renames and of the removal of old checkpoints.
    const last = count.killed >= kills;
    const { lines, killed, errors } = await life(folder, last ? undefined : 1 + ((37 * lives++ + 11 * number) % 120));
    expect(errors).toBe("");
    const [from] = lines;
    if (from !== undefined) {
      expect(from.kind === "from" || from.kind === "end").toBe(true);
      expect(from.step, "a checkpoint that was reported safe is gone").toBeGreaterThanOrEqual(safe);
    }
    for (const line of lines) {
      expect(line.hash, `state of step ${line.step}`).toBe(expected.get(line.step)!.hash);
      if (line.kind === "saved") expect(line.loss).toBe(expected.get(line.step)!.loss);
      safe = Math.max(safe, line.step);
    }
    // Seen from outside too: the newest folder is no older than what was reported safe.
    const there = existsSync(join(folder, "checkpoints")) ? readdirSync(join(folder, "checkpoints")) : [];
    const steps = there.filter((name) => /^\d+$/.test(name)).map(Number);
    expect(Math.max(0, ...steps)).toBeGreaterThanOrEqual(safe);
    if (killed && lines.at(-1)?.kind !== "end") {
      count.killed++;
      continue;
    }
    // It came to its end: everything was logged once, with the numbers of the run that was never killed.
    expect(lines.at(-1)!.kind).toBe("end");
    const logged = readMetrics(folder).filter(({ kind }) => kind === "step");
    expect(logged.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => 10 * (i + 1)));
    count.whole++;
    if (last) return count;
    [folder, safe] = [`${folder}+`, 0];
  }
}

describe("kill -9", () => {
  it(`${KILLS} times loses nothing`, async () => {
    const counts = await Promise.all(Array.from({ length: CHAINS }, (_, i) => chain(i, KILLS / CHAINS)));
    expect(counts.reduce((n, { killed }) => n + killed, 0)).toBe(KILLS);
  }, 240_000);
});
