// What kernels over rows share: loads with a tail, sums and maxima of a row in one fixed order.
#pragma once
#include "math.hpp"

namespace chainrule {
namespace VARIANT {

/// W floats, or the first `count` with zeros behind.
ALWAYS_INLINE F loadUpTo(const float* p, Index count) { return count >= W ? loadF(p) : loadPart(p, count); }
ALWAYS_INLINE void storeUpTo(float* p, F v, Index count) {
  if (count >= W) store(p, v);
  else storePart(p, v, count);
}
/// The first `count` lanes, `other` behind.
ALWAYS_INLINE F keep(F v, Index count, float other) {
  if (count >= W) return v;
  for (Index i = count; i < W; i++) v[i] = other;
  return v;
}

/// Sum of fn(i, count) over vectors at i = 0, W, 2W, …: blocks in float32, joined in float64.
template <class Fn>
ALWAYS_INLINE double sumOver(Index n, Fn fn) {
  constexpr Index BLOCK = 2048;
  double total = 0;
  for (Index begin = 0; begin < n; begin += BLOCK) {
    Index end = least(n, begin + BLOCK), i = begin;
    F a = {}, b = {};
    for (; i + 2 * W <= end; i += 2 * W) {
      a += fn(i, W);
      b += fn(i + W, W);
    }
    for (; i < end; i += W) a += keep(fn(i, least(W, end - i)), end - i, 0);
    total += sumLanes(a + b);
  }
  return total;
}

/// The largest of n ≥ 1 floats; NaN if one is NaN.
ALWAYS_INLINE float maxOf(const float* x, Index n) {
  F best = splat(-__builtin_inff());
  for (Index i = 0; i < n; i += W) best = larger(keep(loadUpTo(x + i, n - i), n - i, -__builtin_inff()), best);
  return largestLane(best);
}

/// Calls fn(i, count) for each vector of a row.
template <class Fn>
ALWAYS_INLINE void eachVector(Index n, Fn fn) {
  Index i = 0;
  for (; i + W <= n; i += W) fn(i, W);
  if (i < n) fn(i, n - i);
}

/// Runs fn(row) for all rows, so many rows to a chunk that a chunk has about 8192 elements.
template <class Fn>
inline void overRows(Index rows, Index n, Index cost, Fn fn) {
  Index each = most(1, 8192 / most(1, n));
  parallelFor(divideUp(rows, each), rows * n * cost, [&](Index chunk) {
    Index end = least(rows, (chunk + 1) * each);
    for (Index row = chunk * each; row < end; row++) fn(row);
  });
}

inline float logScalar(float x) { return logOf(splat(x))[0]; }

}  // namespace VARIANT
}  // namespace chainrule
