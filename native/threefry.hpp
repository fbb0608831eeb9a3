// Threefry-2x32 with 20 rounds (Salmon et al. 2011), W counters at a time: the words of a key's stream.
#pragma once
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

// Two words for each counter (0, x1): the block function of src/engine/core/key.ts.
template <class V>
ALWAYS_INLINE void threefry(uint32_t k0, uint32_t k1, V& x0, V& x1) {
  const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t ks[3] = {k0, k1, k0 ^ k1 ^ 0x1bd11bda};
  x0 += k0;
  x1 += k1;
#pragma GCC unroll 5
  for (int group = 0; group < 5; group++) {
#pragma GCC unroll 4
    for (int round = 0; round < 4; round++) {
      int r = rotations[group % 2][round];
      x0 += x1;
      x1 = ((x1 << r) | (x1 >> (32 - r))) ^ x0;
    }
    x0 += ks[(group + 1) % 3];
    x1 += ks[(group + 2) % 3] + static_cast<uint32_t>(group + 1);
  }
}

template <int... L>
ALWAYS_INLINE void wordsOf(const uint32_t* key, Index from, uint32_t* out, Lanes<L...>) {
  U x0 = {}, x1 = U{static_cast<uint32_t>(L)...} + static_cast<uint32_t>(from / 2);
  threefry(key[0], key[1], x0, x1);
  store(out, (U)__builtin_shufflevector(x0, x1, (L % 2 * W + L / 2)...));
  store(out + W, (U)__builtin_shufflevector(x0, x1, (L % 2 * W + W / 2 + L / 2)...));
}

/// Words [from, from + 2W) of the stream of a key; `from` is even.
ALWAYS_INLINE void words(const uint32_t* key, Index from, uint32_t* out) {
  wordsOf(key, from, out, typename Count<W>::type());
}

/// Words [from, from + n) of the stream; writes up to W past the end where n is a multiple of W.
static inline void wordsFrom(const uint32_t* key, Index from, uint32_t* out, Index n) {
  if (from % 2 == 0) {
    for (Index i = 0; i < n; i += 2 * W) words(key, from + i, out + i);
    return;
  }
  uint32_t own[2 * W];
  for (Index i = -1; i < n; i += 2 * W) {
    words(key, from + i, own);
    for (Index k = i < 0 ? 1 : 0; k < 2 * W && i + k < n; k++) out[i + k] = own[k];
  }
}

}  // namespace VARIANT
}  // namespace chainrule
