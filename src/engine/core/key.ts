// Counter-based random numbers on the host: Threefry-2x32 with 20 rounds, the same bits as the engine's kernels.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
import { ArgumentError } from "./error.ts";

/** A key of the counter-based generator: two unsigned 32-bit words. Equal keys give equal numbers, always. */
export type HostKey = readonly [number, number];

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** One block: two words of random bits for a key and a two-word counter. */
export function threefry(key: HostKey, c0: number, c1: number): [number, number] {
  const k0 = key[0] | 0;
  const k1 = key[1] | 0;
  const ks = [k0, k1, k0 ^ k1 ^ 0x1bd11bda] as const;
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let group = 0; group < 5; group++) {
    for (let round = 0; round < 4; round++) {
      const r = ROTATIONS[(group % 2) * 4 + round]!;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    }
    x0 = (x0 + ks[(group + 1) % 3]!) | 0;
    x1 = (x1 + ks[(group + 2) % 3]! + group + 1) | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
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
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const [a, b] = threefry(key, 0, i);
    const unit = (a * 2 ** 21 + (b >>> 11)) * 2 ** -53;
    const j = Math.floor(unit * (i + 1));
    const swap = order[i]!;
    order[i] = order[j]!;
    order[j] = swap;
  }
  return order;
}
