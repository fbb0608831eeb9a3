// A contest: ours and the peers take turns in one run, each warmed; medians, ratios and shares of the peak come out.
// A peer that cannot start, fails or dies loses its rows with a printed reason, and the contest goes on.
import { setTimeout as pause } from "node:timers/promises";
import { Child, ChildError } from "./child.ts";
import { contestants, type Contestant, type ContestOptions } from "./contestants.ts";
import { comparisons, isOurs, memoryRows, mostRate, peakRow, rowsOf, type Entry, type Measured } from "./rows.ts";
import { guardWork, peakWorks, works, type Work } from "./works.ts";

export type { Measured } from "./rows.ts";

interface Options extends ContestOptions {
  readonly rounds?: string;
}

/** What a benchmark gets beside its options. */
export interface Place {
  readonly root: string;
}

/** Below this share of our own matrix product a peer has loaded the wrong BLAS. */
const SLOWEST_PEER = 0.2;

/** Runs the works of a benchmark against everybody. */
export async function contest(bench: string, options: Options, { root }: Place): Promise<Measured[]> {
  const rounds = Number(options.rounds ?? 5);
  const everybody = contestants(root, options);
  const all = works[bench]!;
  if (options.peers === true && bench.startsWith("gpt")) console.log("llm.c is not measured here: it is no package");
  if (all.some(({ fresh }) => fresh)) return starts(all, everybody, rounds);
  // The peak is measured by processes of their own, so that the memory of a work is the work's.
  const alone = bench !== "gemm" && all.some(({ flops }) => flops > 0);
  const entries: Entry[] = [];
  const peaks: Entry[] = [];
  try {
    for (const contestant of everybody) {
      const inside = await enter(entries, contestant, { list: all, guard: true });
      if (inside && alone && contestant.group !== "tfjs")
        await enter(peaks, contestant, { list: peakWorks, guard: false });
    }
    for (let round = 0; round < rounds; round++) {
      tell(`round ${round + 1} of ${rounds}`);
      await once([...entries, ...peaks], round);
    }
    tell("");
    for (const entry of [...entries, ...peaks]) {
      if (entry.seconds.size > 0) await attempt(entry, undefined, async () => (entry.bytes = await entry.child.end()));
    }
  } finally {
    for (const { child } of [...entries, ...peaks]) child.kill();
  }
  const peak = mostRate(alone ? peaks : entries, (work) => work.flops);
  const bandwidth = mostRate(entries, (work) => (work.id === "elementwise/neg" ? 1 : 0));
  const share = (work: Work, seconds: number): number | null => {
    if (work.flops > 0) return work.flops / seconds / peak;
    return work.id.startsWith("elementwise/") ? 1 / seconds / bandwidth : null;
  };
  const rows = all.flatMap((work) => rowsOf(work, entries, share));
  rows.push(...comparisons(all, entries));
  if (alone) rows.push(...memoryRows(`${bench} peak memory`, all[0]!, entries), peakRow(peaks));
  return rows;
}

