// The PyTorches of this machine: found, dated, and started with the settings under which each is fastest.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Contestant } from "./contestants.ts";

interface Torch {
  readonly file: string;
  /** Where its package lies: two names of one Python are one. */
  readonly place: string;
  /** Major and minor. */
  readonly version: readonly [number, number];
}

const LOOK =
  "import json, torch; print(json.dumps([torch.__file__, [int(n) for n in torch.__version__.split('.')[:2]]]))";

function look(file: string): Torch | string {
  const { status, stdout, stderr, error } = spawnSync(file, ["-c", LOOK], { encoding: "utf8", timeout: 120_000 });
  if (status !== 0) return error?.message ?? stderr.trim().split("\n").at(-1) ?? "it failed";
  const [place, version] = JSON.parse(stdout) as [string, [number, number]];
  return { file, place, version };
}

// Those named in CHAINRULE_PEER_PYTHON, else those on the path.
function found(): Torch[] {
  const named = (process.env["CHAINRULE_PEER_PYTHON"] ?? "").split(",").filter((file) => file !== "");
  const list: Torch[] = [];
  for (const file of named.length > 0 ? named : ["python3", "/usr/bin/python3"]) {
    const torch = look(file);
    if (typeof torch === "string") {
      if (named.length > 0) console.log(`PyTorch of ${file} is not measured: ${torch}`);
    } else if (!list.some(({ place }) => place === torch.place)) list.push(torch);
  }
  if (list.length === 0)
    console.log(
      "PyTorch is not measured: no Python here has torch. Install it, or name one (or several, with commas) in CHAINRULE_PEER_PYTHON.",
    );
  return list;
}

/** Each PyTorch at each number of threads; with `compile` the newest under torch.compile too. */
export function torches(
  root: string,
  { counts, variant, compile }: { counts: readonly number[]; variant: string | undefined; compile: boolean },
): Contestant[] {
  const list = found();
  const newest = list.toSorted(({ version: a }, { version: b }) => b[0] - a[0] || b[1] - a[1])[0];
  const start = ({ file }: Torch, threads: number, compiled: boolean): Contestant => ({
    group: file,
    peer: "PyTorch",
    threads,
    command: {
      file,
      args: [join(root, "bench/peers/peer.py"), String(threads), ...(compiled ? ["compile"] : [])],
      env: environment(threads, variant),
    },
    can: ({ id }) => !(compiled && id.startsWith("gemm/")), // one call: nothing to compile
    slowHint: "apt-get install libopenblas0-pthread",
  });
  return list.flatMap((torch) =>
    counts.flatMap((threads) => [
      start(torch, threads, false),
      ...(compile && torch === newest && torch.version[0] >= 2 ? [start(torch, threads, true)] : []),
    ]),
  );
}

// It keeps its memory instead of giving it back after every step, and chooses its own kernels unless a variant is asked for.
function environment(threads: number, variant: string | undefined): NodeJS.ProcessEnv {
  const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...env } = process.env;
  const count = String(threads);
  return {
    ...env,
    MALLOC_MMAP_THRESHOLD_: "8589934592",
    MALLOC_TRIM_THRESHOLD_: "17179869184",
    MALLOC_TOP_PAD_: "268435456",
    OMP_NUM_THREADS: count,
    OPENBLAS_NUM_THREADS: count,
    MKL_NUM_THREADS: count,
    PYTHONDONTWRITEBYTECODE: "1",
    ...(variant === "avx2" && {
      OPENBLAS_CORETYPE: "Haswell",
      MKL_ENABLE_INSTRUCTIONS: "AVX2",
      ONEDNN_MAX_CPU_ISA: "AVX2",
      ATEN_CPU_CAPABILITY: "avx2",
    }),
  };
}
