// Values from nothing: one number everywhere, and counting along an axis.
#include "kernels.hpp"

namespace chainrule {
namespace VARIANT {

namespace {
constexpr Index CHUNK = 32768;
}

// Equals full of src/engine/ops/create.ts. params: element bytes, elements, bits.
void fill(const Call& c) {
  Index bytes = c.params[0], n = c.params[1];
  int32_t word = c.params[2];
  parallelFor(divideUp(n, CHUNK), n, [&](Index chunk) {
    Index begin = chunk * CHUNK, end = least(n, begin + CHUNK);
    if (bytes == 4) {
      int32_t* to = c.at<int32_t>(0);
      for (Index i = begin; i < end; i++) to[i] = word;
    } else if (bytes == 2) {
      int16_t* to = c.at<int16_t>(0);
      for (Index i = begin; i < end; i++) to[i] = static_cast<int16_t>(word);
    } else {
      __builtin_memset(c.at<uint8_t>(0) + begin, word, static_cast<size_t>(end - begin));
    }
  });
}

// Equals iota of src/engine/ops/create.ts. params: float?, outer, n, inner: y[o, i, j] = i.
void iota(const Call& c) {
  Index outer = c.params[1], n = c.params[2], inner = c.params[3];
  bool floating = c.params[0] != 0;
  Index each = most(1, CHUNK / most(1, n * inner));
  parallelFor(divideUp(outer, each), outer * n * inner, [&](Index chunk) {
    Index end = least(outer, (chunk + 1) * each);
    for (Index o = chunk * each; o < end; o++) {
      for (Index i = 0; i < n; i++) {
        Index at = (o * n + i) * inner;
        for (Index j = 0; j < inner; j++) {
          if (floating) c.at<float>(0)[at + j] = static_cast<float>(i);
          else c.at<int32_t>(0)[at + j] = static_cast<int32_t>(i);
        }
      }
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
