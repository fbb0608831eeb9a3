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

template <bool LARGEST>
ALWAYS_INLINE F better(F a, F b) { return LARGEST ? larger(a, b) : smaller(a, b); }
template <bool LARGEST>
ALWAYS_INLINE I better(I a, I b) { return select(LARGEST ? a > b : a < b, a, b); }

// The place of the best of n ≥ 4 · W neighbours: first its value, NaN before all, then where that stands first.
template <class T, class V, bool LARGEST>
int32_t searchRow(const T* x, Index n) {
  V run[4];
  for (int v = 0; v < 4; v++) run[v] = load<V>(x + v * W);
  for (Index i = 4 * W; i + 4 * W <= n; i += 4 * W)
    for (int v = 0; v < 4; v++) run[v] = better<LARGEST>(load<V>(x + i + v * W), run[v]);
  // The rest by vectors that end with the row; what is seen twice changes nothing.
  for (int v = 0; v < 4; v++) run[v] = better<LARGEST>(load<V>(x + n - (v + 1) * W), run[v]);
  T lanes[W];
  store(lanes, better<LARGEST>(better<LARGEST>(run[0], run[1]), better<LARGEST>(run[2], run[3])));
  T best = lanes[0];
  for (int i = 1; i < W; i++)
    if (best == best && (lanes[i] != lanes[i] || (LARGEST ? lanes[i] > best : lanes[i] < best))) best = lanes[i];
  Index i = 0;
  if (best != best) {
    while (x[i] == x[i]) i++;
  } else {
    while (x[i] != best) i++;
  }
  return static_cast<int32_t>(i);
}

template <class T, class V, bool LARGEST>
void search(const Call& c) {
  Index n = c.params[2], inner = c.params[3];
  const T* x = c.at<T>(0);
  int32_t* y = c.at<int32_t>(1);
  if (inner == 1 && n >= 4 * W) {
    Index rows = c.params[1], each = most(1, 8192 / n);
    return parallelFor(divideUp(rows, each), rows * n / 4, [&](Index chunk) {
      for (Index r = chunk * each; r < least(rows, (chunk + 1) * each); r++)
        y[r] = searchRow<T, V, LARGEST>(x + r * n, n);
    });
  }
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
void argmax(const Call& c) { c.params[0] ? search<float, F, true>(c) : search<int32_t, I, true>(c); }
void argmin(const Call& c) { c.params[0] ? search<float, F, false>(c) : search<int32_t, I, false>(c); }

// Equals cumsum of src/engine/ops/reduce.ts. params: float?, outer, n, inner, reverse.
void cumsum(const Call& c) { c.params[0] ? runningSum<float, double>(c) : runningSum<uint32_t, uint32_t>(c); }

}  // namespace VARIANT
}  // namespace chainrule
