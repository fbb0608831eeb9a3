// How a stream of documents is laid into windows: which runs of tokens each window holds. Numbers only, no tokens.
//
// A window has `time` slots; a slot is a pair of neighbours, the token that is read and the one after it, which is the answer.
// A document of n tokens has n − 1 pairs of its own. So every token but the first of a document is an answer exactly once.
import { ArgumentError, DataError, foldIn, keyOf, threefry } from "../../engine/core/index.ts";
import type { TokenStore } from "./token-store.ts";

/** A run of slots inside a window: the pairs that begin at tokens `from`, `from + 1`, … */
export interface Span {
  readonly from: number;
  readonly slots: number;
}

/** Which spans each window holds, in order. What a window has left is padding. */
export interface Layout {
  readonly windows: number;
  spans(window: number): Span[];
  readonly report: PackingReport;
}

/** What packing did to the documents. Nothing is left out that is not counted here. */
export interface PackingReport {
  readonly time: number;
  readonly windows: number;
  readonly documents: number;
  /** Slots that hold a pair, and slots that hold nothing. */
  readonly pairs: number;
  readonly padding: number;
  /** Padding in percent of all slots. */
  readonly paddingPercent: number;
  /** Pairs that are in no window because documents were cut: 0 unless asked for. */
  readonly cut: number;
  readonly cutPercent: number;
  /** Documents that continue in another window, where their beginning cannot be seen. */
  readonly continued: number;
  /** Documents of one token or none: they hold no pair. */
  readonly withoutPairs: number;
}

/** How documents are laid into windows. */
export interface PackingOptions {
  /** Slots of a window: the context length. */
  readonly time: number;
  /** `joined`: one stream, attention crosses borders. `apart`: each document for itself. Default `joined`. */
  readonly documents?: "joined" | "apart";
  /** Of documents apart: in their order (default), or each whole where it fits best (more padding, fewer continued). */
  readonly packing?: "contiguous" | "best-fit";
  /** With best-fit, of documents longer than a window: continue in another one (default), cut them, or refuse. */
  readonly long?: "continue" | "cut" | "refuse";
  /** Instead of covering everything: so many windows that begin at random places, window i at a place of (seed, i). */
  readonly draw?: { readonly windows: number; readonly seed: number };
}

/**
 * Lays documents into windows.
 *
 * Errors: ArgumentError for options that contradict, DataError where there is no pair, or (with `refuse`) a document is
 * longer than a window.
 */
export function layOut(store: TokenStore, options: PackingOptions): Layout {
  const { time, documents = "joined", packing = "contiguous", long = "continue", draw } = options;
  if (!Number.isSafeInteger(time) || time < 1 || time > 2 ** 24)
    throw new ArgumentError("tokenWindows", `\`time\` is a whole number from 1 to 2^24: received ${time}`);
  if (packing === "best-fit") {
    if (documents === "joined")
      throw new ArgumentError("tokenWindows", "best-fit packing keeps documents apart", {
        hint: 'add `documents: "apart"`',
      });
    if (draw !== undefined) throw new ArgumentError("tokenWindows", "`draw` wants contiguous windows");
    return bestFit(store, time, long);
  }
  if (options.long !== undefined) throw new ArgumentError("tokenWindows", "`long` is an option of best-fit packing");
  return contiguous(store, time, { apart: documents === "apart", draw });
}

