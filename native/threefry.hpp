// Threefry-2x32 with 20 rounds (Salmon et al. 2011), W counters at a time: the block function of src/engine/core/key.ts.
#pragma once
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

/// Two words for each of N vectors of counters (x0, x1). Several at a time hide the latency of the rounds.
template <class V, int N>
ALWAYS_INLINE void threefry(uint32_t k0, uint32_t k1, V (&x0)[N], V (&x1)[N]) {
  const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t ks[3] = {k0, k1, k0 ^ k1 ^ 0x1bd11bda};
  for (int n = 0; n < N; n++) {
    x0[n] += k0;
    x1[n] += k1;
  }
#pragma GCC unroll 5
  for (int group = 0; group < 5; group++) {
#pragma GCC unroll 4
    for (int round = 0; round < 4; round++) {
      int r = rotations[group % 2][round];
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) {
        x0[n] += x1[n];
        x1[n] = ((x1[n] << r) | (x1[n] >> (32 - r))) ^ x0[n];
      }
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      x0[n] += ks[(group + 1) % 3];
      x1[n] += ks[(group + 2) % 3] + static_cast<uint32_t>(group + 1);
    }
  }
}

// Word 2i of a stream is the first of counter i, word 2i + 1 the second.
template <int... L>
ALWAYS_INLINE void storePairs(uint32_t* to, U first, U second, Lanes<L...>) {
  store(to, (U)__builtin_shufflevector(first, second, (L / 2 + L % 2 * W)...));
  store(to + W, (U)__builtin_shufflevector(first, second, (W / 2 + L / 2 + L % 2 * W)...));
}

/// Words [from, from + 2·W·N) of the stream of a key; `from` is even.
template <int N>
ALWAYS_INLINE void streamWords(const uint32_t* key, Index from, uint32_t* to) {
  U x0[N] = {}, x1[N], lane;
  for (int i = 0; i < W; i++) lane[i] = static_cast<uint32_t>(i);
  for (int n = 0; n < N; n++) x1[n] = lane + static_cast<uint32_t>(from / 2 + n * W);
  threefry(key[0], key[1], x0, x1);
  for (int n = 0; n < N; n++) storePairs(to + n * 2 * W, x0[n], x1[n], typename Count<W>::type());
}

/// Words [from, from + n) of the stream; writes up to W past the end where n is a multiple of W.
static inline void wordsFrom(const uint32_t* key, Index from, uint32_t* out, Index n) {
  if (from % 2 == 0) {
    for (Index i = 0; i < n; i += 2 * W) streamWords<1>(key, from + i, out + i);
    return;
  }
  uint32_t own[2 * W];
  for (Index i = -1; i < n; i += 2 * W) {
    streamWords<1>(key, from + i, own);
    for (Index k = i < 0 ? 1 : 0; k < 2 * W && i + k < n; k++) out[i + k] = own[k];
  }
}

/// Which elements dropout keeps: those whose uniform number, 24 bits of their word, is not below a threshold.
struct Keeps {
  static constexpr Index BLOCK = 8 * W;
  const uint32_t* key;
  int32_t threshold;

  /// Calls fn(i, count, kept) for each vector of n ≤ BLOCK elements, which lie from `from` on in the stream.
  template <class Fn>
  ALWAYS_INLINE void each(Index from, Index n, Fn fn) const {
    uint32_t words[BLOCK + 8 * W];
    Index odd = from & 1, vectors = divideUp(n + odd, 2 * W), v = 0;
    for (; v + 2 < vectors; v += 4) streamWords<4>(key, from - odd + v * 2 * W, words + v * 2 * W);
    for (; v < vectors; v += 2) streamWords<2>(key, from - odd + v * 2 * W, words + v * 2 * W);
    for (Index i = 0; i < n; i += W) fn(i, least(W, n - i), (I)(load<U>(words + odd + i) >> 8) >= threshold);
  }
};

}  // namespace VARIANT
}  // namespace chainrule
