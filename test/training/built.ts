// The built package for the suites of this folder: made again where a source is newer, with the helpers of cases.mjs.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { filesOf, root } from "../architecture/imports.ts";
import type { CheckpointStore, History, Sequential } from "../../src/learn/train/index.ts";

const run = promisify(execFile);

/** What a case must be equal in. */
export interface CaseResult {
  readonly hash: string;
  readonly losses: { readonly [step: string]: number };
  readonly history: History;
}

/** A line of the run that is killed. */
export interface KillLine {
  readonly kind: "from" | "saved" | "end";
  readonly step: number;
  readonly hash: string;
  readonly loss: number | null;
}

/** The helpers of cases.mjs. */
export interface Cases {
  makeCase(number: number): { readonly title: string; readonly steps: number; readonly stopAt: number };
  runCase(number: number, options?: { readonly folder?: string; readonly stopAt?: number }): Promise<CaseResult>;
  trainLarge(seed: number): Promise<string>;
  killable(folder?: string, onLine?: (line: KillLine) => void): Promise<Sequential>;
  readonly train: { readonly CheckpointStore: typeof CheckpointStore };
}

/** Builds dist/ where it is older than the sources, and loads the helpers. */
export async function loadCases(): Promise<Cases> {
  const sources = filesOf("src").filter((path) => path.endsWith(".ts") && !/\.(test|test-d)\.ts$/.test(path));
  const newer = sources.some((path) => {
    const made = join(root, "dist", path.replace(/\.ts$/, ".js"));
    return !existsSync(made) || statSync(made).mtimeMs < statSync(join(root, "src", path)).mtimeMs;
  });
  if (newer)
    await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"], {
      cwd: root,
    });
  return (await import(new URL("./cases.mjs", import.meta.url).href)) as Cases;
}

/** The path of the script a child runs. */
export const script: string = join(root, "test/training/cases.mjs");

/** Runs a task in a new process and gives back what it printed last. */
export async function child<T>(task: object, env: NodeJS.ProcessEnv = {}): Promise<T> {
  const { stdout } = await run(process.execPath, [script, JSON.stringify(task)], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as T;
}

/** A new folder that the caller removes. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "chainrule-training-"));
}
