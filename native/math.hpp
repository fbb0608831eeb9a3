// Functions of one real number on vectors. Largest errors in units in the last place, over 5 million floats of each range
// (with fused multiply-add, without): exp 0.99 0.95, expm1 1.70 1.64, log 0.80 0.81, log1p 1.30 1.30, tanh 1.28 1.25,
// sigmoid 2.27 2.38, erf 1.18 1.23. sin and cos: 1.5e-7 absolute.
// Polynomials are weighted minimax fits of ours; ranges are reduced as in Cody & Waite, "Software Manual for the Elementary Functions" (1980).
#pragma once
#include "vec.hpp"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace chainrule {
namespace VARIANT {

ALWAYS_INLINE F absolute(F x) { return floats(bits(x) & 0x7fffffff); }
ALWAYS_INLINE F withSign(F magnitude, F sign) { return floats(bits(magnitude) | (bits(sign) & INT32_MIN)); }

/// Halves to even.
ALWAYS_INLINE F roundEven(F x) {
#if defined(__AVX512F__)
  return (F)_mm512_roundscale_ps((__m512)x, 8);
#elif defined(__AVX2__)
  return (F)_mm256_round_ps((__m256)x, 8);
#elif defined(__clang__)
  return __builtin_elementwise_roundeven(x);
#else
  F a = absolute(x);  // above 2^23 every float is whole
  F r = (a + 8388608.0f) - 8388608.0f;
  return select(a < 8388608.0f, withSign(r, x), x);
#endif
}
ALWAYS_INLINE F floorOf(F x) {
  F t = roundEven(x);
  return withSign(absolute(t - select(t > x, splat(1), F{})), x);
}
ALWAYS_INLINE F ceilOf(F x) { return -floorOf(-x); }

/// x · 2^n for whole |n| ≤ 252, in two steps so that results may be subnormal.
ALWAYS_INLINE F scale(F x, F n) {
#if defined(__AVX512F__)
  return (F)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  I whole = toInt(select(n == n, n, F{})), half = whole >> 1;
  return x * floats((half + 127) << 23) * floats((whole - half + 127) << 23);
#endif
}
/// x from low to high; NaN stays.
ALWAYS_INLINE F clampTo(F x, float low, float high) {
#if defined(__AVX512F__)
  return (F)_mm512_min_ps((__m512)splat(high), _mm512_max_ps((__m512)splat(low), (__m512)x));
#else
  x = select(x < low, splat(low), x);
  return select(x > high, splat(high), x);
#endif
}

// eˣ = 2^n · (1 + r + r² P(r)); gives r + r² P(r) and n.
ALWAYS_INLINE F expParts(F x, F& n) {
  x = clampTo(x, -105.0f, 89.0f);
  n = roundEven(x * 1.44269504f);
  F r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  F p = splat(1.381459986e-3f);
  p = p * r + 8.368715412e-3f;
  p = p * r + 4.166838793e-2f;
  p = p * r + 1.666652064e-1f;
  p = p * r + 4.999999345e-1f;
  return p * (r * r) + r;
}
ALWAYS_INLINE F expOf(F x) {
  F n;
  F p = expParts(x, n);
  return scale(p + 1.0f, n);
}
ALWAYS_INLINE F expm1Of(F x) {
  F p = splat(1.984980703e-4f);
  p = p * x + 1.399617716e-3f;
  p = p * x + 8.333579050e-3f;
  p = p * x + 4.166535857e-2f;
  p = p * x + 1.666666399e-1f;
  p = p * x + 5.000000385e-1f;
  F near = p * (x * x) + x;
  return select(absolute(x) < 0.5f, near, expOf(x) - 1.0f);
}

ALWAYS_INLINE F logOf(F x) {
  I tiny = x < 1.17549435e-38f;
  F y = select(tiny, x * 8388608.0f, x);
  I shifted = (I)((U)y - 0x3f3504f3u);
  F e = toFloat(shifted >> 23) - select(tiny, splat(23.0f), F{});
  F f = floats((shifted & 0x7fffff) + 0x3f3504f3) - 1.0f;
  F p = splat(6.746601318e-2f);
  p = p * f + -1.167564130e-1f;
  p = p * f + 1.188817460e-1f;
  p = p * f + -1.240559142e-1f;
  p = p * f + 1.421955091e-1f;
  p = p * f + -1.666799567e-1f;
  p = p * f + 2.000211873e-1f;
  p = p * f + -2.500000960e-1f;
  p = p * f + 3.333331260e-1f;
  F s = f * f;
  F r = (p * f) * s;
  r = r + e * -2.12194440e-4f;
  r = r - s * 0.5f;
  r = (r + f) + e * 0.693359375f;
  r = select(x == 0.0f, splat(-__builtin_inff()), r);
  r = select(x < 0.0f, splat(__builtin_nanf("")), r);
  return select((x == __builtin_inff()) | (x != x), x, r);
}
ALWAYS_INLINE F log1pOf(F x) {
  F u = x + 1.0f;
  F lost = (x - (u - 1.0f)) / u;
  F whole = logOf(u);
  // Far from zero nothing is lost; at -1 and infinity the correction is not a number.
  F r = whole + select((u > 0.0f) & (x < 1e7f), lost, F{});
  return select(absolute(x) < 1e-7f, x, r);
}

// Bits of 2/π behind 32 zero bits, for arguments too large for three-part reduction (Payne & Hanek, 1983).
static const uint32_t twoOverPi[] = {0,          0xA2F9836E, 0x4E441529, 0xFC2757D1,
                                     0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB};

// r in [-π/4, π/4] and the quadrant of one large float.
static inline float reduceLarge(float x, int32_t& quadrant) {
  int32_t word;
  __builtin_memcpy(&word, &x, 4);
  int e = ((word >> 23) & 0xff) - 150;
  if (e > 104) {
    quadrant = 0;
    return x - x;  // NaN for infinity and NaN
  }
  uint64_t m = static_cast<uint64_t>((word & 0x7fffff) | 0x800000);
  // 96 bits of 2/π from the bit whose product with m counts 2: higher ones are whole turns.
  int start = 32 + e - 2;
  int at = start >> 5, by = start & 31;
  uint32_t window[3];
  for (int i = 0; i < 3; i++)
    window[i] = by == 0 ? twoOverPi[at + i] : (twoOverPi[at + i] << by) | (twoOverPi[at + i + 1] >> (32 - by));
  uint64_t high = (static_cast<uint64_t>(window[0]) << 32) | window[1];
  uint64_t turn = m * high + ((m * window[2]) >> 32);  // units of 2^-62 quadrants, modulo 4
  int32_t q = static_cast<int32_t>((turn + (uint64_t(1) << 61)) >> 62);
  int64_t rest = static_cast<int64_t>(turn - (static_cast<uint64_t>(q) << 62));
  float r = static_cast<float>(static_cast<double>(rest) * (1.5707963267948966 / 4611686018427387904.0));
  quadrant = (word < 0 ? -q : q) & 3;
  return word < 0 ? -r : r;
}

// Angle to r in [-π/4, π/4] and quadrant; lanes beyond 8192 one by one.
ALWAYS_INLINE F reduceAngle(F x, I& quadrant) {
  I large = ~(absolute(x) < 8192.0f);
  F k = roundEven(select(large, F{}, x) * 0.636619772f);
  quadrant = toInt(k);
  F r = x - k * 1.5703125f;
  r = r - k * 4.837512969970703125e-4f;
  r = r - k * 7.54978995489188216e-8f;
  if (any(large)) {
    for (int i = 0; i < W; i++) {
      if (large[i]) {
        int32_t q;
        r[i] = reduceLarge(x[i], q);
        quadrant[i] = q;
      }
    }
  }
  return r;
}
ALWAYS_INLINE F sinNear(F r) {
  F s = r * r;
  F p = splat(2.718111803e-6f);
  p = p * s + -1.983931124e-4f;
  p = p * s + 8.333329302e-3f;
  p = p * s + -1.666666664e-1f;
  return (p * s) * r + r;
}
ALWAYS_INLINE F cosNear(F r) {
  F s = r * r;
  F p = splat(-2.720566320e-7f);
  p = p * s + 2.479945905e-5f;
  p = p * s + -1.388888350e-3f;
  p = p * s + 4.166666662e-2f;
  return p * (s * s) + (1.0f - s * 0.5f);
}
ALWAYS_INLINE F turned(F r, I quadrant) {
  F y = select((quadrant & 1) != 0, cosNear(r), sinNear(r));
  return floats(bits(y) ^ ((quadrant & 2) << 30));
}
ALWAYS_INLINE F sinOf(F x) {
  I q;
  F r = reduceAngle(x, q);
  return turned(r, q);
}
ALWAYS_INLINE F cosOf(F x) {
  I q;
  F r = reduceAngle(x, q);
  return turned(r, q + 1);
}
ALWAYS_INLINE F tanOf(F x) {
  I q;
  F r = reduceAngle(x, q);
  F s = sinNear(r), c = cosNear(r);
  I odd = (q & 1) != 0;
  return select(odd, -c, s) / select(odd, s, c);
}

ALWAYS_INLINE F tanhOf(F x) {
  F a = absolute(x);
  F s = x * x;
  F p = splat(2.142958753e-3f);
  p = p * s + -8.177394596e-3f;
  p = p * s + 2.170070161e-2f;
  p = p * s + -5.394676274e-2f;
  p = p * s + 1.333320601e-1f;
  p = p * s + -3.333333080e-1f;
  F near = (p * s) * x + x;
  F far = 1.0f - 2.0f / (expOf(a + a) + 1.0f);
  return select(a < 0.625f, near, withSign(far, x));
}
ALWAYS_INLINE F sigmoidOf(F x) { return 1.0f / (expOf(-x) + 1.0f); }

ALWAYS_INLINE F erfOf(F x) {
  F a = absolute(x);
  F s = x * x;
  F p = splat(8.185249036e-5f);
  p = p * s + -8.097749393e-4f;
  p = p * s + 5.196957319e-3f;
  p = p * s + -2.685770796e-2f;
  p = p * s + 1.128366407e-1f;
  p = p * s + -3.761263162e-1f;
  p = p * s + 1.283791671e-1f;
  F near = p * x + x;
  F b = select(a > 4.0f, splat(4.0f), a);
  F q = splat(-4.197432333e-7f);
  q = q * b + -1.574313528e-5f;
  q = q * b + 4.052957836e-4f;
  q = q * b + -4.082301743e-3f;
  q = q * b + 2.495438834e-2f;
  q = q * b + -1.080880139e-1f;
  q = q * b + -6.334836173e-1f;
  q = q * b + -1.129460491e+0f;
  q = q * b + 1.653933196e-4f;
  F far = 1.0f - expOf(q);
  return select(a < 0.94f, near, withSign(far, x));
}

/// x ^ y of one pair in float64, as JavaScript's `**`: 1 to an infinite power is not a number.
static inline float powOf(float x, float y) {
  if (y == 0.0f) return 1.0f;
  if (x != x || y != y) return __builtin_nanf("");
  bool whole = y >= 9007199254740992.0f || y <= -9007199254740992.0f || (float)(int64_t)y == y;
  bool odd = whole && y < 9007199254740992.0f && y > -9007199254740992.0f && ((int64_t)y & 1) != 0;
  if (x < 0.0f && !whole && x != -__builtin_inff()) return __builtin_nanf("");
  float sign = odd && __builtin_signbit(x) ? -1.0f : 1.0f;
  double a = x < 0.0f ? -(double)x : (double)x;
  double log2;
  if (a == 0.0) {
    log2 = -__builtin_inf();
  } else if (a == __builtin_inf()) {
    log2 = __builtin_inf();
  } else {
    int64_t word;
    __builtin_memcpy(&word, &a, 8);
    int64_t shifted = word - 0x3fe6a09e667f3bcd;
    int64_t mantissa = (shifted & 0xfffffffffffff) + 0x3fe6a09e667f3bcd;
    double m;
    __builtin_memcpy(&m, &mantissa, 8);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 1.0 / 13;
    for (int k = 11; k >= 1; k -= 2) p = p * z + 1.0 / k;
    log2 = (double)(shifted >> 52) + 2.8853900817779268 * s * p;
  }
  double t = y * log2;
  if (t != t) return __builtin_nanf("");
  t = t > 200.0 ? 200.0 : t < -200.0 ? -200.0 : t;
  double k = (double)(int64_t)(t + (t < 0 ? -0.5 : 0.5));
  double r = (t - k) * 0.69314718055994531;
  double e = 1.0;
  for (int i = 11; i >= 1; i--) e = e * r / i + 1.0;
  int64_t power = ((int64_t)k + 1023) << 52;
  double by;
  __builtin_memcpy(&by, &power, 8);
  return sign * (float)(e * by);
}

/// x − ⌊x/y⌋ · y in float64.
static inline float remainderOf(float x, float y) {
  double q = __builtin_floor((double)x / (double)y);
  return (float)((double)x - q * (double)y);
}

}  // namespace VARIANT
}  // namespace chainrule
