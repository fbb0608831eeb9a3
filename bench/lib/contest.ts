// A contest: ours and the peers take turns in one run, each warmed; medians, ratios and shares of the peak come out.
import { setTimeout as pause } from "node:timers/promises";
import { Child } from "./child.ts";
import { contestants, type Contestant, type ContestOptions } from "./contestants.ts";
import { peakWorks, works, type Work } from "./works.ts";

/** A row of a result: what `--json` holds. */
export interface Measured {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: { readonly name: string; readonly version: string; readonly value: number } | null;
  /** The peer's time (or memory) through ours: above 1 we are ahead. */
  readonly ratio: number | null;
  readonly threads: number;
  readonly device: string;
  /** Of the best matrix product of anyone in this run; of the best one-operation pass for element-wise works. */
  readonly peakShare: number | null;
}

interface Options extends ContestOptions {
  readonly rounds?: string;
}

/** What a benchmark gets beside its options. */
export interface Place {
  readonly root: string;
}

interface Entry {
  readonly contestant: Contestant;
  readonly child: Child;
  readonly works: readonly Work[];
  readonly seconds: Map<string, number[]>;
  /** How many repetitions fit a second. */
  readonly repeats: ReadonlyMap<string, number>;
  /** Largest resident size, once it has ended. */
  bytes: number;
}

/** Runs the works of a benchmark against everybody. */
export async function contest(bench: string, options: Options, { root }: Place): Promise<Measured[]> {
  const rounds = Number(options.rounds ?? 5);
  const everybody = contestants(root, options);
  const all = works[bench]!;
  if (all.some(({ fresh }) => fresh)) return starts(all, everybody, rounds);
  // The peak is measured by processes of their own, so that the memory of a work is the work's.
  const alone = bench !== "gemm" && all.some(({ flops }) => flops > 0);
  const entries: Entry[] = [];
  const peaks: Entry[] = [];
  try {
    for (const contestant of everybody) {
      await enter(entries, contestant, all);
      if (alone && contestant.group !== "tfjs") await enter(peaks, contestant, peakWorks);
    }
    for (let round = 0; round < rounds; round++) {
      tell(`round ${round + 1} of ${rounds}`);
      await once([...entries, ...peaks], round);
    }
    tell("");
    for (const entry of [...entries, ...peaks]) entry.bytes = await entry.child.end();
  } finally {
    for (const { child } of [...entries, ...peaks]) child.kill();
  }
  const peak = rate(alone ? peaks : entries, (work) => work.flops);
  const bandwidth = rate(entries, (work) => (work.id === "elementwise/neg" ? 1 : 0));
  const share = (work: Work, seconds: number): number | null => {
    if (work.flops > 0) return work.flops / seconds / peak;
    return work.id.startsWith("elementwise/") ? 1 / seconds / bandwidth : null;
  };
  const rows = all.flatMap((work) => rowsOf(work, entries, share));
  if (alone) rows.push(...memoryRows(bench, all[0]!, entries), peakRow(peak / 1e9, peaks));
  return rows;
}

// Where a person looks on.
function tell(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

// Builds and warms everything it can do.
async function enter(entries: Entry[], contestant: Contestant, all: readonly Work[]): Promise<void> {
  const able = all.filter(contestant.can);
  if (able.length === 0) return;
  const child = await Child.start(contestant.command);
  const repeats = new Map<string, number>();
  entries.push({
    contestant,
    child,
    works: able,
    repeats,
    seconds: new Map(able.map(({ id }) => [id, []])),
    bytes: NaN,
  });
  for (const { id } of able) {
    tell(`${contestant.peer || "ours"}, ${contestant.threads} threads: ${id}`);
    await child.build(id);
    const first = await child.time(id, 1);
    const warm = first > 2 ? first : await child.time(id, 1);
    repeats.set(id, Math.max(1, Math.floor(1 / warm)));
  }
}

async function once(entries: readonly Entry[], round: number): Promise<void> {
  const order = round % 2 === 0 ? entries : entries.toReversed();
  const list = [...new Set(entries.flatMap((entry) => entry.works))];
  for (const work of list) {
    for (const { child, works: able, seconds, repeats } of order) {
      if (!able.includes(work)) continue;
      await pause(20); // threads that wait by spinning go to sleep
      seconds.get(work.id)!.push(await child.time(work.id, Math.min(work.repeat, repeats.get(work.id)!)));
    }
  }
}

// Each timing is a process of its own, with all threads.
async function starts(all: readonly Work[], everybody: readonly Contestant[], rounds: number): Promise<Measured[]> {
  const most = Math.max(...everybody.map(({ threads }) => threads));
  const able = everybody.filter(({ group, threads }) => group !== "tfjs" && threads === most);
  const entries: Entry[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const contestant of able) {
      for (const work of all) {
        const child = await Child.start(contestant.command);
        let entry = entries.find((one) => one.contestant === contestant);
        if (entry === undefined) {
          entry = {
            contestant,
            child,
            works: all,
            repeats: new Map(),
            seconds: new Map(all.map(({ id }) => [id, []])),
            bytes: NaN,
          };
          entries.push(entry);
        }
        let seconds = child.secondsToReady;
        if (work.id !== "start/import") {
          await child.build(work.id);
          seconds = await child.time(work.id, 1);
        }
        entry.seconds.get(work.id)!.push(seconds);
        await child.end();
      }
    }
  }
  return all.flatMap((work) => rowsOf(work, entries, () => null));
}

