// A measurement in a process of its own: a module of this folder that prints one object of JSON and ends.
import { spawn } from "node:child_process";
import { join } from "node:path";

/** How a probe is started. */
export interface ProbeOptions {
  readonly root: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Of the engine: `--max-semi-space-size=256`. */
  readonly flags?: readonly string[];
}

/** Runs `bench/lib/<name>.ts` and gives what it printed last. */
export async function probe<T>(name: string, { root, args = [], env = {}, flags = [] }: ProbeOptions): Promise<T> {
  const file = join(root, ".cache/bench/lib", `${name}.mjs`);
  const child = spawn(process.execPath, [...flags, file, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const line = said.trim().split("\n").at(-1) ?? "";
  if (code !== 0 || !line.startsWith("{")) throw new Error(`${name} ended with ${code}: ${said.slice(-300)}`);
  return JSON.parse(line) as T;
}

/** Threads and device as the commands take them, as variables of the environment. */
export function settings({ threads, device, variant }: Settings): NodeJS.ProcessEnv {
  return {
    ...(threads !== undefined && { CHAINRULE_THREADS: threads }),
    ...(device !== undefined && { CHAINRULE_DEVICE: device }),
    ...(variant !== undefined && { CHAINRULE_VARIANT: variant }),
  };
}

export interface Settings {
  readonly threads?: string;
  readonly device?: string;
  readonly variant?: string;
}
