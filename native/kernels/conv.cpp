// Convolution of images [N, H, W, C] with kernels [KH, KW, C/groups, F] and its two adjoints, without an im2col buffer:
// the images are read where they lie, through tiles (winograd.hpp), rows of windows or pointers to rows.
#include "depthwise.hpp"
#include "ending.hpp"
#include "gemm.hpp"
#include "kernels.hpp"
#include "window-rows.hpp"
#include "winograd.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index BLOCK = 8 * MR;      // positions of one chunk
constexpr Index TILE_ROWS = 256;     // positions whose patches are laid out at a time for the filter gradient
constexpr Index BAND_FLOATS = 1 << 15;  // products of a band of the input gradient with few channels
constexpr Index SHARDS = 8;          // parts of the batch summed apart, then in order
constexpr Index SHARD_FLOATS = 1 << 22;
constexpr Index TILED_FILTERS = 1 << 15;  // above it, the sums of sixteen points are too large for the caches

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
  Index used = 0, top[MR], left[MR], image[MR];
  for (Index i = 0; i < count; i++) {
    Index at = s.position((first + i) % s.positions);
    top[i] = at / s.width();
    left[i] = at % s.width();
    image[i] = (first + i) / s.positions * imageRows;
  }
  for (Index p = 0; p < s.g.kh; p++) {
    for (Index q = 0; q < s.g.kw; q++) {
      bool any = false;
      for (Index i = 0; i < MR; i++) {
        Index row = i < count ? s.seen(top[i], left[i], p, q) : -1;
        any = any || row >= 0;
        rows[used * MR + i] = row < 0 ? zeros : x + (image[i] + row) * rowFloats;
      }
      if (any) tap[used++] = static_cast<int32_t>(p * s.g.kw + q);
    }
  }
  return used;
}

// y[position][columns] = Σ over taps x[row seen] · weights, for one group. weightsOf(tap) gives the weights of a tap. An
// ending needs positions in their own order and outFloats = columns.
template <class Weights>
void slide(const Side& s, const float* x, Index rowFloats, Index imageRows, float* y, Index outFloats, Index depth,
           Index columns, Weights weightsOf, const Ending& ending) {
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
    ending.run(chunk * BLOCK * columns, (end - chunk * BLOCK) * columns);
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
  Index places = g.oh * g.ow, image = first / places, i = first % places / g.ow, j = first % g.ow;
  // Taps of a row of the kernel that lie side by side in the image are copied at once.
  bool whole = g.dw == 1 && depth == g.c;
  Index runs = whole ? 1 : g.kw, run = whole ? g.kw * depth : depth;
  for (Index r = 0; r < count; r++) {
    const float* from = x + image * g.h * g.w * g.c + c0;
    Index y = i * g.sh - g.top, left = j * g.sw - g.left;
    bool inside = y >= 0 && left >= 0 && y + (g.kh - 1) * g.dh < g.h && left + (g.kw - 1) * g.dw < g.w;
    if (inside) {
      const float* corner = from + (y * g.w + left) * g.c;
      for (Index p = 0; p < g.kh; p++)
        for (Index q = 0; q < runs; q++, out += run) copyFloats(out, corner + (p * g.dh * g.w + q * g.dw) * g.c, run);
    } else {
      for (Index p = 0; p < g.kh; p++) {
        for (Index q = 0; q < g.kw; q++, out += depth) {
          Index cell = g.cell(i, j, p, q);
          if (cell < 0) zeroBytes(out, depth * 4);
          else copyFloats(out, from + cell * g.c, depth);
        }
      }
    }
    if (++j < g.ow) continue;
    j = 0;
    if (++i < g.oh) continue;
    i = 0;
    image++;
  }
}

