// Pooling of images [N, H, W, C]: maximum and mean of windows with their adjoints, vectors across channels.
#include "kernels.hpp"
#include "rows.hpp"
#include "windows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

// The first maximum of a window for W channels: its value, and the cell it is in.
ALWAYS_INLINE F firstMaximum(const Windows& g, const float* image, Index i, Index j, Index count, I& place) {
  F best = {};
  place = splatI(-1);
  for (Index p = 0; p < g.kh; p++) {
    for (Index q = 0; q < g.kw; q++) {
      Index cell = g.cell(i, j, p, q);
      if (cell < 0) continue;
      F v = loadUpTo(image + cell * g.c, count);
      I wins = (place < 0) | (v > best) | ((v != v) & (best == best));
      best = select(wins, v, best);
      place = select(wins, splatI(static_cast<int32_t>(cell)), place);
    }
  }
  return best;
}

// Runs fn(image number, window row, window column, first channel) for all vectors of the pooled result.
template <class Fn>
void overWindows(const Windows& g, Fn fn) {
  Index rows = g.n * g.oh;
  parallelFor(rows, rows * g.ow * g.c * g.taps() / 2, [&](Index row) {
    for (Index j = 0; j < g.ow; j++)
      for (Index c = 0; c < g.c; c += W) fn(row / g.oh, row % g.oh, j, c);
  });
}

Index image(const Windows& g, Index n) { return n * g.h * g.w * g.c; }
Index pooled(const Windows& g, Index n, Index i, Index j) { return ((n * g.oh + i) * g.ow + j) * g.c; }

// Cells a window sees, or all of its taps.
float shareOf(const Windows& g, bool countPadding, Index i, Index j) {
  Index count = 0;
  for (Index p = 0; p < g.kh; p++)
    for (Index q = 0; q < g.kw; q++) count += countPadding || g.cell(i, j, p, q) >= 0;
  return 1.0f / static_cast<float>(count);
}

}  // namespace

// Equals maxPool of src/engine/ops/pool.ts. params: windows (windows.hpp). Operands: x, y.
void maxPool(const Call& c) {
  Windows g(c.params);
  overWindows(g, [&](Index n, Index i, Index j, Index channel) {
    I place;
    Index count = g.c - channel;
    F best = firstMaximum(g, c.at<float>(0) + image(g, n) + channel, i, j, count, place);
    storeUpTo(c.at<float>(1) + pooled(g, n, i, j) + channel, best, count);
  });
}

// Equals maxPoolGather of src/engine/ops/pool.ts. params: windows. Operands: x, v, y.
void maxPoolGather(const Call& c) {
  Windows g(c.params);
  overWindows(g, [&](Index n, Index i, Index j, Index channel) {
    I place;
    Index count = least(W, g.c - channel);
    firstMaximum(g, c.at<float>(0) + image(g, n) + channel, i, j, count, place);
    const float* v = c.at<float>(1) + image(g, n) + channel;
    float* y = c.at<float>(2) + pooled(g, n, i, j) + channel;
    for (Index k = 0; k < count; k++) y[k] = v[place[k] * g.c + k];
  });
}

// Equals maxPoolScatter of src/engine/ops/pool.ts. params: windows. Operands: x, ct, y.
// A chunk owns some channels of one image: windows that overlap add in order.
void maxPoolScatter(const Call& c) {
  Windows g(c.params);
  Index strips = divideUp(g.c, W);
  parallelFor(g.n * strips, g.n * g.oh * g.ow * g.c * g.taps() / 2, [&](Index task) {
    Index n = task / strips, channel = task % strips * W, count = least(W, g.c - channel);
    float* y = c.at<float>(2) + image(g, n) + channel;
    for (Index cell = 0; cell < g.h * g.w; cell++) storeUpTo(y + cell * g.c, F{}, count);
    for (Index i = 0; i < g.oh; i++) {
      for (Index j = 0; j < g.ow; j++) {
        I place;
        firstMaximum(g, c.at<float>(0) + image(g, n) + channel, i, j, count, place);
        const float* ct = c.at<float>(1) + pooled(g, n, i, j) + channel;
        for (Index k = 0; k < count; k++) y[place[k] * g.c + k] += ct[k];
      }
    }
  });
}

// Equals avgPool of src/engine/ops/pool.ts. params: windows, count padding. Operands: x, y.
void avgPool(const Call& c) {
  Windows g(c.params);
  bool countPadding = c.params[Windows::WORDS] != 0;
  overWindows(g, [&](Index n, Index i, Index j, Index channel) {
    const float* x = c.at<float>(0) + image(g, n) + channel;
    Index count = g.c - channel;
    F sum = {};
    for (Index p = 0; p < g.kh; p++) {
      for (Index q = 0; q < g.kw; q++) {
        Index cell = g.cell(i, j, p, q);
        if (cell >= 0) sum += loadUpTo(x + cell * g.c, count);
      }
    }
    storeUpTo(c.at<float>(1) + pooled(g, n, i, j) + channel, sum * shareOf(g, countPadding, i, j), count);
  });
}

// Equals avgPoolSpread of src/engine/ops/pool.ts. params: windows, count padding. Operands: ct, y.
// Each cell collects from the windows that see it.
void avgPoolSpread(const Call& c) {
  Windows g(c.params);
  bool countPadding = c.params[Windows::WORDS] != 0;
  parallelFor(g.n * g.h, g.n * g.h * g.w * g.c * g.taps(), [&](Index row) {
    Index n = row / g.h, y = row % g.h;
    const float* ct = c.at<float>(0) + n * g.oh * g.ow * g.c;
    for (Index x = 0; x < g.w; x++) {
      float* to = c.at<float>(1) + (row * g.w + x) * g.c;
      for (Index channel = 0; channel < g.c; channel += W) {
        F sum = {};
        for (Index p = 0; p < g.kh; p++) {
          for (Index q = 0; q < g.kw; q++) {
            Index at = g.window(y, x, p, q);
            if (at < 0) continue;
            F v = loadUpTo(ct + at * g.c + channel, g.c - channel);
            sum += v * shareOf(g, countPadding, at / g.ow, at % g.ow);
          }
        }
        storeUpTo(to + channel, sum, g.c - channel);
      }
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
