// Convolution of images [N, H, W, C] with kernels [KH, KW, C/groups, F] and its two adjoints, as products without an im2col buffer:
// rows of the left operand are pointers into the images.
#include "gemm.hpp"
#include "kernels.hpp"
#include "rows.hpp"
#include "windows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index BLOCK = 8 * MR;      // positions of one chunk
constexpr Index TILE_ROWS = 256;     // positions whose patches are laid out at a time for the filter gradient
constexpr Index SHARDS = 8;          // parts of the batch summed apart, then in order
constexpr Index SHARD_FLOATS = 1 << 22;

/// One side of the sliding product: where each position's taps lie, and how the weights are read.
struct Side {
  const Windows& g;
  bool forward;     // positions are windows and rows are cells, or the other way round
  Index positions;  // of one image
  const int32_t* order;  // positions so that neighbours use the same taps; null for their own order

  Index position(Index r) const { return order == nullptr ? r : order[r]; }
  /// The row (window or cell) of another image that tap (p, q) of a position sees, or -1.
  Index seen(Index at, Index p, Index q) const {
    Index width = forward ? g.ow : g.w;
    return forward ? g.cell(at / width, at % width, p, q) : g.window(at / width, at % width, p, q);
  }
};

// Sum over taps t and k < depth of rows[t][i][k] · b[tap t][k][columns], for ROWS positions at once.
template <int ROWS, int VECTORS>
void tapTile(Index taps, const float* const* rows, const int32_t* tap, Index depth, const float* b, float* out,
             Index outRow) {
  F sum[ROWS][VECTORS] = {};
  for (Index t = 0; t < taps; t++) {
    const float* right = b + tap[t] * depth * VECTORS * W;
    const float* const* left = rows + t * MR;
    for (Index k = 0; k < depth; k++, right += VECTORS * W) {
      F v[VECTORS];
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) v[j] = loadF(right + j * W);
#pragma GCC unroll 16
      for (int i = 0; i < ROWS; i++) {
        F a = splat(left[i][k]);
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) sum[i][j] += a * v[j];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) store(out + i * outRow + j * W, sum[i][j]);
}

// Finds the taps that any of `count` ≤ MR positions uses, and their rows; positions without a tap read zeros.
Index findTaps(const Side& s, Index first, Index count, const float* x, Index rowFloats, Index imageRows,
               const float* zeros, const float** rows, int32_t* tap) {
  Index used = 0, at[MR], image[MR];
  for (Index i = 0; i < count; i++) {
    at[i] = s.position((first + i) % s.positions);
    image[i] = (first + i) / s.positions * imageRows;
  }
  for (Index p = 0; p < s.g.kh; p++) {
    for (Index q = 0; q < s.g.kw; q++) {
      bool any = false;
      for (Index i = 0; i < MR; i++) {
        Index row = i < count ? s.seen(at[i], p, q) : -1;
        any = any || row >= 0;
        rows[used * MR + i] = row < 0 ? zeros : x + (image[i] + row) * rowFloats;
      }
      if (any) tap[used++] = static_cast<int32_t>(p * s.g.kw + q);
    }
  }
  return used;
}

// y[position][columns] = Σ over taps x[row seen] · weights, for one group. `pack(tap)` gives the weights of a tap.
template <class Weights>
void slide(const Side& s, const float* x, Index rowFloats, Index imageRows, float* y, Index outFloats, Index depth,
           Index columns, Weights weightsOf) {
  Index taps = s.g.taps(), strips = divideUp(columns, NR);
  float* panel = scratchOf<float>(SHARED, strips * taps * depth * NR);
  for (Index strip = 0; strip < strips; strip++) {
    Index width = least(NR, columns - strip * NR), padded = width > W ? NR : W;
    for (Index t = 0; t < taps; t++) {
      Matrix w = weightsOf(t);
      w.data += strip * NR * w.outer;
      packB(panel + (strip * taps * NR + t * padded) * depth, w, width, padded, depth);
    }
  }
  Index total = s.g.n * s.positions;
  parallelFor(divideUp(total, BLOCK), total * taps * depth * columns / 16 + total * taps, [&](Index chunk) {
    const float** rows = scratchOf<const float*>(TILE, taps * (MR + 1) + depth);
    int32_t* tap = reinterpret_cast<int32_t*>(rows + taps * MR);
    float* zeros = reinterpret_cast<float*>(rows + taps * (MR + 1));
    zeroBytes(zeros, depth * 4);
    float out[MR * NR];
    Index end = least(total, (chunk + 1) * BLOCK);
    for (Index first = chunk * BLOCK; first < end; first += MR) {
      Index count = least(MR, end - first);
      Index used = findTaps(s, first, count, x, rowFloats, imageRows, zeros, rows, tap);
      for (Index strip = 0; strip < strips; strip++) {
        Index width = least(NR, columns - strip * NR);
        const float* b = panel + strip * taps * NR * depth;
        if (width > W) tapTile<MR, 2>(used, rows, tap, depth, b, out, NR);
        else tapTile<MR, 1>(used, rows, tap, depth, b, out, NR);
        for (Index i = 0; i < count; i++) {
          Index r = first + i;
          float* to = y + (r / s.positions * s.positions + s.position(r % s.positions)) * outFloats + strip * NR;
          copyBytes(to, out + i * NR, width * 4);
        }
      }
    }
  });
}

