// Who is measured: ours at each number of threads, each PyTorch that is found, TensorFlow.js where it can be installed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Command } from "./child.ts";
import { torches } from "./torch.ts";
import type { Work } from "./works.ts";

/** One program in one setting: a number of threads, eager or compiled. The best setting of a group is the one to beat. */
export interface Contestant {
  /** Equal for the same program in other settings. */
  readonly group: string;
  /** As printed; "" is ours. */
  readonly peer: string;
  readonly threads: number;
  readonly command: Command;
  readonly can: (work: Work) => boolean;
  /** What to try where its matrix product is many times slower than ours: a peer with the wrong BLAS is no peer. */
  readonly slowHint?: string;
  /** Refuses it once it has started, with the reason. */
  readonly refuse?: (device: string) => string | undefined;
}

export interface ContestOptions {
  /** Only this number of threads; else one, and all there are. */
  readonly threads?: string;
  readonly device?: string;
  /** Which kernels of ours, `CHAINRULE_VARIANT`; the peers are held to the same instructions where they can be. */
  readonly variant?: string;
  readonly peers?: boolean;
  /** The newest PyTorch under torch.compile besides. */
  readonly compile?: boolean;
}

/** Everybody; peers only if asked for, with a line of explanation where one cannot be had. */
export function contestants(root: string, options: ContestOptions): Contestant[] {
  const { threads, device, variant, peers = false, compile = false } = options;
  const counts = threads === undefined ? [...new Set([1, availableParallelism()])] : [Number(threads)];
  const wasm = device === "wasm";
  const own = wasm && threads === undefined ? [1] : counts;
  const ours = (set: Contestant["group"], env: NodeJS.ProcessEnv): Contestant[] =>
    own.map((count) => ourselves(root, set, { ...env, CHAINRULE_THREADS: String(count) }));
  const chosen = { ...(device && { CHAINRULE_DEVICE: device }), ...(variant && { CHAINRULE_VARIANT: variant }) };
  const everybody = ours("ours", chosen);
  if (wasm && variant === undefined) {
    const refuse = (name: string): string | undefined =>
      name.includes("relaxed") ? undefined : "no relaxed SIMD here";
    for (const one of ours("ours, relaxed", { ...chosen, CHAINRULE_VARIANT: "relaxed" }))
      everybody.push({ ...one, refuse });
  }
  if (!peers) return everybody;
  if (wasm) {
    // The same work in machine code: what WebAssembly costs.
    const native = ourselves(root, "native", { CHAINRULE_DEVICE: "native", CHAINRULE_THREADS: "1" });
    return [...everybody, { ...native, peer: "Chainrule native" }, ...tensorflow(root)];
  }
  return [...everybody, ...torches(root, { counts, variant, compile }), ...tensorflow(root)];
}

function ourselves(root: string, group: string, set: NodeJS.ProcessEnv): Contestant {
  const command = {
    file: process.execPath,
    args: [join(root, ".cache/bench/lib/main.mjs")],
    env: { ...process.env, ...set },
  };
  return { group, peer: "", threads: Number(set["CHAINRULE_THREADS"]), command, can: () => true };
}

const TFJS = "4.22.0";

function tensorflow(root: string): Contestant[] {
  const folder = join(root, ".cache/tfjs");
  if (!existsSync(join(folder, "node_modules/@tensorflow/tfjs-backend-wasm/package.json"))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
    const packages = [`@tensorflow/tfjs@${TFJS}`, `@tensorflow/tfjs-backend-wasm@${TFJS}`];
    const args = ["install", "--save-exact", "--no-audit", "--no-fund", "--ignore-scripts", ...packages];
    const { status, stderr, error } = spawnSync("npm", args, { cwd: folder, encoding: "utf8" });
    if (status !== 0) {
      const reason = error?.message ?? stderr.trim().split("\n")[0] ?? "";
      console.log(`TensorFlow.js is not measured: npm could not install it: ${reason}`);
      return [];
    }
  }
  const args = [join(root, "bench/peers/tfjs.mjs"), folder];
  return [
    {
      group: "tfjs",
      peer: "TensorFlow.js wasm",
      threads: 1,
      command: { file: process.execPath, args, env: process.env },
      can: ({ tfjs }) => tfjs,
    },
  ];
}
