// Convolution with 3 × 3 windows and steps of one by minimal filtering F(2 × 2, 3 × 3): sixteen products where the windows
// themselves take 36. Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2015); why: docs/decisions/0018.
#pragma once
#include "ending.hpp"
#include "gemm.hpp"
#include "rows.hpp"
#include "windows.hpp"

namespace chainrule {
namespace VARIANT {

constexpr Index POINTS = 16;  // products of a tile for each pair of channels

/// Images seen through tiles of 4 × 4 cells, one for each 2 × 2 results. Channels [0, depth) of `step` floats a cell.
struct Tiles {
  Index n, h, w, step, depth;  // what is read
  Index oh, ow;                // the results
  Index top, left;             // padding before
  Index rows, columns;         // tiles of an image

  Tiles(const Windows& g, bool forward, Index step, Index depth)
      : n(g.n), h(forward ? g.h : g.oh), w(forward ? g.w : g.ow), step(step), depth(depth), oh(forward ? g.oh : g.h),
        ow(forward ? g.ow : g.w), top(forward ? g.top : 2 - g.top), left(forward ? g.left : 2 - g.left),
        rows(divideUp(oh, 2)), columns(divideUp(ow, 2)) {}
  Index count() const { return n * rows * columns; }
};

/// Whether windows are of the kind that tiles serve, with channels enough to pay for the transforms.
inline bool tiled(const Windows& g, Index channels, Index filters) {
  bool plain = g.kh == 3 && g.kw == 3 && g.sh == 1 && g.sw == 1 && g.dh == 1 && g.dw == 1;
  return plain && channels >= 16 && filters >= 16;
}

// Calls fn(image, row of tiles, column of tiles, number) for tiles [first, first + count).
template <class Fn>
ALWAYS_INLINE void eachTile(const Tiles& t, Index first, Index count, Fn fn) {
  Index j = first % t.columns, i = first / t.columns % t.rows, n = first / (t.columns * t.rows);
  for (Index k = 0; k < count; k++) {
    fn(n, i, j, k);
    if (++j < t.columns) continue;
    j = 0;
    if (++i < t.rows) continue;
    i = 0;
    n++;
  }
}

// Bᵀ d B: to[point · step] from the sixteen cells of a tile.
template <class Cell>
ALWAYS_INLINE void seeTile(Cell cell, float* to, Index step) {
  F t[4][4];
#pragma GCC unroll 4
  for (int q = 0; q < 4; q++) {
    F d0 = cell(0, q), d1 = cell(1, q), d2 = cell(2, q), d3 = cell(3, q);
    t[0][q] = d0 - d2, t[1][q] = d1 + d2, t[2][q] = d2 - d1, t[3][q] = d3 - d1;
  }
#pragma GCC unroll 4
  for (int p = 0; p < 4; p++, to += 4 * step) {
    store(to, t[p][0] - t[p][2]);
    store(to + step, t[p][1] + t[p][2]);
    store(to + 2 * step, t[p][2] - t[p][1]);
    store(to + 3 * step, t[p][3] - t[p][1]);
  }
}

// The transformed cells of tiles [first, first + count): place(number, channel) says where a vector of channels goes.
template <class Place>
ALWAYS_INLINE void seeTiles(const Tiles& t, const float* x, Index first, Index count, Index step, Place place) {
  eachTile(t, first, count, [&](Index n, Index i, Index j, Index number) {
    Index y0 = 2 * i - t.top, x0 = 2 * j - t.left;
    const float* corner = x + ((n * t.h + y0) * t.w + x0) * t.step;
    Index line = t.w * t.step;
    bool inside = y0 >= 0 && x0 >= 0 && y0 + 4 <= t.h && x0 + 4 <= t.w;
    for (Index c = 0; c < t.depth; c += W) {
      Index channels = t.depth - c;
      if (inside && channels >= W) {
        seeTile([&](Index p, Index q) { return loadF(corner + p * line + q * t.step + c); }, place(number, c), step);
      } else {
        auto cell = [&](Index p, Index q) {
          bool there = y0 + p >= 0 && y0 + p < t.h && x0 + q >= 0 && x0 + q < t.w;
          return there ? loadUpTo(corner + p * line + q * t.step + c, channels) : F{};
        };
        seeTile(cell, place(number, c), step);
      }
    }
  });
}

// G g Gᵀ: value(point) of the sixteen from the nine taps.
template <class Tap, class Point>
ALWAYS_INLINE void seeFilter(Tap tap, Point point) {
  F t[4][3];
#pragma GCC unroll 3
  for (int q = 0; q < 3; q++) {
    F g0 = tap(0, q), g1 = tap(1, q), g2 = tap(2, q), sum = (g0 + g2) * 0.5f, half = g1 * 0.5f;
    t[0][q] = g0, t[1][q] = sum + half, t[2][q] = sum - half, t[3][q] = g2;
  }
#pragma GCC unroll 4
  for (int p = 0; p < 4; p++) {
    F sum = (t[p][0] + t[p][2]) * 0.5f, half = t[p][1] * 0.5f;
    point(4 * p, t[p][0]);
    point(4 * p + 1, sum + half);
    point(4 * p + 2, sum - half);
    point(4 * p + 3, t[p][2]);
  }
}

// Panels of the transformed filters: [strip of columns][point][depth][width]. Of the adjoint, depth is the filters, columns
// are the channels and taps run backwards.
template <bool ADJOINT>
void packFilters(const float* w, Index row, Index depth, Index columns, float* panels) {
  Index strips = divideUp(columns, NR), slices = divideUp(depth, W);
  parallelFor(strips * slices, depth * columns * 4, [&](Index task) {
    Index strip = task / slices, k0 = task % slices * W, wide = least(NR, columns - strip * NR);
    Index width = wide > W ? NR : W, ks = least(W, depth - k0);
    float* to = panels + strip * POINTS * depth * NR;
    for (Index v = 0; v < width; v += W) {
      Index column = strip * NR + v, count = most(0, columns - column);
      if (!ADJOINT) {
        for (Index k = k0; k < k0 + ks; k++)
          seeFilter([&](Index p, Index q) { return loadUpTo(w + ((p * 3 + q) * depth + k) * row + column, count); },
                    [&](Index point, F value) { store(to + (point * depth + k) * width + v, value); });
      } else {
        F blocks[POINTS][W] = {};
        for (Index c = 0; c < least(W, count); c++)
          seeFilter(
              [&](Index p, Index q) { return loadUpTo(w + ((8 - p * 3 - q) * columns + column + c) * row + k0, ks); },
              [&](Index point, F value) { blocks[point][c] = value; });
        for (Index point = 0; point < POINTS; point++) {
          transposeFrom<1>(blocks[point]);
          for (Index k = 0; k < ks; k++) store(to + (point * depth + k0 + k) * width + v, blocks[point][k]);
        }
      }
    }
  });
}

// C = A · B of MR rows; a holds W steps of depth of all rows, then the next W.
template <int VECTORS>
void pointTile(Index depth, const float* a, const float* b, float* c) {
  F sum[MR][VECTORS] = {};
  for (; depth > 0; depth -= W, a += MR * W) {
    Index steps = least(W, depth);
    for (Index p = 0; p < steps; p++, b += VECTORS * W) {
      F right[VECTORS];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) right[v] = loadF(b + v * W);
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) {
        F left = splat(a[i * W + p]);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) sum[i][v] += left * right[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) store(c + i * NR + v * W, sum[i][v]);
}

// Aᵀ m A: the 2 × 2 results of a tile from its sixteen products.
ALWAYS_INLINE void joinTile(const float* m, Index step, F y[2][2]) {
  F s[2][4];
#pragma GCC unroll 4
  for (int q = 0; q < 4; q++) {
    F m0 = loadF(m + q * step), m1 = loadF(m + (4 + q) * step), m2 = loadF(m + (8 + q) * step);
    s[0][q] = m0 + m1 + m2;
    s[1][q] = m1 - m2 + loadF(m + (12 + q) * step);
  }
#pragma GCC unroll 2
  for (int p = 0; p < 2; p++) {
    y[p][0] = s[p][0] + s[p][1] + s[p][2];
    y[p][1] = s[p][1] - s[p][2] + s[p][3];
  }
}

// Ends the results of tiles [first, first + count): in each row of cells they lie side by side.
inline void endTiles(const Tiles& t, Index first, Index count, Index columns, const Ending& ending) {
  if (ending.empty()) return;
  LoopRun run = ending.open();
  for (Index tile = first, next; tile < first + count; tile = next) {
    next = least(first + count, (tile / t.columns + 1) * t.columns);
    Index row = tile / t.columns, i = row % t.rows * 2, j = tile % t.columns * 2;
    Index cells = least(t.ow - j, 2 * (next - tile)), from = (row / t.rows * t.oh + i) * t.ow + j;
    run.run(from * columns, cells * columns);
    if (i + 1 < t.oh) run.run((from + t.ow) * columns, cells * columns);
  }
}

/// y[result][columns] of images x: forward with filters w[tap][depth][row], or the input gradient. An ending needs
/// yStep = columns.
template <bool ADJOINT>
void slideTiles(const Tiles& t, const float* x, const float* w, Index row, float* y, Index yStep, Index columns,
                const Ending& ending) {
  Index depth = t.depth, strips = divideUp(columns, NR), slices = divideUp(depth, W);
  float* panels = scratchOf<float>(SHARED, strips * POINTS * depth * NR);
  packFilters<ADJOINT>(w, row, depth, columns, panels);
  // As many tiles as leave the second-level cache room for a strip of the filters.
  Index each = depth <= 128 ? 48 : depth <= 256 ? 24 : 12, total = t.count();
  parallelFor(divideUp(total, each), total * depth * columns, [&](Index chunk) {
    Index first = chunk * each, count = least(each, total - first), blocks = divideUp(count, MR);
    Index blockFloats = slices * MR * W, seenStep = each / MR * blockFloats + W, productStep = MR * NR + W;
    float* seen = scratchOf<float>(TILE, POINTS * seenStep);
    float* products = scratchOf<float>(EDGE, POINTS * productStep);
    if (count < blocks * MR)
      for (Index p = 0; p < POINTS; p++)
        zeroBytes(seen + p * seenStep + (blocks - 1) * blockFloats, blockFloats * 4);
    seeTiles(t, x, first, count, seenStep, [&](Index number, Index c) {
      return seen + number / MR * blockFloats + c * MR + number % MR * W;
    });
    for (Index task = 0; task < strips * blocks; task++) {
      Index strip = task / blocks, block = task % blocks;
      Index wide = least(NR, columns - strip * NR), width = wide > W ? NR : W;
      for (Index p = 0; p < POINTS; p++) {
        const float* b = panels + (strip * NR * POINTS + p * width) * depth;
        const float* a = seen + p * seenStep + block * blockFloats;
        if (width == NR) pointTile<2>(depth, a, b, products + p * productStep);
        else pointTile<1>(depth, a, b, products + p * productStep);
      }
      eachTile(t, first + block * MR, least(MR, count - block * MR), [&](Index n, Index i, Index j, Index number) {
        float* to = y + ((n * t.oh + 2 * i) * t.ow + 2 * j) * yStep + strip * NR;
        bool below = 2 * i + 1 < t.oh, beside = 2 * j + 1 < t.ow;
        for (Index v = 0; v < wide; v += W) {
          F r[2][2];
          joinTile(products + number * NR + v, productStep, r);
          storeUpTo(to + v, r[0][0], wide - v);
          if (beside) storeUpTo(to + v + yStep, r[0][1], wide - v);
          if (below) storeUpTo(to + v + t.ow * yStep, r[1][0], wide - v);
          if (below && beside) storeUpTo(to + v + (t.ow + 1) * yStep, r[1][1], wide - v);
        }
      });
    }
    endTiles(t, first, count, columns, ending);
  });
}

// G c Gᵀ for the filter gradient, F(3 × 3, 2 × 2), but for halves that are left to the end.
template <class Cell>
ALWAYS_INLINE void seeResults(Cell cell, float* to, Index step) {
  F t[4][2];
#pragma GCC unroll 2
  for (int q = 0; q < 2; q++) {
    F c0 = cell(0, q), c1 = cell(1, q);
    t[0][q] = c0, t[1][q] = c0 + c1, t[2][q] = c0 - c1, t[3][q] = c1;
  }
#pragma GCC unroll 4
  for (int p = 0; p < 4; p++, to += 4 * step) {
    store(to, t[p][0]);
    store(to + step, t[p][0] + t[p][1]);
    store(to + 2 * step, t[p][0] - t[p][1]);
    store(to + 3 * step, t[p][1]);
  }
}

// C += Aᵀ · B over k steps: a step is a row of a, of which ROWS floats are used, and a row of b.
template <int ROWS, int VECTORS>
void addTile(Index k, const float* a, Index aStep, const float* b, float* c) {
  F sum[ROWS][VECTORS] = {};
  for (Index p = 0; p < k; p++, a += aStep, b += NR) {
    F right[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) right[v] = loadF(b + v * W);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      F left = splat(a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) sum[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) store(c + i * NR + v * W, loadF(c + i * NR + v * W) + sum[i][v]);
}
typedef void (*AddTile)(Index k, const float* a, Index aStep, const float* b, float* c);
inline AddTile addTileFor(Index rows, bool wide) {
#define BOTH(r) \
  { addTile<(r <= MR ? r : MR), 1>, addTile<(r <= MR ? r : MR), 2> }
  static const AddTile kernels[][2] = {BOTH(1), BOTH(2), BOTH(3), BOTH(4),  BOTH(5),  BOTH(6),
                                       BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12)};
#undef BOTH
  return kernels[rows - 1][wide];
}

/// The filter gradient w[tap][depth][row], columns of it, from images x and results ct of `row` floats. Parts of the batch
/// are summed apart and joined in order, so that threads do not matter.
inline void filterTiles(const Tiles& t, const float* x, const float* ct, Index row, float* w, Index columns) {
  constexpr Index EACH = 48, PARTS = 8, PART_FLOATS = 1 << 22;
  Index depth = t.depth, strips = divideUp(columns, NR), stripFloats = depth * NR, total = t.count();
  Index size = POINTS * strips * stripFloats;
  Index shards = most(1, least(least(PARTS, total / (2 * EACH)), PART_FLOATS / size));
  Index groups = least(strips, PARTS / shards), wide = divideUp(strips, groups), share = divideUp(total, shards);
  float* parts = scratchOf<float>(EDGE, shards * size);
  Index blocks = divideUp(depth, MR), height = divideUp(depth, blocks);
  Index seenRow = (divideUp(depth, W) | 1) * W, seenStep = EACH * seenRow + W, resultStep = wide * EACH * NR + W;
  parallelFor(shards * groups, total * depth * columns, [&](Index task) {
    Index shard = task / groups, strip0 = task % groups * wide, stripCount = least(wide, strips - strip0);
    float* seen = scratchOf<float>(TILE, POINTS * seenStep);
    float* results = scratchOf<float>(PACK_B, POINTS * resultStep);
    float* sums = parts + shard * size;  // [point][strip][depth][NR]
    for (Index p = 0; p < POINTS; p++)
      if (stripCount > 0) zeroBytes(sums + (p * strips + strip0) * stripFloats, stripCount * stripFloats * 4);
    Index end = least(total, (shard + 1) * share);
    for (Index first = shard * share; first < end; first += EACH) {
      Index count = least(EACH, end - first);
      seeTiles(t, x, first, count, seenStep, [&](Index number, Index c) { return seen + number * seenRow + c; });
      eachTile(t, first, count, [&](Index n, Index i, Index j, Index number) {
        const float* from = ct + ((n * t.oh + 2 * i) * t.ow + 2 * j) * row;
        bool below = 2 * i + 1 < t.oh, beside = 2 * j + 1 < t.ow;
        for (Index v = strip0 * NR; v < least(columns, (strip0 + stripCount) * NR); v += W) {
          auto cell = [&](Index p, Index q) {
            bool there = (p == 0 || below) && (q == 0 || beside);
            return there ? loadUpTo(from + (p * t.ow + q) * row + v, columns - v) : F{};
          };
          seeResults(cell, results + ((v / NR - strip0) * EACH + number) * NR + v % NR, resultStep);
        }
      });
      for (Index p = 0; p < POINTS; p++) {
        for (Index strip = 0; strip < stripCount; strip++) {
          bool both = columns - (strip0 + strip) * NR > W;
          float* to = sums + (p * strips + strip0 + strip) * stripFloats;
          for (Index c = 0; c < depth; c += height)
            addTileFor(least(height, depth - c), both)(count, seen + p * seenStep + c, seenRow,
                                                       results + p * resultStep + strip * EACH * NR, to + c * NR);
        }
      }
    }
  });
  parallelFor(depth, size * shards, [&](Index c) {
    for (Index v = 0; v < columns; v += W) {
      F m[4][4], s[3][4];
      for (Index p = 0; p < POINTS; p++) {
        const float* from = parts + (p * strips + v / NR) * stripFloats + c * NR + v % NR;
        D sum = {};
        for (Index shard = 0; shard < shards; shard++) sum += __builtin_convertvector(loadF(from + shard * size), D);
        m[p / 4][p % 4] = __builtin_convertvector(sum, F);
      }
      for (int q = 0; q < 4; q++) {
        F half = (m[1][q] + m[2][q]) * 0.5f;
        s[0][q] = m[0][q] + half, s[1][q] = (m[1][q] - m[2][q]) * 0.5f, s[2][q] = half + m[3][q];
      }
      for (int p = 0; p < 3; p++) {
        F half = (s[p][1] + s[p][2]) * 0.5f;
        F g[3] = {s[p][0] + half, (s[p][1] - s[p][2]) * 0.5f, half + s[p][3]};
        for (int q = 0; q < 3; q++) storeUpTo(w + ((p * 3 + q) * depth + c) * row + v, g[q], columns - v);
      }
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
