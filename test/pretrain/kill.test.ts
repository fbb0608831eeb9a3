// kill -9 of `chainrule pretrain`, again and again: no checkpoint is lost, and the model is that of the run nobody killed.
// CHAINRULE_KILLS=1000 npm test -- pretrain/kill is the nightly measure.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMetrics } from "../../src/learn/train/index.ts";
import { buildPackage, main, temporaryFolder } from "../built-package.ts";

const KILLS = Number(process.env["CHAINRULE_KILLS"] ?? 50);
/** Runs under way at the same time, each in a folder of its own. */
const CHAINS = 2;
const STEPS = 120;

let root = "";
let expected = "";
beforeAll(async () => {
  await buildPackage();
  root = temporaryFolder();
  const { code, errors } = await life(begin("whole"), undefined);
  expect(code, errors).toBe(0);
  expected = modelHash(join(root, "whole"));
}, 60_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

function begin(name: string): string[] {
  const file = join(root, `${name}.yaml`);
  writeFileSync(
    file,
    `out: ${join(root, name)}
data: { text: shakespeare }
model: { preset: shakespeare-tiny, config: { resid_pdrop: 0.1 } }
training: { steps: ${STEPS}, batch: 4, accumulate: 2 }
evaluation: { every: 40, batches: 1 }
checkpoints: { every: 6, keep: 2 }
guard: { window: 16 }
log: 1
`,
  );
  return ["pretrain", file];
}

/** One life of a process; killed so many milliseconds after its first checkpoint or step, if at all. */
function life(
  args: readonly string[],
  killAfter: number | undefined,
): Promise<{ code: number | null; errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args, "--no-progress"], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (data: Buffer) => {
      errors += data.toString();
      // The last line it says before it compiles.
      if (killAfter !== undefined && /GFLOP each/.test(data.toString()))
        setTimeout(() => child.kill("SIGKILL"), killAfter);
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, errors }));
  });
}

function modelHash(folder: string): string {
  return createHash("sha256")
    .update(readFileSync(join(folder, "model/model.safetensors")))
    .digest("hex");
}

function newest(folder: string): number {
  const there = existsSync(join(folder, "checkpoints")) ? readdirSync(join(folder, "checkpoints")) : [];
  return Math.max(0, ...there.filter((name) => /^\d+$/.test(name)).map(Number));
}

async function chain(number: number, kills: number): Promise<number> {
  let [killed, lives, run] = [0, 0, 0];
  while (killed < kills) {
    const folder = join(root, `${number}-${run++}`);
    let args = begin(`${number}-${run - 1}`);
    let safe = 0;
    for (;;) {
      const last = killed >= kills;
      const { code, errors } = await life(args, last ? undefined : 60 + ((97 * lives++ + 31 * number) % 400));
      expect(newest(folder), "a checkpoint is gone").toBeGreaterThanOrEqual(safe);
      safe = newest(folder);
      if (code === 0) break;
      expect(code, errors).toBeNull();
      killed++;
      args = existsSync(join(folder, "recipe.json")) ? ["pretrain", "--resume", folder] : args;
    }
    expect(modelHash(folder)).toBe(expected);
    const logged = readMetrics(folder).filter(({ kind }) => kind === "step");
    expect(logged.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  }
  return killed;
}

describe("kill -9 of chainrule pretrain", () => {
  it(
    `${KILLS} times loses nothing`,
    async () => {
      const counts = await Promise.all(Array.from({ length: CHAINS }, (_, i) => chain(i, KILLS / CHAINS)));
      expect(counts.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(KILLS);
    },
    KILLS * 5000,
  );
});
