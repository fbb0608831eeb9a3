// Convolution by windows that are read where they lie: neighbouring results of a row are the rows of a register tile.
#pragma once
#include "ending.hpp"
#include "gemm.hpp"
#include "windows.hpp"

namespace chainrule {
namespace VARIANT {

// A short copy: no call for the few floats of a narrow image.
ALWAYS_INLINE void copyFloats(float* to, const float* from, Index n) {
  if (n >= 64) return copyBytes(to, from, n * 4);
  Index i = 0;
  for (; i + W <= n; i += W) store(to + i, loadF(from + i));
  for (; i < n; i++) to[i] = from[i];
}

// Sum over runs of neighbouring floats of the rows of windows, `step` floats apart, times a panel of filters.
template <int ROWS, int VECTORS>
void windowTile(Index runs, Index run, const Index* offsets, const float* a, Index step, const float* b, float* c,
                Index cRow) {
  F sum[ROWS][VECTORS] = {};
  for (Index t = 0; t < runs; t++) {
    const float* left = a + offsets[t];
    for (Index p = 0; p < run; p++, left++, b += VECTORS * W) {
      F right[VECTORS];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) right[v] = loadF(b + v * W);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; i++) {
        F value = splat(left[i * step]);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) sum[i][v] += value * right[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) store(c + i * cRow + v * W, sum[i][v]);
}
typedef void (*WindowTile)(Index runs, Index run, const Index* offsets, const float* a, Index step, const float* b,
                           float* c, Index cRow);
inline WindowTile windowTileFor(Index rows, bool wide) {
#define BOTH(r) \
  { windowTile<(r <= MR ? r : MR), 1>, windowTile<(r <= MR ? r : MR), 2> }
  static const WindowTile kernels[][2] = {BOTH(1), BOTH(2), BOTH(3), BOTH(4),  BOTH(5),  BOTH(6),
                                          BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12)};
#undef BOTH
  return kernels[rows - 1][wide];
}

/// The windows of a row of results are read where they lie, or from a copy with its padding.
inline void convRows(const Windows& g, const float* x, const float* w, float* y, Index f, const Ending& ending) {
  Index depth = g.taps() * g.c, strips = divideUp(f, NR);
  float* panels = scratchOf<float>(SHARED, strips * depth * NR);
  for (Index j = 0; j < f; j += NR)
    packB(panels + j * depth, {w + j, 1, f}, least(NR, f - j), f - j > W ? NR : W, depth);
  constexpr Index POSITIONS = 16 * MR;  // of a chunk, in whole rows
  Index lines = least(g.oh, divideUp(POSITIONS, g.ow)), bands = divideUp(g.oh, lines);
  Index columns = (g.ow - 1) * g.sw + (g.kw - 1) * g.dw + 1, reach = (g.kh - 1) * g.dh + 1;
  Index blocks = divideUp(g.ow, MR), width = divideUp(g.ow, blocks);
  // Taps side by side in the image are one run.
  Index tapRuns = g.dw == 1 ? 1 : g.kw, run = depth / (g.kh * tapRuns), total = g.n * g.oh * g.ow;
  parallelFor(g.n * bands, total * depth * f / 16, [&](Index task) {
    Index image = task / bands, i0 = task % bands * lines, i1 = least(g.oh, i0 + lines);
    Index y0 = i0 * g.sh - g.top, rows = (i1 - i0 - 1) * g.sh + reach, line = g.w * g.c;
    const float* band = x + image * g.h * line + y0 * line - g.left * g.c;
    Index* offsets = scratchOf<Index>(EDGE, g.kh * tapRuns);
    if (y0 < 0 || y0 + rows > g.h || g.left > 0 || columns - g.left > g.w) {
      line = columns * g.c;
      float* copy = scratchOf<float>(TILE, rows * line);
      Index begin = least(columns, g.left), end = most(begin, least(columns, g.left + g.w));
      for (Index r = 0; r < rows; r++) {
        float* to = copy + r * line;
        if (y0 + r < 0 || y0 + r >= g.h) {
          zeroBytes(to, line * 4);
          continue;
        }
        zeroBytes(to, begin * g.c * 4);
        copyFloats(to + begin * g.c, band + (r * g.w + begin) * g.c, (end - begin) * g.c);
        zeroBytes(to + end * g.c, (columns - end) * g.c * 4);
      }
      band = copy;
    }
    for (Index p = 0; p < g.kh; p++)
      for (Index q = 0; q < tapRuns; q++) offsets[p * tapRuns + q] = p * g.dh * line + q * g.dw * g.c;
    for (Index i = i0; i < i1; i++) {
      for (Index j = 0; j < g.ow; j += width) {
        Index count = least(width, g.ow - j);
        const float* a = band + (i - i0) * g.sh * line + j * g.sw * g.c;
        float* to = y + ((image * g.oh + i) * g.ow + j) * f;
        for (Index s = 0; s < f; s += NR) {
          Index wide = least(NR, f - s), padded = wide > W ? NR : W;
          float edge[MR * NR];
          bool part = wide != padded;
          windowTileFor(count, wide > W)(g.kh * tapRuns, run, offsets, a, g.sw * g.c, panels + s * depth,
                                         part ? edge : to + s, part ? NR : f);
          for (Index r = 0; part && r < count; r++) copyFloats(to + r * f + s, edge + r * NR, wide);
        }
      }
    }
    ending.run((image * g.oh + i0) * g.ow * f, (i1 - i0) * g.ow * f);
  });
}

}  // namespace VARIANT
}  // namespace chainrule