// Where a person looks on.
function tell(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

function lose(contestant: Contestant, what: string, reason: string, version = ""): void {
  tell("");
  const setting = `${contestant.threads} thread${contestant.threads > 1 ? "s" : ""}`;
  const who = [contestant.peer || contestant.group, version].join(" ").trim();
  console.log(`${who}, ${setting}: no rows${what}: ${reason}`);
}

// Starts a contestant; builds and warms everything it can do. Whether there was anything.
async function enter(
  entries: Entry[],
  contestant: Contestant,
  { list, guard }: { list: readonly Work[]; guard: boolean },
): Promise<boolean> {
  const able = list.filter(contestant.can);
  if (able.length === 0) return false;
  let child: Child;
  try {
    child = await Child.start(contestant.command);
  } catch (error) {
    if (contestant.peer === "" && contestant.refuse === undefined) throw error;
    lose(contestant, "", (error as Error).message);
    return false;
  }
  const refused = contestant.refuse?.(child.ready.device);
  if (refused !== undefined) {
    child.kill();
    lose(contestant, "", refused);
    return false;
  }
  const entry: Entry = {
    contestant,
    child,
    repeats: new Map(),
    seconds: new Map(able.map((work) => [work, []])),
    bytes: NaN,
  };
  entries.push(entry);
  if (guard && !(await passes(entry, entries))) {
    entry.seconds.clear();
    child.kill();
    return false;
  }
  for (const work of able) {
    if (!entry.seconds.has(work)) continue; // it ended during another
    tell(`${contestant.peer || "ours"}, ${contestant.threads} threads: ${work.id}`);
    await attempt(entry, work, async () => {
      await child.build(work.id);
      const first = await child.time(work.id, 1);
      const warm = first > 2 ? first : await child.time(work.id, 1);
      entry.repeats.set(work, Math.max(1, Math.floor(1 / warm)));
    });
  }
  return entry.seconds.size > 0;
}

// A small product at the door: with the wrong BLAS a peer is many times slower than ours, in every setting. The first
// setting of a program speaks for the others; whoever reaches the limit in one of some tries has passed.
async function passes(entry: Entry, entries: readonly Entry[]): Promise<boolean> {
  const { contestant, child } = entry;
  if (isOurs(entry)) {
    entry.doorRate = await doorRate(child, Infinity);
    return true;
  }
  if (contestant.slowHint === undefined) return true;
  const first = entries.find((one) => one.contestant.group === contestant.group)!;
  if (first !== entry && first.doorRate !== undefined) return first.passed === true;
  const ours = entries.find((one) => isOurs(one) && one.contestant.threads === contestant.threads) ?? entries[0]!;
  const limit = SLOWEST_PEER * ours.doorRate!;
  if (!(await attempt(entry, undefined, async () => (entry.doorRate = await doorRate(child, limit))))) return false;
  entry.passed = entry.doorRate! >= limit;
  if (entry.passed) return true;
  const rates = `${entry.doorRate!.toFixed(1)} GFLOP/s, ours at ${ours.doorRate!.toFixed(1)}`;
  const reason = `refused: a 512 x 512 product at ${rates}: the wrong BLAS is loaded; try: ${contestant.slowHint}`;
  lose(contestant, " in any setting", reason, child.ready.version);
  return false;
}

// The best of five, as soon as it is enough.
async function doorRate(child: Child, enough: number): Promise<number> {
  await child.build(guardWork.id);
  let best = 0;
  for (let i = 0; i < 5 && best < enough; i++)
    best = Math.max(best, guardWork.flops / (await child.time(guardWork.id, 1)) / 1e9);
  return best;
}

// Whether it went well. A peer that fails loses the work, one that ended all of them; we ourselves must not fail.
async function attempt(entry: Entry, work: Work | undefined, what: () => Promise<unknown>): Promise<boolean> {
  try {
    await what();
    return true;
  } catch (error) {
    if (!(error instanceof ChildError) || isOurs(entry)) throw error;
    const all = work === undefined || error.ended;
    lose(entry.contestant, all ? "" : ` for ${work.name}`, error.message, entry.child.ready.version);
    if (all) entry.seconds.clear();
    else entry.seconds.delete(work);
    return false;
  }
}

async function once(entries: readonly Entry[], round: number): Promise<void> {
  const order = round % 2 === 0 ? entries : entries.toReversed();
  const list = [...new Set(entries.flatMap(({ seconds }) => [...seconds.keys()]))];
  let rest = 20;
  for (const work of list) {
    for (const entry of order) {
      if (!entry.seconds.has(work)) continue;
      await pause(rest); // threads that wait by spinning go to sleep
      const repeat = Math.min(work.repeat, entry.repeats.get(work)!);
      await attempt(entry, work, async () => entry.seconds.get(work)!.push(await entry.child.time(work.id, repeat)));
      rest = !isOurs(entry) && entry.contestant.threads > 1 ? 120 : 20; // OpenBLAS spins for 2^28 cycles
    }
  }
}

// Each timing is a process of its own, with all threads.
async function starts(all: readonly Work[], everybody: readonly Contestant[], rounds: number): Promise<Measured[]> {
  const most = Math.max(...everybody.map(({ threads }) => threads));
  const able = everybody.filter(({ group, threads }) => group !== "tfjs" && threads === most);
  const entries = new Map<Contestant, Entry>();
  for (let round = 0; round < rounds; round++) {
    for (const contestant of able) {
      for (const work of all) {
        tell(`round ${round + 1} of ${rounds}: ${contestant.peer || "ours"}, ${work.id}`);
        await startOnce(work, contestant, { all, entries });
      }
    }
  }
  tell("");
  return all.flatMap((work) => rowsOf(work, [...entries.values()], () => null));
}

async function startOnce(
  work: Work,
  contestant: Contestant,
  { all, entries }: { all: readonly Work[]; entries: Map<Contestant, Entry> },
): Promise<void> {
  let entry = entries.get(contestant);
  if (entry !== undefined && !entry.seconds.has(work)) return; // it failed before
  let child: Child | undefined;
  try {
    child = await Child.start(contestant.command);
    const refused = contestant.refuse?.(child.ready.device);
    if (refused !== undefined) throw new ChildError(refused, true);
    if (entry === undefined) {
      const seconds = new Map(all.map((one) => [one, [] as number[]]));
      entries.set(contestant, (entry = { contestant, child, repeats: new Map(), seconds, bytes: NaN }));
    }
    let seconds = child.secondsToReady;
    if (work.id !== "start/import") {
      await child.build(work.id);
      seconds = await child.time(work.id, 1);
    }
    entry.seconds.get(work)!.push(seconds);
    await child.end();
  } catch (error) {
    if (!(error instanceof ChildError) || (contestant.peer === "" && contestant.refuse === undefined)) throw error;
    lose(contestant, ` for ${work.name}`, error.message, child?.ready.version);
    entry?.seconds.delete(work);
  } finally {
    child?.kill();
  }
}
