// Random numbers from a key: Threefry-2x32 with 20 rounds (Salmon et al. 2011), W counters at a time.
#include "kernels.hpp"
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index CHUNK = 8192;  // words of one chunk, an even number

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

// Words [from, from + 2W) of the stream of a key; `from` is even.
ALWAYS_INLINE void words(const uint32_t* key, Index from, uint32_t* out) {
  U x0 = {}, x1;
  for (int i = 0; i < W; i++) x1[i] = static_cast<uint32_t>(from / 2 + i);
  threefry(key[0], key[1], x0, x1);
  for (int i = 0; i < W; i++) {
    out[2 * i] = x0[i];
    out[2 * i + 1] = x1[i];
  }
}

// Calls fn(position, words, count) for each 2W words of a stream of n.
template <class Fn>
void stream(const uint32_t* key, Index n, Fn fn) {
  parallelFor(divideUp(n, CHUNK), n * 6, [&](Index chunk) {
    Index end = least(n, (chunk + 1) * CHUNK);
    for (Index i = chunk * CHUNK; i < end; i += 2 * W) {
      uint32_t w[2 * W];
      words(key, i, w);
      fn(i, w, least(2 * W, end - i));
    }
  });
}

ALWAYS_INLINE float unit(uint32_t word) { return static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f; }

}  // namespace

// Equals randomBits of src/engine/ops/random.ts. params: words.
void randomBits(const Call& c) {
  stream(c.at<uint32_t>(0), c.params[0], [&](Index at, const uint32_t* w, Index count) {
    copyBytes(c.at<uint32_t>(1) + at, w, count * 4);
  });
}

// Equals uniform of src/engine/ops/random.ts. params: elements.
void uniform(const Call& c) {
  stream(c.at<uint32_t>(0), c.params[0], [&](Index at, const uint32_t* w, Index count) {
    for (Index i = 0; i < count; i++) c.at<float>(1)[at + i] = unit(w[i]);
  });
}

// Equals foldIn of src/engine/ops/random.ts. No params. Operands: key, number, new key.
void foldIn(const Call& c) {
  uint32_t x0 = 0, x1 = *c.at<uint32_t>(1);
  const uint32_t* key = c.at<uint32_t>(0);
  threefry(key[0], key[1], x0, x1);
  c.at<uint32_t>(2)[0] = x0;
  c.at<uint32_t>(2)[1] = x1;
}

// Equals dropout of src/engine/ops/fused-dropout.ts. params: elements, threshold, scale. Operands: x, key, y.
void dropout(const Call& c) {
  float threshold = floatOf(c.params[1]), scale = floatOf(c.params[2]);
  const float* x = c.at<float>(0);
  float* y = c.at<float>(2);
  stream(c.at<uint32_t>(1), c.params[0], [&](Index at, const uint32_t* w, Index count) {
    for (Index i = 0; i < count; i++) y[at + i] = unit(w[i]) >= threshold ? x[at + i] * scale : 0.0f;
  });
}

}  // namespace VARIANT
}  // namespace chainrule