// One channel a group: every channel slides alone, so vectors run across channels.
void slideChannels(const Side& s, const float* x, Index imageRows, const float* w, float* y) {
  Index channels = s.g.c, total = s.g.n * s.positions, each = most(1, 8192 / most(1, channels));
  parallelFor(divideUp(total, each), total * s.g.taps() * channels / 4, [&](Index chunk) {
    Index end = least(total, (chunk + 1) * each);
    for (Index r = chunk * each; r < end; r++) {
      Index at = r % s.positions, image = r / s.positions * imageRows;
      for (Index c = 0; c < channels; c += W) {
        F sum = {};
        for (Index p = 0; p < s.g.kh; p++) {
          for (Index q = 0; q < s.g.kw; q++) {
            Index row = s.seen(at, p, q);
            if (row < 0) continue;
            Index n = channels - c;
            sum += loadUpTo(x + (image + row) * channels + c, n) * loadUpTo(w + (p * s.g.kw + q) * channels + c, n);
          }
        }
        storeUpTo(y + r * channels + c, sum, channels - c);
      }
    }
  });
}

// Cells ordered by their phase in the strides: neighbours are reached by the same taps.
const int32_t* phaseOrder(const Windows& g) {
  if (g.sh == 1 && g.sw == 1) return nullptr;
  int32_t* order = scratchOf<int32_t>(EDGE, g.h * g.w);
  Index n = 0;
  for (Index ph = 0; ph < least(g.sh, g.h); ph++)
    for (Index pw = 0; pw < least(g.sw, g.w); pw++)
      for (Index y = ph; y < g.h; y += g.sh)
        for (Index x = pw; x < g.w; x += g.sw) order[n++] = static_cast<int32_t>(y * g.w + x);
  return order;
}

// Patches of positions [first, first + count), one row of taps · depth floats each, for channels [c0, c0 + depth).
void layPatches(const Windows& g, const float* x, Index first, Index count, Index c0, Index depth, float* out) {
  Index places = g.oh * g.ow;
  for (Index r = first; r < first + count; r++) {
    const float* image = x + r / places * g.h * g.w * g.c + c0;
    Index at = r % places;
    for (Index p = 0; p < g.kh; p++) {
      for (Index q = 0; q < g.kw; q++, out += depth) {
        Index cell = g.cell(at / g.ow, at % g.ow, p, q);
        if (cell < 0) zeroBytes(out, depth * 4);
        else copyBytes(out, image + cell * g.c, depth * 4);
      }
    }
  }
}

}  // namespace

// Equals conv of src/engine/ops/conv.ts. params: windows (windows.hpp), F, groups. Operands: x, w, y.
void conv(const Call& c) {
  Windows g(c.params);
  Index f = c.params[Windows::WORDS], groups = c.params[Windows::WORDS + 1];
  const float *x = c.at<float>(0), *w = c.at<float>(1);
  Side side = {g, true, g.oh * g.ow, nullptr};
  if (groups > 1 && groups == g.c && groups == f) return slideChannels(side, x, g.h * g.w, w, c.at<float>(2));
  Index depth = g.c / groups, columns = f / groups;
  for (Index k = 0; k < groups; k++)
    slide(side, x + k * depth, g.c, g.h * g.w, c.at<float>(2) + k * columns, f, depth, columns,
          [&](Index tap) { return Matrix{w + tap * depth * f + k * columns, 1, f}; });
}

// Equals convInput of src/engine/ops/conv.ts. params as conv. Operands: ct, w, result.
void convInput(const Call& c) {
  Windows g(c.params);
  Index f = c.params[Windows::WORDS], groups = c.params[Windows::WORDS + 1];
  const float *ct = c.at<float>(0), *w = c.at<float>(1);
  Side side = {g, false, g.h * g.w, nullptr};
  if (groups > 1 && groups == g.c && groups == f) return slideChannels(side, ct, g.oh * g.ow, w, c.at<float>(2));
  side.order = phaseOrder(g);
  Index depth = f / groups, columns = g.c / groups;
  for (Index k = 0; k < groups; k++)
    slide(side, ct + k * depth, f, g.oh * g.ow, c.at<float>(2) + k * columns, g.c, depth, columns,
          [&](Index tap) { return Matrix{w + tap * columns * f + k * depth, f, 1}; });
}

// Equals convFilter of src/engine/ops/conv.ts. params as conv. Operands: x, ct, result.
// Shards of the positions are summed apart and joined in order, so that threads do not matter.
void convFilter(const Call& c) {
  Windows g(c.params);
  Index f = c.params[Windows::WORDS], groups = c.params[Windows::WORDS + 1];
  Index depth = g.c / groups, columns = f / groups, taps = g.taps();
  Index positions = g.n * g.oh * g.ow, size = taps * depth * f;
  Index shards = most(1, least(least(SHARDS, positions / TILE_ROWS), SHARD_FLOATS / most(1, size)));
  Index each = divideUp(positions, shards);
  float* y = c.at<float>(2);
  float* parts = shards == 1 ? y : scratchOf<float>(EDGE, shards * size);
  zeroBytes(parts, shards * size * 4);
  parallelFor(shards, positions * size / 16, [&](Index shard) {
    Index rows = taps * depth, end = least(positions, (shard + 1) * each);
    float* tile = scratchOf<float>(TILE, TILE_ROWS * rows);
    for (Index first = shard * each; first < end; first += TILE_ROWS) {
      Index count = least(TILE_ROWS, end - first);
      for (Index k = 0; k < groups; k++) {
        layPatches(g, c.at<float>(0), first, count, k * depth, depth, tile);
        Matrix b = {c.at<float>(1) + first * f + k * columns, 1, f};
        gemm(rows, columns, count, {tile, 1, rows}, b, parts + shard * size + k * columns, f, true);
      }
    }
  });
  if (shards == 1) return;
  parallelFor(divideUp(size, 4096), size * shards, [&](Index chunk) {
    for (Index i = chunk * 4096; i < least(size, (chunk + 1) * 4096); i++) {
      double total = 0;
      for (Index shard = 0; shard < shards; shard++) total += parts[shard * size + i];
      y[i] = static_cast<float>(total);
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
