// The helpers of cases.mjs for the suites of this folder, on the built package.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../architecture/imports.ts";
import { buildPackage } from "../built-package.ts";
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
  await buildPackage();
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
