// From timings to rows: medians, ratios to each peer's best setting, shares of the peak, comparisons among our own.
import type { Child } from "./child.ts";
import type { Contestant } from "./contestants.ts";
import type { Work } from "./works.ts";

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

/** A contestant that has started, and what was measured of it. */
export interface Entry {
  readonly contestant: Contestant;
  readonly child: Child;
  /** Seconds of each work it can do. A work that failed is taken out: its rows are lost, the others are not. */
  readonly seconds: Map<Work, number[]>;
  /** Repetitions of one timing. */
  readonly repeats: Map<Work, number>;
  /** Largest resident size, once it has ended. */
  bytes: number;
  /** GFLOP/s of a small product when it came in, and whether that was enough. */
  doorRate?: number;
  passed?: boolean;
}

interface Result {
  readonly entry: Entry;
  readonly seconds: number;
}

/** The share of peak of a work done in some seconds. */
export type Share = (work: Work, seconds: number) => number | null;

/** One row a peer, and one without where there is none; by threads, or at the best setting of each. */
export function rowsOf(work: Work, entries: readonly Entry[], share: Share): Measured[] {
  const results = resultsOf(work, entries);
  const [ours, peers] = [results.filter(({ entry }) => isOurs(entry)), results.filter(({ entry }) => !isOurs(entry))];
  const groups = grouped(peers, groupOf);
  return grouped(ours, groupOf)
    .flatMap((group) => (work.eachThreads ? group : [best(group)]))
    .flatMap((own) => {
      const { threads } = own.entry.contestant;
      const against = groups.flatMap((group) => {
        const able = work.eachThreads ? group.filter(({ entry }) => entry.contestant.threads === threads) : group;
        return able.length === 0 ? [] : [best(able)];
      });
      return (against.length === 0 ? [undefined] : against).map((peer): Measured => ({
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

/** Our own works against each other: the worst transposes of a size against the best, all threads against one. */
export function comparisons(all: readonly Work[], entries: readonly Entry[]): Measured[] {
  const rows: Measured[] = [];
  const add = (name: string, own: Entry, ours: number): void =>
    void rows.push({
      name,
      unit: "ratio",
      ours,
      peer: null,
      ratio: null,
      threads: own.contestant.threads,
      device: own.child.ready.device,
      peakShare: null,
    });
  for (const group of grouped(entries.filter(isOurs), ({ contestant }) => contestant.group)) {
    const products = all.filter(({ id }) => id.startsWith("gemm/"));
    for (const one of grouped(products, ({ id }) => id.split("/")[1]!)) {
      if (one.length < 2) continue;
      for (const own of group) {
        const seconds = one.flatMap((work) => resultsOf(work, [own])).map((result) => result.seconds);
        const size = one[0]!.name.split(" ").slice(0, 2).join(" ");
        add(`${size} slowest / fastest of NN NT TN TT`, own, Math.min(...seconds) / Math.max(...seconds));
      }
    }
    const single = group.find(({ contestant }) => contestant.threads === 1);
    for (const work of all.filter(({ id, eachThreads }) => eachThreads && !/(NT|TN|TT)$/.test(id))) {
      for (const own of group) {
        const [one, many] = [resultsOf(work, single ? [single] : [])[0], resultsOf(work, [own])[0]];
        if (own === single || one === undefined || many === undefined) continue;
        add(`${work.name} ${own.contestant.threads} threads / 1 thread`, own, one.seconds / many.seconds);
      }
    }
  }
  return rows;
}

/** The memory of the process that was the fastest one of its program. */
export function memoryRows(name: string, work: Work, entries: readonly Entry[]): Measured[] {
  const mebibytes = ({ bytes }: Entry): number => bytes / 2 ** 20;
  const [ours, peers] = [entries.filter(isOurs), entries.filter((entry) => !isOurs(entry))].map((side) =>
    grouped(resultsOf(work, side), groupOf).map((group) => best(group).entry),
  ) as [Entry[], Entry[]];
  return ours.flatMap((own) =>
    (peers.length === 0 ? [undefined] : peers).map((peer): Measured => ({
      name,
      unit: "MiB",
      ours: mebibytes(own),
      peer: peer === undefined ? null : { ...nameOf(peer), value: mebibytes(peer) },
      ratio: peer === undefined ? null : peer.bytes / own.bytes,
      threads: own.contestant.threads,
      device: own.child.ready.device,
      peakShare: null,
    })),
  );
}

/** The best product of ours, beside that of the best peer. */
export function peakRow(peaks: readonly Entry[]): Measured {
  const flops = (work: Work): number => work.flops;
  const own = fastest(peaks.filter(isOurs), flops);
  const peers = peaks.filter((entry) => !isOurs(entry) && entry.seconds.size > 0);
  const peer = peers.length === 0 ? undefined : fastest(peers, flops);
  const rate = (entry: Entry): number => mostRate([entry], flops) / 1e9;
  const ours = rate(own);
  return {
    name: "peak: best gemm",
    unit: "GFLOP/s",
    ours,
    peer: peer === undefined ? null : { ...nameOf(peer), value: rate(peer) },
    ratio: peer === undefined ? null : ours / rate(peer),
    threads: own.contestant.threads,
    device: own.child.ready.device,
    peakShare: ours / (mostRate(peaks, flops) / 1e9),
  };
}

/** The most of something a second that anyone reached: by medians, as everything else. */
export function mostRate(entries: readonly Entry[], amount: (work: Work) => number): number {
  const rates = entries.flatMap((entry) =>
    [...entry.seconds].filter(([, list]) => list.length > 0).map(([work, list]) => amount(work) / median(list)),
  );
  return Math.max(...rates);
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

export function isOurs({ contestant }: Entry): boolean {
  return contestant.peer === "";
}

/** "PyTorch", "1.13.0 OpenBLAS 0.3.21, 2 threads". */
export function nameOf({ contestant, child }: Pick<Entry, "contestant" | "child">): { name: string; version: string } {
  const { threads, peer } = contestant;
  const { version } = child.ready;
  const parts = [...(version === undefined ? [] : [version]), `${threads} thread${threads > 1 ? "s" : ""}`];
  return { name: peer, version: parts.join(", ") };
}

function resultsOf(work: Work, entries: readonly Entry[]): Result[] {
  return entries.flatMap((entry) => {
    const list = entry.seconds.get(work) ?? [];
    return list.length === 0 ? [] : [{ entry, seconds: median(list) }];
  });
}

const groupOf = ({ entry }: Result): string => entry.contestant.group;

function best(results: readonly Result[]): Result {
  return results.reduce((a, b) => (b.seconds < a.seconds ? b : a));
}

function fastest(entries: readonly Entry[], amount: (work: Work) => number): Entry {
  return entries.reduce((a, b) => (mostRate([b], amount) > mostRate([a], amount) ? b : a));
}

function grouped<T>(items: readonly T[], key: (item: T) => string): T[][] {
  return [...new Set(items.map(key))].map((name) => items.filter((item) => key(item) === name));
}

/** A row about ourselves: no peer does this. */
export function ownRow(
  name: string,
  unit: string,
  value: number,
  { threads, device }: { readonly threads: number; readonly device: string },
): Measured {
  return { name, unit, ours: value, peer: null, ratio: null, threads, device, peakShare: null };
}