function contiguous(
  store: TokenStore,
  time: number,
  how: { readonly apart: boolean; readonly draw: PackingOptions["draw"] },
): Layout {
  const { draw } = how;
  const line = how.apart ? pairsApart(store) : pairsJoined(store);
  if (line.pairs === 0) throw nothing(store);
  if (draw !== undefined) {
    if (!Number.isSafeInteger(draw.windows) || draw.windows < 1 || draw.windows >= 2 ** 32)
      throw new ArgumentError("tokenWindows", `\`draw.windows\` is a whole number ≥ 1: received ${draw.windows}`);
    if (line.pairs < time)
      throw new DataError("tokenWindows", `a window of ${time} does not fit: received ${line.pairs} pairs of tokens`);
  }
  const key = keyOf(draw?.seed ?? 0);
  const windows = draw?.windows ?? Math.ceil(line.pairs / time);
  const begin = (window: number): number => {
    if (draw === undefined) return window * time;
    const [a, b] = threefry(foldIn(key, 0), 0, window);
    return Math.floor((a * 2 ** 21 + (b >>> 11)) * 2 ** -53 * (line.pairs - time + 1));
  };
  const padding = draw === undefined ? windows * time - line.pairs : 0;
  return {
    windows,
    spans: (window) => line.spans(begin(window), time),
    report: reportOf(store, time, {
      windows,
      padding,
      cut: 0,
      // Drawn windows begin and end anywhere; there is no one window in which a document would be whole.
      continued: draw === undefined ? line.continued(time) : 0,
      withoutPairs: line.withoutPairs,
    }),
  };
}

/** All pairs of a stream in a row. */
interface Line {
  readonly pairs: number;
  readonly withoutPairs: number;
  spans(begin: number, count: number): Span[];
  /** Documents with pairs in more than one window. */
  continued(time: number): number;
}

function pairsJoined(store: TokenStore): Line {
  const pairs = Math.max(0, store.tokens - 1);
  return {
    pairs,
    withoutPairs: 0,
    spans: (begin, count) => [{ from: begin, slots: Math.min(count, pairs - begin) }],
    continued(time) {
      let count = 0;
      for (let d = 0; d < store.documents; d++) {
        const [from, to] = [store.start(d), Math.min(store.start(d + 1), pairs)];
        if (to > from && Math.floor(from / time) !== Math.floor((to - 1) / time)) count++;
      }
      return count;
    },
  };
}

function pairsApart(store: TokenStore): Line {
  // Pairs before each document: a window finds its first document by halving.
  const before = new Float64Array(store.documents + 1);
  let withoutPairs = 0;
  for (let d = 0; d < store.documents; d++) {
    const pairs = Math.max(0, store.start(d + 1) - store.start(d) - 1);
    if (pairs === 0) withoutPairs++;
    before[d + 1] = before[d]! + pairs;
  }
  const pairs = before[store.documents]!;
  return {
    pairs,
    withoutPairs,
    spans(begin, count) {
      let [low, high] = [0, store.documents - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (before[middle]! <= begin) low = middle;
        else high = middle - 1;
      }
      const spans: Span[] = [];
      let at = begin;
      const end = Math.min(begin + count, pairs);
      for (let d = low; at < end; d++) {
        const slots = Math.min(before[d + 1]!, end) - at;
        if (slots > 0) spans.push({ from: store.start(d) + at - before[d]!, slots });
        at += Math.max(0, slots);
      }
      return spans;
    },
    continued(time) {
      let count = 0;
      for (let d = 0; d < store.documents; d++) {
        const [from, to] = [before[d]!, before[d + 1]!];
        if (to > from && Math.floor(from / time) !== Math.floor((to - 1) / time)) count++;
      }
      return count;
    },
  };
}

/**
 * Best-fit decreasing: the longest piece first, each into the fullest window that still has room for it. A piece longer
 * than a window fills whole ones; its rest is a piece like others. Source: Johnson et al., SIAM J. Comput. 3 (1974).
 */