// The input gradient with few channels: the products of bands of windows with all taps at once, columns taps × C, are
// gathered by the cells. A band is some rows of one image's cells.
void gatherTaps(const Windows& g, const float* ct, const float* w, float* y, Index f) {
  Index wide = g.taps() * g.c, padded = divideUp(wide, W) * W;
  Index reach = (g.kh - 1) * g.dh, band = least(g.h, most(2 * reach + 1, BAND_FLOATS / most(1, g.ow * padded) * g.sh));
  Index bands = divideUp(g.h, band);
  float* right = scratchOf<float>(EDGE, f * padded);
  zeroBytes(right, f * padded * 4);
  for (Index t = 0; t < g.taps(); t++)
    for (Index c = 0; c < g.c; c++)
      for (Index k = 0; k < f; k++) right[k * padded + t * g.c + c] = w[(t * g.c + c) * f + k];
  parallelFor(g.n * bands, g.n * g.oh * g.ow * f * padded / 16, [&](Index task) {
    Index image = task / bands, y0 = task % bands * band, y1 = least(g.h, y0 + band);
    // Rows of windows that reach one of the band's cells.
    Index low = most(0, y0 + g.top - reach), i0 = divideUp(low, g.sh), i1 = least(g.oh, (y1 - 1 + g.top) / g.sh + 1);
    Index rows = most(0, i1 - i0) * g.ow;
    float* products = scratchOf<float>(TILE, rows * padded + 1);
    const float* from = ct + (image * g.oh + i0) * g.ow * f;
    if (rows > 0) gemm(rows, padded, f, {from, f, 1}, {right, 1, padded}, products, padded, false);
    float* out = y + image * g.h * g.w * g.c;
    zeroBytes(out + y0 * g.w * g.c, (y1 - y0) * g.w * g.c * 4);
    for (Index cy = y0; cy < y1; cy++) {
      for (Index p = 0; p < g.kh; p++) {
        Index i = cy + g.top - p * g.dh;
        if (i < 0 || i % g.sh != 0 || i / g.sh >= g.oh) continue;
        const float* line = products + (i / g.sh - i0) * g.ow * padded;
        for (Index q = 0; q < g.kw; q++) {
          // Windows j whose tap sees a cell of this row: x = j · sw - left + q · dw.
          Index shift = q * g.dw - g.left, begin = shift >= 0 ? 0 : divideUp(-shift, g.sw);
          Index end = g.w > shift ? least(g.ow, (g.w - 1 - shift) / g.sw + 1) : 0;
          const float* part = line + (p * g.kw + q) * g.c;
          float* to = out + (cy * g.w + shift) * g.c;
          for (Index j = begin; j < end; j++)
            for (Index c = 0; c < g.c; c++) to[j * g.sw * g.c + c] += part[j * padded + c];
        }
      }
    }
  });
}

void forward(const Call& c, float* y, const Ending& ending) {
  Windows g(c.params);
  Index f = c.params[Windows::WORDS], groups = c.params[Windows::WORDS + 1], total = g.n * g.oh * g.ow * f;
  const float *x = c.at<float>(0), *w = c.at<float>(1);
  Side side = {g, true, g.oh * g.ow, nullptr};
  Index depth = g.c / groups, columns = f / groups;
  if (groups > 1 && groups == g.c) {
    depthwise(side, x, w, y, f);
    return ending.runAll(total);
  }
  if (groups == 1 && g.ow >= 4 && !tiled(g, depth, columns)) return convRows(g, x, w, y, f, ending);
  Ending inside = groups == 1 ? ending : Ending();
  Tiles tiles(g, true, g.c, depth);
  for (Index k = 0; k < groups; k++) {
    if (tiled(g, depth, columns))
      slideTiles<false>(tiles, x + k * depth, w + k * columns, f, y + k * columns, f, columns, inside);
    else
      slide(side, x + k * depth, g.c, g.h * g.w, y + k * columns, f, depth, columns,
            [&](Index tap) { return Matrix{w + tap * depth * f + k * columns, 1, f}; }, inside);
  }
  if (groups > 1) ending.runAll(total);
}

