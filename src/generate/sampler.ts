// Choosing the next token from one row of logits: penalties, temperature, the cuts, and a draw that is a function of its key.
import { ArgumentError, foldIn, keyOf, threefry, type HostKey } from "../engine/core/index.ts";

/** How tokens are chosen. */
export interface SamplingOptions {
  /** Logits are divided by it; 0 takes the most probable token. 1 unless said. */
  readonly temperature?: number;
  /** Only the k most probable tokens; all unless said. */
  readonly topK?: number;
  /** The most probable tokens up to this probability (Holtzman et al. 2020); 1, all, unless said. */
  readonly topP?: number;
  /** Only tokens with at least this share of the largest probability (Nguyen et al. 2024); 0 unless said. */
  readonly minP?: number;
  /** Logits of tokens of the whole text are divided (where positive) or multiplied by it (Keskar et al. 2019); 1 unless said. */
  readonly repetitionPenalty?: number;
  /** Taken off the logits of each generated token (as OpenAI's API); 0 unless said. */
  readonly presencePenalty?: number;
  /** The same for each time it was generated; 0 unless said. */
  readonly frequencyPenalty?: number;
  /** The same seed draws the same text; 0 unless said. */
  readonly seed?: number;
}

/** What earlier tokens a choice depends on. */
export interface History {
  /** How often each token was generated. */
  readonly generated: ReadonlyMap<number, number>;
  /** Every token of the text, prompt included. */
  readonly seen: ReadonlySet<number>;
}

/** Tokens that may be chosen, the most probable first, with their probabilities; these sum to 1. */
export interface Candidates {
  readonly ids: Int32Array;
  readonly probabilities: Float64Array;
}

/** A distribution over tokens and the draws from it. Place i of a text has its own key: nothing depends on earlier draws. */
export class Sampler {
  readonly greedy: boolean;
  readonly #options: Required<Omit<SamplingOptions, "topK" | "seed">> & { readonly topK: number };
  readonly #key: HostKey;

  constructor(options: SamplingOptions = {}) {
    const { temperature = 1, topK = Infinity, topP = 1, minP = 0, seed = 0 } = options;
    const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
    const check = (name: string, value: number, fits: boolean, rule: string): void => {
      if (!fits) throw new ArgumentError(name, `must be ${rule}: received ${value}`);
    };
    check("temperature", temperature, temperature >= 0 && temperature < Infinity, "at least 0");
    check("topK", topK, topK === Infinity || (Number.isInteger(topK) && topK >= 1), "a whole number ≥ 1");
    check("topP", topP, topP > 0 && topP <= 1, "above 0 and at most 1");
    check("minP", minP, minP >= 0 && minP <= 1, "from 0 to 1");
    check("repetitionPenalty", repetitionPenalty, repetitionPenalty > 0 && repetitionPenalty < Infinity, "above 0");
    check("presencePenalty", presencePenalty, Number.isFinite(presencePenalty), "a number");
    check("frequencyPenalty", frequencyPenalty, Number.isFinite(frequencyPenalty), "a number");
    this.#key = keyOf(seed);
    this.greedy = temperature === 0;
    this.#options = { temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty };
  }

  /** Whether logits are changed by what was generated before. */
  get penalizes(): boolean {
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = this.#options;
    return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
  }

  /** The tokens that may come next: penalties, temperature, top-k, top-p, min-p, in this order. */
  candidates(logits: Float32Array, history: History): Candidates {
    const x = this.#penalized(logits, history);
    const { temperature, topK, topP, minP } = this.#options;
    if (this.greedy) return { ids: Int32Array.of(largest(x)), probabilities: Float64Array.of(1) };
    const { order, weights, total } = ordered(x, { temperature, topK: Math.min(topK, x.length), topP });
    let count = order.length;
    if (topP < 1) {
      let sum = 0;
      for (count = 0; count < order.length && sum < topP * total; count++) sum += weights[count]!;
    }
    // The weight of the most probable token is 1, so its share of the largest is the weight itself.
    let kept = Array.from({ length: count }, (_, i) => i);
    if (minP > 0) kept = kept.filter((i) => weights[i]! >= minP);
    const sum = kept.reduce((all, i) => all + weights[i]!, 0);
    return {
      ids: Int32Array.from(kept, (i) => order[i]!),
      probabilities: Float64Array.from(kept, (i) => weights[i]! / sum),
    };
  }

