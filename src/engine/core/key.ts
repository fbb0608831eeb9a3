// Counter-based random numbers on the host: Threefry-2x32 with 20 rounds, the same bits as the engine's kernels.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
import { ArgumentError } from "./error.ts";

/** A key of the counter-based generator: two unsigned 32-bit words. Equal keys give equal numbers, always. */
export type HostKey = readonly [number, number];

// Where `scramble` leaves its two words: an array for each block would be most of its time.
const words = new Uint32Array(2);

function scramble(key: HostKey, c0: number, c1: number): void {
  let k0 = key[0] | 0;
  let k1 = key[1] | 0;
  let k2 = k0 ^ k1 ^ 0x1bd11bda;
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let group = 1; group <= 5; group++) {
    const odd = (group & 1) === 1;
    x0 = (x0 + x1) | 0;
    x1 = (odd ? (x1 << 13) | (x1 >>> 19) : (x1 << 17) | (x1 >>> 15)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = (odd ? (x1 << 15) | (x1 >>> 17) : (x1 << 29) | (x1 >>> 3)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = (odd ? (x1 << 26) | (x1 >>> 6) : (x1 << 16) | (x1 >>> 16)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = (odd ? (x1 << 6) | (x1 >>> 26) : (x1 << 24) | (x1 >>> 8)) ^ x0;
    // The three words of the key go round.
    const first = k0;
    k0 = k1;
    k1 = k2;
    k2 = first;
    x0 = (x0 + k0) | 0;
    x1 = (x1 + k1 + group) | 0;
  }
  words[0] = x0;
  words[1] = x1;
}

/** One block: two words of random bits for a key and a two-word counter. */
export function threefry(key: HostKey, c0: number, c1: number): [number, number] {
  scramble(key, c0, c1);
  return [words[0]!, words[1]!];
}

/** The key of a seed (a whole number up to 2^53). */
export function keyOf(seed: number): HostKey {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ArgumentError("key", `a seed is a whole number from 0 to 2^53 - 1: received ${seed}`);
  }
  return [Math.floor(seed / 2 ** 32), seed % 2 ** 32];
}

/** A new key from a key and a number: independent streams for epochs, steps, layers. */
export function foldIn(key: HostKey, data: number): HostKey {
  return threefry(key, Math.floor(data / 2 ** 32), data >>> 0);
}

/** `count` words of random bits: word `2j` and `2j + 1` come from counter `j`. */
export function randomBits(key: HostKey, count: number): Uint32Array {
  const out = new Uint32Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry(key, Math.floor(i / 2 / 2 ** 32), (i / 2) >>> 0);
    out[i] = a;
    if (i + 1 < count) out[i + 1] = b;
  }
  return out;
}

/** The float32 in [0, 1) of 32 random bits: the upper 24 bits over 2^24. */
export function unitFloat(bits: number): number {
  return (bits >>> 8) * 2 ** -24;
}

/** A permutation of 0 … n − 1: Fisher–Yates, each step drawn without bias from 53 bits. */
export function permutation(key: HostKey, n: number): Uint32Array {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    scramble(key, 0, i);
    const j = Math.floor((words[0]! * 2 ** 21 + (words[1]! >>> 11)) * 2 ** -53 * (i + 1));
    const swap = order[i]!;
    order[i] = order[j]!;
    order[j] = swap;
  }
  return order;
}
