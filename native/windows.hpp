// The geometry of windows over images [N, H, W, C], as src/engine/ops/window.ts walks them.
#pragma once
#include "base.hpp"

namespace chainrule {
namespace VARIANT {

/// params: N, H, W, C, KH, KW, OH, OW, strides (2), padding before (2), dilation (2).
struct Windows {
  Index n, h, w, c, kh, kw, oh, ow, sh, sw, top, left, dh, dw;
  static constexpr int WORDS = 14;

  explicit Windows(const int32_t* p)
      : n(p[0]), h(p[1]), w(p[2]), c(p[3]), kh(p[4]), kw(p[5]), oh(p[6]), ow(p[7]), sh(p[8]), sw(p[9]), top(p[10]),
        left(p[11]), dh(p[12]), dw(p[13]) {}

  Index taps() const { return kh * kw; }

  /// The cell that tap (p, q) of window (i, j) sees, or -1 in the padding.
  Index cell(Index i, Index j, Index p, Index q) const {
    Index y = i * sh - top + p * dh, x = j * sw - left + q * dw;
    return y >= 0 && y < h && x >= 0 && x < w ? y * w + x : -1;
  }
  /// The window whose tap (p, q) sees cell (y, x), or -1.
  Index window(Index y, Index x, Index p, Index q) const {
    Index i = y + top - p * dh, j = x + left - q * dw;
    if (i < 0 || j < 0 || i % sh != 0 || j % sw != 0) return -1;
    i /= sh;
    j /= sw;
    return i < oh && j < ow ? i * ow + j : -1;
  }
};

}  // namespace VARIANT
}  // namespace chainrule