  /** Draws from candidates. `place` is that of the token in its text; `stream` tells several draws at one place apart. */
  draw({ ids, probabilities }: Candidates, place: number, stream: number = 0): number {
    let left = this.uniform(place, stream);
    for (let i = 0; i < ids.length; i++) {
      left -= probabilities[i]!;
      if (left < 0) return ids[i]!;
    }
    return ids[ids.length - 1]!; // sums of probabilities end a rounding below 1
  }

  /** A number in [0, 1) of 53 bits that belongs to a place and a stream. */
  uniform(place: number, stream: number = 0): number {
    const [a, b] = threefry(foldIn(this.#key, place), stream, 0);
    return (a * 2 ** 21 + (b >>> 11)) * 2 ** -53;
  }

  /** The next token. */
  sample(logits: Float32Array, history: History, place: number): number {
    return this.draw(this.candidates(logits, history), place);
  }

  #penalized(logits: Float32Array, { generated, seen }: History): Float32Array {
    if (!this.penalizes) return logits;
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = this.#options;
    const x = logits.slice();
    if (repetitionPenalty !== 1)
      for (const id of seen) x[id] = x[id]! > 0 ? x[id]! / repetitionPenalty : x[id]! * repetitionPenalty;
    for (const [id, count] of generated) x[id]! -= presencePenalty + frequencyPenalty * count;
    return x;
  }
}

/** `x − ln Σ eˣ` of some tokens: log-probabilities under the model itself, before penalties and temperature. */
export function logProbabilities(logits: Float32Array, ids: readonly number[]): number[] {
  const most = logits[largest(logits)]!;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - most);
  const total = most + Math.log(sum);
  return ids.map((id) => logits[id]! - total);
}

/** The k largest, largest first; of equal ones the lower id first. */
export function best(x: Float32Array, k: number): Int32Array {
  if (k >= x.length) return everyId(x.length).sort((a, b) => x[b]! - x[a]! || a - b);
  // A heap whose root is the worst of the k best so far.
  const heap = new Int32Array(k);
  const worse = (a: number, b: number): boolean => x[a]! < x[b]! || (a > b && Object.is(x[a], x[b]));
  const sink = (i: number, size: number): void => {
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) return;
      if (child + 1 < size && worse(heap[child + 1]!, heap[child]!)) child++;
      if (!worse(heap[child]!, heap[i]!)) return;
      [heap[i], heap[child]] = [heap[child]!, heap[i]!];
      i = child;
    }
  };
  for (let i = 0; i < k; i++) heap[i] = i;
  for (let i = (k >> 1) - 1; i >= 0; i--) sink(i, k);
  for (let id = k; id < x.length; id++) {
    if (!worse(heap[0]!, id)) continue;
    heap[0] = id;
    sink(0, k);
  }
  return heap.sort((a, b) => x[b]! - x[a]! || a - b);
}

/** The most probable token; of equal ones the lowest. */
export function largest(x: Float32Array): number {
  let at = 0;
  for (let i = 1; i < x.length; i++) if (x[i]! > x[at]!) at = i;
  return at;
}

interface Ordered {
  /** Tokens, the most probable first wherever a cut needs that. */
  readonly order: Int32Array;
  /** `e^((x − largest) / temperature)` of each. */
  readonly weights: Float64Array;
  /** The sum over all tokens that top-k leaves. */
  readonly total: number;
}

// Only as many tokens are put in order as the cuts need: sorting a whole vocabulary takes longer than a small model.
function ordered(
  x: Float32Array,
  { temperature, topK, topP }: { readonly temperature: number; readonly topK: number; readonly topP: number },
): Ordered {
  const most = x[largest(x)]!;
  const weigh = (ids: Int32Array): Float64Array =>
    Float64Array.from(ids, (id) => Math.exp((x[id]! - most) / temperature));
  const sumOf = (values: Float64Array): number => values.reduce((all, w) => all + w, 0);
  if (topK < x.length) {
    const order = best(x, topK);
    const weights = weigh(order);
    return { order, weights, total: sumOf(weights) };
  }
  const all = everyId(x.length);
  const every = weigh(all);
  const total = sumOf(every);
  if (topP === 1) return { order: all, weights: every, total };
  for (let k = 256; k < x.length; k *= 8) {
    const order = best(x, k);
    const weights = weigh(order);
    if (sumOf(weights) >= topP * total) return { order, weights, total };
  }
  const order = best(x, x.length);
  return { order, weights: weigh(order), total };
}

function everyId(count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i);
}
