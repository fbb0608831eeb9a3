// Pooling of images [N, H, W, C]: maximum and mean of windows with their adjoints, vectors across channels.
#include "kernels.hpp"
#include "rows.hpp"
#include "windows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

// The cells a window sees: pooling has no dilation, so they are a rectangle.
struct Seen {
  Index top, bottom, left, right, width;

  Seen(const Windows& g, Index i, Index j) : width(g.w) {
    Index y = i * g.sh - g.top, x = j * g.sw - g.left;
    top = most(0, y), bottom = least(g.h, y + g.kh), left = most(0, x), right = least(g.w, x + g.kw);
  }
  Index count() const { return most(0, bottom - top) * most(0, right - left); }
  /// Calls fn(cell) for each, in order.
  template <class Fn>
  ALWAYS_INLINE void each(Fn fn) const {
    for (Index y = top; y < bottom; y++)
      for (Index x = left; x < right; x++) fn(y * width + x);
  }
};

// The first maximum of a window for W channels: its value, and the cell it is in.
ALWAYS_INLINE F firstMaximum(const Seen& seen, const float* image, Index channels, Index count, I& place) {
  F best = {};
  I found = splatI(-1);
  seen.each([&](Index cell) {
    F v = loadUpTo(image + cell * channels, count);
    I wins = (found < 0) | (v > best) | ((v != v) & (best == best));
    best = select(wins, v, best);
    found = select(wins, splatI(static_cast<int32_t>(cell)), found);
  });
  place = found;
  return best;
}

// Runs fn(image number, window row, window column, cells seen) for all windows.
template <class Fn>
void overWindows(const Windows& g, Fn fn) {
  Index rows = g.n * g.oh;
  parallelFor(rows, rows * g.ow * g.c * g.taps() / 2, [&](Index row) {
    for (Index j = 0; j < g.ow; j++) fn(row / g.oh, row % g.oh, j, Seen(g, row % g.oh, j));
  });
}

Index image(const Windows& g, Index n) { return n * g.h * g.w * g.c; }
Index pooled(const Windows& g, Index n, Index i, Index j) { return ((n * g.oh + i) * g.ow + j) * g.c; }

// Cells a window sees, or all of its taps.
float shareOf(const Windows& g, bool countPadding, Index i, Index j) {
  return 1.0f / static_cast<float>(countPadding ? g.taps() : Seen(g, i, j).count());
}

}  // namespace

// Equals maxPool of src/engine/ops/pool.ts. params: windows (windows.hpp). Operands: x, y.
void maxPool(const Call& c) {
  Windows g(c.params);
  overWindows(g, [&](Index n, Index i, Index j, const Seen& seen) {
    const float* x = c.at<float>(0) + image(g, n);
    float* y = c.at<float>(1) + pooled(g, n, i, j);
    eachVector(g.c, [&](Index channel, Index count) {
      I place;
      storeUpTo(y + channel, firstMaximum(seen, x + channel, g.c, count, place), count);
    });
  });
}

// Equals maxPoolGather of src/engine/ops/pool.ts. params: windows. Operands: x, v, y.
void maxPoolGather(const Call& c) {
  Windows g(c.params);
  overWindows(g, [&](Index n, Index i, Index j, const Seen& seen) {
    const float *x = c.at<float>(0) + image(g, n), *v = c.at<float>(1) + image(g, n);
    float* y = c.at<float>(2) + pooled(g, n, i, j);
    eachVector(g.c, [&](Index channel, Index count) {
      I place;
      firstMaximum(seen, x + channel, g.c, count, place);
      for (Index k = 0; k < count; k++) y[channel + k] = v[place[k] * g.c + channel + k];
    });
  });
}

// Equals maxPoolScatter of src/engine/ops/pool.ts. params: windows. Operands: x, ct, y.
void maxPoolScatter(const Call& c) {
  Windows g(c.params);
  // Windows side by side: each row of them owns the rows of cells down to the next one's, writes each of its cells
  // once, and clears those between the windows.
  if (g.sh >= g.kh && g.sw >= g.kw) {
    bool covered = g.sh == g.kh && g.sw == g.kw;
    Index line = g.w * g.c, right = most(0, g.ow * g.sw - g.left);  // the first column behind the windows
    parallelFor(g.n * g.oh, g.n * g.oh * g.ow * g.c * g.taps(), [&](Index row) {
      Index n = row / g.oh, i = row % g.oh, top = i * g.sh - g.top;
      const float* x = c.at<float>(0) + image(g, n);
      float* y = c.at<float>(2) + image(g, n);
      Index end = i == g.oh - 1 ? g.h : least(g.h, top + g.sh);
      for (Index r = i == 0 ? 0 : most(0, top); r < end; r++) {
        Index from = covered && r < top + g.kh ? right : 0;
        if (from < g.w) zeroBytes(y + r * line + from * g.c, (g.w - from) * g.c * 4);
      }
      for (Index j = 0; j < g.ow; j++) {
        Seen seen(g, i, j);
        const float* ct = c.at<float>(1) + pooled(g, n, i, j);
        eachVector(g.c, [&](Index channel, Index count) {
          I place;
          firstMaximum(seen, x + channel, g.c, count, place);
          F v = loadUpTo(ct + channel, count);
          seen.each([&](Index cell) {
            storeUpTo(y + cell * g.c + channel, select(place == static_cast<int32_t>(cell), v, F{}), count);
          });
        });
      }
    });
    return;
  }
  // Windows that overlap add in order: a chunk owns some channels of one image.
  Index wide = g.n >= 16 ? divideUp(g.c, W) * W : W, strips = divideUp(g.c, most(1, wide));
  parallelFor(g.n * strips, g.n * g.oh * g.ow * g.c * g.taps(), [&](Index task) {
    Index n = task / strips, first = task % strips * wide, width = least(g.c - first, wide);
    const float *x = c.at<float>(0) + image(g, n) + first, *v = c.at<float>(1) + first;
    float* y = c.at<float>(2) + image(g, n) + first;
    for (Index cell = 0; cell < g.h * g.w; cell++) zeroBytes(y + cell * g.c, width * 4);
    for (Index i = 0; i < g.oh; i++) {
      for (Index j = 0; j < g.ow; j++) {
        Seen seen(g, i, j);
        const float* ct = v + pooled(g, n, i, j);
        eachVector(width, [&](Index channel, Index count) {
          I place;
          firstMaximum(seen, x + channel, g.c, count, place);
          F add = loadUpTo(ct + channel, count);
          seen.each([&](Index cell) {
            float* at = y + cell * g.c + channel;
            storeUpTo(at, loadUpTo(at, count) + select(place == static_cast<int32_t>(cell), add, F{}), count);
          });
        });
      }
    }
  });
}

// Equals avgPool of src/engine/ops/pool.ts. params: windows, count padding. Operands: x, y.
void avgPool(const Call& c) {
  Windows g(c.params);
  bool countPadding = c.params[Windows::WORDS] != 0;
  overWindows(g, [&](Index n, Index i, Index j, const Seen& seen) {
    const float* x = c.at<float>(0) + image(g, n);
    float *y = c.at<float>(1) + pooled(g, n, i, j), share = shareOf(g, countPadding, i, j);
    eachVector(g.c, [&](Index channel, Index count) {
      F sum = {};
      seen.each([&](Index cell) { sum += loadUpTo(x + cell * g.c + channel, count); });
      storeUpTo(y + channel, sum * share, count);
    });
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
