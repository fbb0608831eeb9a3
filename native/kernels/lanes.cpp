// Walks along one axis: argmax, argmin, running sums.
#include "kernels.hpp"
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index STRIP = 64;  // neighbouring lanes walked together

// Runs fn(first element, lanes, lane number) for strips of neighbouring lanes of [outer, n, inner].
template <class Fn>
void overLanes(Index outer, Index n, Index inner, Fn fn) {
  Index strips = divideUp(inner, STRIP), each = most(1, 8192 / most(1, n * least(inner, STRIP)));
  Index tasks = outer * strips;
  parallelFor(divideUp(tasks, each), outer * n * inner * 2, [&](Index chunk) {
    Index end = least(tasks, (chunk + 1) * each);
    for (Index t = chunk * each; t < end; t++) {
      Index o = t / strips, j = t % strips * STRIP;
      fn(o * n * inner + j, least(STRIP, inner - j), o * inner + j);
    }
  });
}

template <class T, bool LARGEST>
void search(const Call& c) {
  Index n = c.params[2], inner = c.params[3];
  const T* x = c.at<T>(0);
  int32_t* y = c.at<int32_t>(1);
  overLanes(c.params[1], n, inner, [&](Index start, Index lanes, Index lane) {
    T best[STRIP];
    int32_t place[STRIP] = {};
    for (Index j = 0; j < lanes; j++) best[j] = x[start + j];
    for (Index i = 1; i < n; i++) {
      const T* row = x + start + i * inner;
      for (Index j = 0; j < lanes; j++) {
        T v = row[j];
        bool wins = LARGEST ? v > best[j] : v < best[j];
        // Nothing beats NaN, so the first one stays.
        if (wins || (v != v && best[j] == best[j])) {
          best[j] = v;
          place[j] = static_cast<int32_t>(i);
        }
      }
    }
    for (Index j = 0; j < lanes; j++) y[lane + j] = place[j];
  });
}

template <class T, class Wide>
void runningSum(const Call& c) {
  Index n = c.params[2], inner = c.params[3];
  bool reverse = c.params[4] != 0;
  const T* x = c.at<T>(0);
  T* y = c.at<T>(1);
  overLanes(c.params[1], n, inner, [&](Index start, Index lanes, Index) {
    Wide total[STRIP] = {};
    for (Index step = 0; step < n; step++) {
      Index at = start + (reverse ? n - 1 - step : step) * inner;
      for (Index j = 0; j < lanes; j++) y[at + j] = static_cast<T>(total[j] += x[at + j]);
    }
  });
}

}  // namespace

// Equal argmax and argmin of src/engine/ops/reduce.ts. params: float?, outer, n, inner.
void argmax(const Call& c) { c.params[0] ? search<float, true>(c) : search<int32_t, true>(c); }
void argmin(const Call& c) { c.params[0] ? search<float, false>(c) : search<int32_t, false>(c); }

// Equals cumsum of src/engine/ops/reduce.ts. params: float?, outer, n, inner, reverse.
void cumsum(const Call& c) { c.params[0] ? runningSum<float, double>(c) : runningSum<uint32_t, uint32_t>(c); }

}  // namespace VARIANT
}  // namespace chainrule
