// Convolution with one input channel a group: every channel slides alone, so vectors run across the F outputs.
// Where F = multiplier · C, a row of C channels is repeated to F and the input gradient adds the outputs of a channel up.
#pragma once
#include "rows.hpp"
#include "windows.hpp"

namespace chainrule {
namespace VARIANT {

/// One side of the sliding product: where each position's taps lie, and how the weights are read.
struct Side {
  const Windows& g;
  bool forward;     // positions are windows and rows are cells, or the other way round
  Index positions;  // of one image
  const int32_t* order;  // positions so that neighbours use the same taps; null for their own order

  Index position(Index r) const { return order == nullptr ? r : order[r]; }
  Index width() const { return forward ? g.ow : g.w; }
  /// The row (window or cell) of another image that tap (p, q) of position (y, x) sees, or -1.
  Index seen(Index y, Index x, Index p, Index q) const { return forward ? g.cell(y, x, p, q) : g.window(y, x, p, q); }
};

// to[c · times + i] = from[c].
inline void repeatRow(float* to, const float* from, Index channels, Index times) {
  for (Index c = 0; c < channels; c++)
    for (Index i = 0; i < times; i++) *to++ = from[c];
}

// y[position] = Σ over taps of the row seen · the tap's weights: forward, or the input gradient.
inline void depthwise(const Side& s, const float* x, const float* w, float* y, Index f) {
  const Windows& g = s.g;
  Index channels = g.c, times = f / channels, taps = g.taps(), total = g.n * s.positions;
  Index imageRows = s.forward ? g.h * g.w : g.oh * g.ow, each = most(1, 8192 / most(1, f));
  Index in = s.forward ? channels : f, out = s.forward ? f : channels;
  bool spread = s.forward && times > 1, fold = !s.forward && times > 1;
  parallelFor(divideUp(total, each), total * taps * f / 4, [&](Index chunk) {
    Index end = least(total, (chunk + 1) * each);
    const float** rows = scratchOf<const float*>(TILE, 2 * taps);
    const float** weights = rows + taps;
    float* wide = scratchOf<float>(EDGE, (spread ? taps : 1) * f);
    for (Index r = chunk * each; r < end; r++) {
      Index at = r % s.positions, top = at / s.width(), left = at % s.width(), used = 0;
      for (Index p = 0; p < g.kh; p++) {
        for (Index q = 0; q < g.kw; q++) {
          Index row = s.seen(top, left, p, q);
          if (row < 0) continue;
          rows[used] = x + (r / s.positions * imageRows + row) * in;
          if (spread) {
            repeatRow(wide + used * f, rows[used], channels, times);
            rows[used] = wide + used * f;
          }
          weights[used++] = w + (p * g.kw + q) * f;
        }
      }
      float* to = fold ? wide : y + r * out;
      eachVector(f, [&](Index c, Index n) {
        F sum = {};
        if (n == W)
          for (Index t = 0; t < used; t++) sum += loadF(rows[t] + c) * loadF(weights[t] + c);
        else
          for (Index t = 0; t < used; t++) sum += loadPart(rows[t] + c, n) * loadPart(weights[t] + c, n);
        storeUpTo(to + c, sum, n);
      });
      if (!fold) continue;
      for (Index c = 0; c < channels; c++) {
        float sum = 0;
        for (Index i = 0; i < times; i++) sum += wide[c * times + i];
        y[r * out + c] = sum;
      }
    }
  });
}

// result[tap][F] += Σ over positions [first, end) of the row seen · ct; short runs are summed apart.
inline void depthwiseFilter(const Windows& g, const float* x, const float* ct, Index first, Index end, float* result,
                            Index f) {
  constexpr Index RUN = 256;
  Index channels = g.c, times = f / channels, size = g.taps() * f, places = g.oh * g.ow;
  float* sums = scratchOf<float>(TILE, size + f);
  float* wide = sums + size;
  for (Index r0 = first; r0 < end; r0 += RUN) {
    zeroBytes(sums, size * 4);
    for (Index r = r0; r < least(end, r0 + RUN); r++) {
      Index i = r % places / g.ow, j = r % g.ow;
      const float *image = x + r / places * g.h * g.w * channels, *right = ct + r * f;
      for (Index p = 0; p < g.kh; p++) {
        for (Index q = 0; q < g.kw; q++) {
          Index cell = g.cell(i, j, p, q);
          if (cell < 0) continue;
          const float* left = image + cell * channels;
          if (times > 1) {
            repeatRow(wide, left, channels, times);
            left = wide;
          }
          float* to = sums + (p * g.kw + q) * f;
          for (Index c = 0; c < f; c++) to[c] += left[c] * right[c];
        }
      }
    }
    for (Index i = 0; i < size; i++) result[i] += sums[i];
  }
}

}  // namespace VARIANT
}  // namespace chainrule
