// Vectors of 32-bit lanes written with compiler extensions: one source for AVX-512, AVX2, SSE2, NEON and WebAssembly.
#pragma once
#include "base.hpp"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef VARIANT
#error "compile with -DVARIANT=name; kernels live in the namespace of their variant"
#endif

namespace chainrule {
namespace VARIANT {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float F __attribute__((vector_size(4 * W)));
typedef int32_t I __attribute__((vector_size(4 * W)));
typedef uint32_t U __attribute__((vector_size(4 * W)));
typedef double D __attribute__((vector_size(8 * W)));

// Loads and stores without alignment; memcpy of one vector is one instruction.
template <class V, class T>
ALWAYS_INLINE V load(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}
template <class V, class T>
ALWAYS_INLINE void store(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof(V));
}
ALWAYS_INLINE F loadF(const float* p) { return load<F>(p); }

// WebAssembly's engines fold a constant into a load, but clang makes pointers of `p + constant` where it knows what p is.
#if defined(__wasm__)
#define OPAQUE(pointer) asm("" : "+r"(pointer))
#else
#define OPAQUE(pointer)
#endif

ALWAYS_INLINE F splat(float x) { return x - F{}; }
ALWAYS_INLINE I splatI(int32_t x) { return x - I{}; }
ALWAYS_INLINE U splatU(uint32_t x) { return x - U{}; }

ALWAYS_INLINE I bits(F x) { return (I)x; }
ALWAYS_INLINE F floats(I x) { return (F)x; }
ALWAYS_INLINE F select(I mask, F a, F b) { return mask ? a : b; }
ALWAYS_INLINE I select(I mask, I a, I b) { return mask ? a : b; }
ALWAYS_INLINE U select(I mask, U a, U b) { return mask ? a : b; }

ALWAYS_INLINE F toFloat(I x) { return __builtin_convertvector(x, F); }
/// Toward zero; the caller keeps lanes inside the range of int32.
ALWAYS_INLINE I toInt(F x) { return __builtin_convertvector(x, I); }

/// First `count` of W floats, zeros behind.
ALWAYS_INLINE F loadPart(const float* p, Index count) {
#if defined(__AVX512F__)
  return (F)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
#else
  F v = {};
  for (Index i = 0; i < count; i++) v[i] = p[i];
  return v;
#endif
}
ALWAYS_INLINE void storePart(float* p, F v, Index count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
#else
  for (Index i = 0; i < count; i++) p[i] = v[i];
#endif
}

ALWAYS_INLINE bool any(I mask) {
  int32_t found = 0;
  for (int i = 0; i < W; i++) found |= mask[i];
  return found != 0;
}

ALWAYS_INLINE F larger(F a, F b) { return select((a > b) | (a != a), a, b); }
ALWAYS_INLINE F smaller(F a, F b) { return select((a < b) | (a != a), a, b); }

// The numbers of the lanes, as a pack for shuffles.
template <int... L>
struct Lanes {};
template <int N, int... L>
struct Count : Count<N - 1, N - 1, L...> {};
template <int... L>
struct Count<0, L...> {
  typedef Lanes<L...> type;
};

// Lane i together with lane i + HALF, for all i < HALF; then by the half of that, down to one.
template <int HALF, int... L>
ALWAYS_INLINE F otherHalf(F v, Lanes<L...>) {
  return __builtin_shufflevector(v, v, (L ^ HALF)...);
}
template <int HALF, class Fn>
ALWAYS_INLINE float joinLanes(F v, Fn fn) {
  v = fn(v, otherHalf<HALF>(v, typename Count<W>::type()));
  if constexpr (HALF > 1) return joinLanes<HALF / 2>(v, fn);
  else return v[0];
}
/// Sum of the lanes by halves: one fixed order.
ALWAYS_INLINE float sumLanes(F v) {
  return joinLanes<W / 2>(v, [](F a, F b) { return a + b; });
}
/// The largest lane; NaN if one is NaN.
ALWAYS_INLINE float largestLane(F v) { return joinLanes<W / 2>(v, larger); }

}  // namespace VARIANT
}  // namespace chainrule