interface Result {
  readonly entry: Entry;
  readonly seconds: number;
}

// One row a peer, and one without where there is none; by threads, or at the better number of threads of each.
function rowsOf(
  work: Work,
  entries: readonly Entry[],
  share: (work: Work, seconds: number) => number | null,
): Measured[] {
  const results = entries
    .filter((entry) => entry.works.includes(work))
    .map((entry): Result => ({ entry, seconds: median(entry.seconds.get(work.id)!) }));
  const ours = results.filter(({ entry }) => entry.contestant.peer === "");
  const groups = grouped(
    results.filter(({ entry }) => entry.contestant.peer !== ""),
    ({ entry }) => entry.contestant.group,
  );
  return (work.eachThreads ? ours : [best(ours)]).flatMap((own) => {
    const { threads } = own.entry.contestant;
    const against = groups.flatMap((group) => {
      if (!work.eachThreads) return [best(group)];
      return group.filter(({ entry }) => entry.contestant.threads === threads);
    });
    return (against.length === 0 ? [undefined] : against).map((peer) => ({
      name: work.name,
      unit: work.unit,
      ours: work.value(own.seconds),
      peer: peer === undefined ? null : { ...nameOf(peer.entry), value: work.value(peer.seconds) },
      ratio: peer === undefined ? null : peer.seconds / own.seconds,
      threads,
      device: own.entry.child.ready.device,
      peakShare: share(work, own.seconds),
    }));
  });
}

// The memory of the process that was the faster one of its program.
function memoryRows(bench: string, work: Work, entries: readonly Entry[]): Measured[] {
  const mebibytes = ({ bytes }: Entry): number => bytes / 2 ** 20;
  return grouped(entries, ({ contestant }) => contestant.group)
    .map((group) => best(group.map((entry) => ({ entry, seconds: median(entry.seconds.get(work.id)!) }))).entry)
    .flatMap((entry, i, chosen) => {
      const own = chosen[0]!;
      if (i === 0 && chosen.length > 1) return [];
      return {
        name: `${bench} peak memory`,
        unit: "MiB",
        ours: mebibytes(own),
        peer: i === 0 ? null : { ...nameOf(entry), value: mebibytes(entry) },
        ratio: i === 0 ? null : entry.bytes / own.bytes,
        threads: own.contestant.threads,
        device: own.child.ready.device,
        peakShare: null,
      };
    });
}

function peakRow(gflops: number, peaks: readonly Entry[]): Measured {
  const own = peaks.filter(({ contestant }) => contestant.peer === "");
  const ours = rate(own, (work) => work.flops) / 1e9;
  const { threads, device } = own.at(-1)!.child.ready;
  const peers = peaks.filter(({ contestant }) => contestant.peer !== "");
  const first = peers[0];
  const theirs = rate(peers, (work) => work.flops) / 1e9;
  return {
    name: "peak: best gemm",
    unit: "GFLOP/s",
    ours,
    peer: first === undefined ? null : { name: "PyTorch", version: first.child.ready.version ?? "", value: theirs },
    ratio: first === undefined ? null : ours / theirs,
    threads,
    device,
    peakShare: ours / gflops,
  };
}

function nameOf({ contestant, child }: Entry): { name: string; version: string } {
  const { threads } = contestant;
  return { name: contestant.peer, version: `${child.ready.version ?? ""}, ${threads} thread${threads > 1 ? "s" : ""}` };
}

// The most of something a second that anyone reached: by medians, as everything else.
function rate(entries: readonly Entry[], amount: (work: Work) => number): number {
  const rates = entries.flatMap((entry) =>
    entry.works.map((work) => amount(work) / median(entry.seconds.get(work.id)!)),
  );
  return Math.max(...rates);
}

function best(results: readonly Result[]): Result {
  return results.reduce((a, b) => (b.seconds < a.seconds ? b : a));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function grouped<T>(items: readonly T[], key: (item: T) => string): T[][] {
  return [...new Set(items.map(key))].map((name) => items.filter((item) => key(item) === name));
}
