// Who is measured: ours at each number of threads, each PyTorch that is found, TensorFlow.js where it can be installed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Command } from "./child.ts";
import type { Work } from "./works.ts";

/** One program at one number of threads. */
export interface Contestant {
  /** Equal for the same program at other numbers of threads. */
  readonly group: string;
  /** As printed; "" is ours. */
  readonly peer: string;
  readonly threads: number;
  readonly command: Command;
  readonly can: (work: Work) => boolean;
}

export interface ContestOptions {
  /** Only this number of threads; else one, and all there are. */
  readonly threads?: string;
  readonly device?: string;
  readonly peers?: boolean;
  /** PyTorch under torch.compile. */
  readonly compile?: boolean;
}

/** Everybody; peers only if asked for, with a line of explanation where one cannot be had. */
export function contestants(root: string, { threads, device, peers = false, compile }: ContestOptions): Contestant[] {
  const counts = threads === undefined ? [...new Set([1, availableParallelism()])] : [Number(threads)];
  const ours = (device === "wasm" ? [1] : counts).map((count): Contestant => {
    const env = { ...process.env, CHAINRULE_THREADS: String(count), ...(device && { CHAINRULE_DEVICE: device }) };
    const args = [join(root, ".cache/bench/lib/main.mjs")];
    return { group: "ours", peer: "", threads: count, command: { file: process.execPath, args, env }, can: () => true };
  });
  if (!peers) return ours;
  const torches = pythons().flatMap((file) => counts.map((count) => torch(root, { file, threads: count, compile })));
  return [...ours, ...torches, ...tensorflow(root)];
}

function pythons(): string[] {
  const named = process.env["CHAINRULE_PEER_PYTHON"];
  const hasTorch = (file: string): boolean => spawnSync(file, ["-c", "import torch"]).status === 0;
  if (named !== undefined && named !== "") {
    const files = named.split(",");
    for (const file of files) if (!hasTorch(file)) throw new Error(`CHAINRULE_PEER_PYTHON: ${file} has no torch`);
    return files;
  }
  const found = ["python3", "/usr/bin/python3"].find(hasTorch);
  if (found === undefined) {
    console.log(
      "no Python with torch: PyTorch is not measured. Install it, or name one (or several, with commas) in CHAINRULE_PEER_PYTHON.",
    );
  }
  return found === undefined ? [] : [found];
}

function torch(
  root: string,
  { file, threads, compile = false }: { file: string; threads: number; compile?: boolean | undefined },
): Contestant {
  // It keeps its memory instead of giving it back after every step, and chooses its own kernels.
  const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...env } = process.env;
  const count = String(threads);
  Object.assign(env, {
    MALLOC_MMAP_THRESHOLD_: "8589934592",
    MALLOC_TRIM_THRESHOLD_: "17179869184",
    MALLOC_TOP_PAD_: "268435456",
    OMP_NUM_THREADS: count,
    OPENBLAS_NUM_THREADS: count,
    MKL_NUM_THREADS: count,
    PYTHONDONTWRITEBYTECODE: "1",
  });
  const args = [join(root, "bench/peers/peer.py"), count, ...(compile ? ["compile"] : [])];
  return { group: file, peer: "PyTorch", threads, command: { file, args, env }, can: () => true };
}

const TFJS = "4.22.0";

function tensorflow(root: string): Contestant[] {
  const folder = join(root, ".cache/tfjs");
  if (!existsSync(join(folder, "node_modules/@tensorflow/tfjs-backend-wasm/package.json"))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
    const packages = [`@tensorflow/tfjs@${TFJS}`, `@tensorflow/tfjs-backend-wasm@${TFJS}`];
    const args = ["install", "--save-exact", "--no-audit", "--no-fund", "--ignore-scripts", ...packages];
    const { status, stderr } = spawnSync("npm", args, { cwd: folder, encoding: "utf8" });
    if (status !== 0) {
      console.log(`TensorFlow.js is not measured: npm could not install it: ${stderr.trim().split("\n")[0] ?? ""}`);
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