void inputGradient(const Call& c, float* y, const Ending& ending) {
  Windows g(c.params);
  Index f = c.params[Windows::WORDS], groups = c.params[Windows::WORDS + 1], total = g.n * g.h * g.w * g.c;
  const float *ct = c.at<float>(0), *w = c.at<float>(1);
  Side side = {g, false, g.h * g.w, nullptr};
  Index depth = f / groups, columns = g.c / groups;
  if (groups > 1 && groups == g.c) {
    depthwise(side, ct, w, y, f);
    return ending.runAll(total);
  }
  if (groups == 1 && g.taps() > 1 && divideUp(g.taps() * g.c, W) * 2 <= g.taps() * divideUp(g.c, W)) {
    gatherTaps(g, ct, w, y, f);
    return ending.runAll(total);
  }
  side.order = phaseOrder(g);
  bool apart = groups > 1 || side.order != nullptr;
  Ending inside = apart ? Ending() : ending;
  Tiles tiles(g, false, f, depth);
  for (Index k = 0; k < groups; k++) {
    if (tiled(g, depth, columns))
      slideTiles<true>(tiles, ct + k * depth, w + k * depth, f, y + k * columns, g.c, columns, inside);
    else
      slide(side, ct + k * depth, f, g.oh * g.ow, y + k * columns, g.c, depth, columns,
            [&](Index tap) { return Matrix{w + tap * columns * f + k * depth, f, 1}; }, inside);
  }
  if (apart) ending.runAll(total);
}

// A convolution and its ending: `c` has the params and the first two operands of the convolution, then which input of the loop
// program is its result, which result's memory holds it, the program; the other inputs of the program, its results.
template <class Product>
void withEnding(const Call& c, Product product) {
  const int32_t *words = c.params + Windows::WORDS + 2, *program = words + 2;
  Index reads = program[4];
  char* const* results = c.operands + 1 + reads;
  char* out = results[words[1]];
  char** operands = static_cast<char**>(__builtin_alloca(static_cast<size_t>(c.count) * sizeof(char*)));
  for (Index i = 0; i < reads; i++) operands[i] = i == words[0] ? out : c.operands[i < words[0] ? 2 + i : 1 + i];
  for (Index i = 0; results + i < c.operands + c.count; i++) operands[reads + i] = results[i];
  product(c, reinterpret_cast<float*>(out), Ending{program, operands});
}

}  // namespace

// Equals conv of src/engine/ops/conv.ts. params: windows (windows.hpp), F, groups. Operands: x, w, y.
void conv(const Call& c) { forward(c, c.at<float>(2), {}); }

// Equals convInput of src/engine/ops/conv.ts. params as conv. Operands: ct, w, result.
void convInput(const Call& c) { inputGradient(c, c.at<float>(2), {}); }

// Equal conv and convInput and a loop program on the result, as matmulLoop does matmul: params and operands are put
// together in the same way.
void convLoop(const Call& c) { withEnding(c, forward); }
void convInputLoop(const Call& c) { withEnding(c, inputGradient); }

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
  if (tiled(g, depth, columns) && depth * columns <= TILED_FILTERS) {
    Tiles tiles(g, true, g.c, depth);
    for (Index k = 0; k < groups; k++)
      filterTiles(tiles, c.at<float>(0) + k * depth, c.at<float>(1) + k * columns, f, y + k * columns, columns);
    return;
  }
  float* parts = shards == 1 ? y : scratchOf<float>(EDGE, shards * size);
  zeroBytes(parts, shards * size * 4);
  parallelFor(shards, positions * size / 16, [&](Index shard) {
    Index rows = taps * depth, end = least(positions, (shard + 1) * each);
    if (groups > 1 && groups == g.c)
      return depthwiseFilter(g, c.at<float>(0), c.at<float>(1), shard * each, end, parts + shard * size, f);
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
