// What instructions of the loop kernel do to one vector where an operator is not enough: conversions, truth, rounding.
#pragma once
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

ALWAYS_INLINE F truth(I mask) { return floats(mask & 1); }

ALWAYS_INLINE int32_t modulo(int32_t a, int32_t b) {
  if (b == 0 || b == -1) return 0;
  int32_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
ALWAYS_INLINE F toIntClamped(F x) {
  I high = x >= 2147483648.0f, low = x < -2147483648.0f;
  F safe = select(high | low | (x != x), F{}, x);
  I r = toInt(safe);
  return floats(select(high, splatI(INT32_MAX), select(low, splatI(INT32_MIN), r)));
}
ALWAYS_INLINE F toUintClamped(F x) {
  I over = x >= 4294967296.0f, upper = x >= 2147483648.0f;
  F safe = select((x > 0.0f) & ~over, x, F{});
  I r = toInt(select(upper & ~over, safe - 2147483648.0f, safe)) ^ (upper & INT32_MIN);
  return floats(select(over, splatI(-1), r));
}
ALWAYS_INLINE F uintToFloatOf(F x) {
  I u = bits(x);
  return toFloat((I)((U)u >> 16)) * 65536.0f + toFloat(u & 0xffff);
}

// bfloat16 in a register is the float32 of the same number: its lower 16 bits are zeros. These equal toBfloat16 and
// toBfloat16Randomly of src/engine/core/half.ts.
ALWAYS_INLINE F nearestHalfOf(F x) {
  U u = (U)x;
  U rounded = u + 0x7fff + ((u >> 16) & 1);
  return floats((I)(select(x != x, u | 0x400000, rounded) & 0xffff0000u));
}
ALWAYS_INLINE F randomHalfOf(F x, U random) {
  I magnitude = bits(x) & INT32_MAX, finite = magnitude < 0x7f800000;
  return select(finite, floats((I)(((U)x + random) & 0xffff0000u)), nearestHalfOf(x));
}

// Vectors of single bytes and of bfloat16, as many as lanes.
typedef uint8_t Bytes __attribute__((vector_size(W)));
typedef uint16_t Halves __attribute__((vector_size(2 * W)));

ALWAYS_INLINE F loadHalves(const uint16_t* p) {
  return floats((I)(__builtin_convertvector(load<Halves>(p), U) << 16));
}
ALWAYS_INLINE void storeHalves(uint16_t* p, F x) { store(p, __builtin_convertvector((U)x >> 16, Halves)); }

}  // namespace VARIANT
}  // namespace chainrule