function bestFit(store: TokenStore, time: number, long: NonNullable<PackingOptions["long"]>): Layout {
  const pieces: { from: number[]; slots: number[] } = { from: [], slots: [] };
  let [cut, continued, withoutPairs, tooLong] = [0, 0, 0, 0];
  for (let d = 0; d < store.documents; d++) {
    const from = store.start(d);
    const pairs = store.start(d + 1) - from - 1;
    if (pairs < 1) withoutPairs++;
    if (pairs > time) {
      tooLong++;
      if (long === "cut") cut += pairs - time;
      else continued++;
    }
    for (let at = 0; at < (long === "cut" ? Math.min(pairs, time) : pairs); at += time) {
      pieces.from.push(from + at);
      pieces.slots.push(Math.min(time, pairs - at));
    }
  }
  if (long === "refuse" && tooLong > 0) {
    throw new DataError("tokenWindows", `${tooLong} documents are longer than a window of ${time}`, {
      hint: '`long: "continue"` lets them go on in other windows, `long: "cut"` leaves out what is too long',
    });
  }
  if (pieces.from.length === 0) throw nothing(store);
  const rooms = new Rooms(time);
  // Window of each piece; windows are chains of pieces, the last one first.
  const next = new Uint32Array(pieces.from.length);
  const heads: number[] = [];
  for (const piece of longestFirst(pieces.slots, time)) {
    const slots = pieces.slots[piece]!;
    const window = rooms.take(slots) ?? heads.push(0) - 1;
    next[piece] = heads[window]!;
    heads[window] = piece + 1;
    const used = (rooms.used[window] = (rooms.used[window] ?? 0) + slots);
    rooms.put(window, time - used);
  }
  const pairs = pieces.slots.reduce((a, b) => a + b, 0);
  return {
    windows: heads.length,
    spans(window) {
      const spans: Span[] = [];
      for (let piece = heads[window]!; piece !== 0; piece = next[piece - 1]!)
        spans.push({ from: pieces.from[piece - 1]!, slots: pieces.slots[piece - 1]! });
      return spans.reverse();
    },
    report: reportOf(store, time, {
      windows: heads.length,
      padding: heads.length * time - pairs,
      cut,
      continued,
      withoutPairs,
    }),
  };
}

/** Windows with room left, by how much: the smallest room that is large enough is found by walking a set of bits. */
class Rooms {
  /** Slots in use of each window. */
  readonly used: number[] = [];
  readonly #stacks: (number[] | undefined)[] = [];
  readonly #bits: Uint32Array;
  readonly #time: number;

  constructor(time: number) {
    this.#time = time;
    this.#bits = new Uint32Array((time >>> 5) + 1);
  }

  put(window: number, room: number): void {
    if (room === 0) return;
    (this.#stacks[room] ??= []).push(window);
    this.#bits[room >>> 5]! |= 1 << (room & 31);
  }

  take(slots: number): number | undefined {
    for (let word = slots >>> 5; word <= this.#time >>> 5; word++) {
      const from = word === slots >>> 5 ? slots & 31 : 0;
      const found = (this.#bits[word]! >>> from) << from;
      if (found === 0) continue;
      const room = (word << 5) | (31 - Math.clz32(found & -found));
      const stack = this.#stacks[room]!;
      const window = stack.pop()!;
      if (stack.length === 0) this.#bits[word]! &= ~(1 << (room & 31));
      return window;
    }
    return undefined;
  }
}

/** Numbers of pieces, longest first, equal ones in their order: counted, not compared. */
function longestFirst(slots: readonly number[], time: number): Uint32Array {
  const place = new Uint32Array(time + 2);
  for (const n of slots) place[time - n + 1]!++;
  for (let i = 1; i < place.length; i++) place[i]! += place[i - 1]!;
  const order = new Uint32Array(slots.length);
  slots.forEach((n, piece) => (order[place[time - n]!++] = piece));
  return order;
}

function reportOf(
  store: TokenStore,
  time: number,
  counts: Pick<PackingReport, "windows" | "padding" | "cut" | "continued" | "withoutPairs">,
): PackingReport {
  const slots = counts.windows * time;
  const pairs = slots - counts.padding;
  return {
    time,
    documents: store.documents,
    ...counts,
    pairs,
    paddingPercent: (100 * counts.padding) / slots,
    cutPercent: (100 * counts.cut) / (pairs + counts.cut),
  };
}

function nothing(store: TokenStore): DataError {
  const received = `${store.tokens} tokens in ${store.documents} documents`;
  return new DataError("tokenWindows", `there is no pair of tokens to train on: received ${received}`);
}
