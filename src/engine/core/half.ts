// float16 and bfloat16: bits to number and back, rounding to nearest even.

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** The number whose bfloat16 bits these are. */
export function fromBfloat16(bits: number): number {
  u32[0] = (bits << 16) >>> 0;
  return f32[0]!;
}

/** Bits of the bfloat16 nearest to `x` (ties to even; NaN stays NaN). */
export function toBfloat16(x: number): number {
  f32[0] = x;
  const u = u32[0]!;
  if (x !== x) return (u >>> 16) | 0x40;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

/**
 * Bits of one of the two bfloat16 around `x`, each as likely as `x` is near to it, where `random` is uniform in [0, 2^16):
 * on average the result is `x`. What is not finite stays.
 */
export function toBfloat16Randomly(x: number, random: number): number {
  f32[0] = x;
  const u = u32[0]!;
  if (!Number.isFinite(f32[0])) return toBfloat16(f32[0]);
  return ((u + random) >>> 16) & 0xffff;
}

/** The number whose IEEE half-precision bits these are. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Bits of the IEEE half nearest to `x` (ties to even; overflow becomes infinity). */
export function toFloat16(x: number): number {
  if (x !== x) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const a = Math.abs(x);
  if (a >= 65520) return sign | 0x7c00;
  if (a < 2 ** -14) return sign | roundHalfEven(a * 2 ** 24);
  let exponent = Math.floor(Math.log2(a));
  if (2 ** exponent > a)
    exponent--; // log2 may round up just below a power of two
  else if (2 ** (exponent + 1) <= a) exponent++;
  // A fraction that rounds up to 1024 carries into the exponent by itself.
  return sign | (((exponent + 15) << 10) + roundHalfEven((a / 2 ** exponent - 1) * 1024));
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest > 0.5 || (rest === 0.5 && floor % 2 === 1)) return floor + 1;
  return floor;
}
