// The matrix product inside matmul and the convolutions: register tiles over packed or directly read panels.
// Blocking as in Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
#pragma once
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

// Rows and vectors of one register tile: as many accumulators as the registers hold beside their operands.
constexpr int MR = W == 16 ? 12 : W == 8 ? 6 : 4;
constexpr int NV = 2;
constexpr Index NR = NV * W;
constexpr Index KC = 384;          // depth of a panel: a strip of B, NR · KC floats, is read from the nearest caches
constexpr Index MC = 24 * MR;      // rows of a block of A: MC · KC floats stay in the second-level cache
constexpr Index NC = 64 * NR;      // columns of a panel of B where there are several blocks
constexpr Index PACKED = 1 << 20;  // floats that are packed at a time
constexpr Index SEGMENT = 8 * NR;  // columns that are finished at a time: whole blocks of a loop program

/// A(i, p) = data[i · outer + p · k]; B(p, j) = data[j · outer + p · k].
struct Matrix {
  const float* data;
  Index outer, k;

  Matrix at(Index i, Index p) const { return {data + i * outer + p * k, outer, k}; }
};

// Half a vector, for the columns behind the last whole one.
constexpr int HALF = W == 4 ? 4 : W / 2;
typedef float H __attribute__((vector_size(4 * HALF)));

/// C tile (+)= A · B over k steps. A is read through strides, so that it need not be packed.
typedef void (*TileKernel)(Index k, const float* a, Index aOuter, Index aK, const float* b, Index bK, float* c,
                           Index cRow, bool add);

template <class V, int ROWS, int VECTORS>
ALWAYS_INLINE void tileOf(Index k, const float* a, Index aOuter, Index aK, const float* b, Index bK, float* c,
                          Index cRow, bool add) {
  constexpr int L = sizeof(V) / 4;
  V sum[ROWS][VECTORS] = {};
  // C is on its way while the products are summed: into the second-level cache, as its rows may share a set of the first.
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) __builtin_prefetch(c + i * cRow + v * L, 1, 2);
#pragma GCC unroll 1
  for (Index p = 0; p < k; p++) {
    OPAQUE(a);
    OPAQUE(b);
    V right[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) right[v] = load<V>(b + v * L);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      V left = a[i * aOuter] - V{};
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; v++) sum[i][v] += left * right[v];
    }
    a += aK;
    b += bK;
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
      float* to = c + i * cRow + v * L;
      store(to, add ? load<V>(to) + sum[i][v] : sum[i][v]);
    }
  }
}
template <int ROWS, int VECTORS>
void tileKernel(Index k, const float* a, Index aOuter, Index aK, const float* b, Index bK, float* c, Index cRow,
                bool add) {
  tileOf<F, ROWS, VECTORS>(k, a, aOuter, aK, b, bK, c, cRow, add);
}

// The same with A packed: its strides are constants.
template <int ROWS, int VECTORS>
void packedKernel(Index k, const float* a, const float* b, Index bK, float* c, Index cRow, bool add) {
  tileOf<F, ROWS, VECTORS>(k, a, 1, ROWS, b, bK, c, cRow, add);
}

/// The kernel for a number of rows (1 … MR) and of vectors (1 or 2; 0 is half a vector).
static inline TileKernel tileFor(int rows, int vectors) {
#define ONE(r) (r <= MR ? r : MR)
#define THREE(r) \
  { tileOf<H, ONE(r), 1>, tileKernel<ONE(r), 1>, tileKernel<ONE(r), 2> }
  static const TileKernel kernels[][3] = {THREE(1), THREE(2), THREE(3), THREE(4),  THREE(5),  THREE(6),
                                          THREE(7), THREE(8), THREE(9), THREE(10), THREE(11), THREE(12)};
#undef THREE
#undef ONE
  return kernels[rows - 1][vectors];
}

/// Floats of a step of a strip of `columns` ≤ NR: whole vectors, or half of one.
static inline Index stripWidth(Index columns) { return columns > W ? NR : columns > HALF ? W : HALF; }

// Transposes W vectors in place by exchanging halves, quarters, … of them.
template <int HALF, int... L>
ALWAYS_INLINE void exchange(F& a, F& b, Lanes<L...>) {
  F low = __builtin_shufflevector(a, b, ((L & HALF) ? W + L - HALF : L)...);
  F high = __builtin_shufflevector(a, b, ((L & HALF) ? W + L : L + HALF)...);
  a = low;
  b = high;
}
template <int HALF>
ALWAYS_INLINE void transposeFrom(F* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < W; i++)
    if (!(i & HALF)) exchange<HALF>(rows[i], rows[i + HALF], typename Count<W>::type());
  if constexpr (HALF * 2 < W) transposeFrom<HALF * 2>(rows);
}

// to[p · width + i] = from[i · outer + p] for i < rows ≤ W, p < k. Writes up to W - width floats past the end.
static inline void packTransposed(float* to, Index width, const float* from, Index outer, Index rows, Index k) {
  for (Index p = 0; p < k; p += W) {
    Index part = least(W, k - p);
    F block[W];
    for (Index i = 0; i < W; i++) {
      if (i >= rows) block[i] = F{};
      else if (part == W) block[i] = loadF(from + i * outer + p);
      else block[i] = loadPart(from + i * outer + p, part);
    }
    transposeFrom<1>(block);
    for (Index q = 0; q < part; q++) store(to + (p + q) * width, block[q]);
  }
}

// Four rows of W columns as W columns of four: column 4 · l + q is quarter l of rows[q] afterwards.
typedef float Four __attribute__((vector_size(16)));
template <int L>
ALWAYS_INLINE void storeFours(float* to, Index step, const F* rows) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; q++)
    store(to + (4 * L + q) * step,
          (Four)__builtin_shufflevector(rows[q], rows[q], 4 * L, 4 * L + 1, 4 * L + 2, 4 * L + 3));
  if constexpr (4 * (L + 1) < W) storeFours<L + 1>(to, step, rows);
}
// to[q · step + i] = from[i · outer + q] for i < 4 and q < W; the first `rows` ≤ 4 are read, the others zeros.
ALWAYS_INLINE void packFours(float* to, Index step, const float* from, Index outer, Index rows) {
  typedef typename Count<W>::type All;
  F line[4];
#pragma GCC unroll 4
  for (Index i = 0; i < 4; i++) line[i] = i < rows ? loadF(from + i * outer) : F{};
  exchange<1>(line[0], line[1], All());
  exchange<1>(line[2], line[3], All());
  exchange<2>(line[0], line[2], All());
  exchange<2>(line[1], line[3], All());
  storeFours<0>(to, step, line);
}

// Packs `rows` ≤ MR rows of A: k steps of `rows` floats.
static inline void packA(float* to, Matrix a, Index rows, Index k) {
  Index p = 0;
  // Whole vectors where they end inside the matrix and the tile: what is too much is written over by later steps.
  if (a.outer == 1 && a.k >= W && 2 * rows >= W) {
    for (; p < k - 1; p++) {
      __builtin_prefetch(a.data + (p + 8) * a.k);
      store(to + p * rows, loadF(a.data + p * a.k));
    }
  } else if (a.k == 1) {
    for (; p + W < k; p += W) {
      // Where these rows end the next ones begin: short rows are no stream of their own.
      for (Index i = 0; i < rows; i++) __builtin_prefetch(a.data + (i + rows) * a.outer + p);
      // The last rows first: what is too much of their four is written over by the first ones.
      for (Index i = (rows - 1) / 4 * 4; i >= 0; i -= 4)
        packFours(to + p * rows + i, rows, a.data + p + i * a.outer, a.outer, least(4, rows - i));
    }
  }
  for (; p < k; p++)
    for (Index i = 0; i < rows; i++) to[p * rows + i] = a.data[i * a.outer + p * a.k];
}

// Packs `columns` ≤ width columns of B: k steps of `width` floats, any numbers behind.
static inline void packB(float* to, Matrix b, Index columns, Index width, Index k) {
  if (b.outer == 1 && columns == NR) {
    for (Index p = 0; p < k; p++) {
      const float* from = b.data + p * b.k;
      __builtin_prefetch(from + 8 * b.k);
      __builtin_prefetch(from + 8 * b.k + W);
#pragma GCC unroll 4
      for (int v = 0; v < NV; v++) store(to + p * NR + v * W, loadF(from + v * W));
    }
  } else if (b.outer == 1) {
    // Whole vectors where they end inside the matrix: what comes of the columns behind is not used.
    Index p = 0, whole = b.k > 0 ? k - divideUp(width, b.k) : 0;
    for (; p < whole; p++)
      for (Index j = 0; j < width; j += HALF) store(to + p * width + j, load<H>(b.data + p * b.k + j));
    for (; p < k; p++)
      for (Index j = 0; j < width; j++) to[p * width + j] = j < columns ? b.data[p * b.k + j] : 0;
  } else if (b.k == 1 && width >= W) {
    for (Index v = 0; v < width; v += W)
      packTransposed(to + v, width, b.data + v * b.outer, b.outer, least(W, most(0, columns - v)), k);
  } else {
    for (Index p = 0; p < k; p++)
      for (Index j = 0; j < width; j++) to[p * width + j] = j < columns ? b.data[j * b.outer + p * b.k] : 0;
  }
}

// One strip of C (at most NR columns) by `rows` rows, over a strip of B that is packed or read in place.
static inline void gemmStrip(Index rows, Index columns, Index k, const float* packed, Matrix a, const float* b,
                             Index bK, float* c, Index cRow, bool add) {
  Index width = stripWidth(columns);
  int vectors = static_cast<int>(width / W);
  float edge[MR * NR];
  bool part = columns != width;
  for (Index i = 0; i < rows; i += MR) {
    int height = static_cast<int>(least(MR, rows - i));
    float* to = part ? edge : c + i * cRow;
    Index step = part ? NR : cRow;
    bool more = add && !part;
    if (packed == nullptr)
      tileFor(height, vectors)(k, a.data + i * a.outer, a.outer, a.k, b, bK, to, step, more);
    else if (height == MR && vectors == 2)
      packedKernel<MR, 2>(k, packed + i * k, b, bK, to, step, more);
    else
      tileFor(height, vectors)(k, packed + i * k, 1, height, b, bK, to, step, more);
    if (!part) continue;
    for (int r = 0; r < height; r++) {
      float* row = c + (i + r) * cRow;
      for (Index j = 0; j < columns; j += W) {
        Index count = least(W, columns - j);
        F sum = loadF(edge + r * NR + j);
        storePart(row + j, add ? loadPart(row + j, count) + sum : sum, count);
      }
    }
  }
}

/// How a product is cut into tasks: a number of blocks of rows and of groups of columns, as even as register tiles allow,
/// and the largest size of each. Depends on the sizes alone.
struct Tasks {
  Index m, n, blocks = 1, groups = 1, rows, columns;

  // `whole`: rows are cut first, so that what is finished lies in long runs.
  Tasks(Index height, Index width, Index k, bool whole) : m(height), n(width), rows(height), columns(width) {
    // Multiplications that are worth a task, while there are few tasks and when there are enough for some threads.
    constexpr Index SMALL = 1 << 17, LARGE = 5 << 24;
    Index work = m * n * k, wanted = most(least(8, work / SMALL), least(16, work / LARGE));
    while (rows > MC) cut(blocks * 2, groups);
    // Tasks near squares read the least.
    while (blocks * groups < wanted) {
      if (whole ? rows >= 16 * MR : rows >= columns && rows >= 8 * MR) cut(blocks * 2, groups);
      else if (columns >= (whole && rows > 4 * MR ? 2 * SEGMENT : 2 * NR)) cut(blocks, groups * 2);
      else break;
    }
  }
  void cut(Index wantedBlocks, Index wantedGroups) {
    blocks = least(wantedBlocks, divideUp(m, MR));
    groups = least(wantedGroups, divideUp(n, NR));
    rows = divideUp(divideUp(m, MR), blocks) * MR;
    columns = divideUp(divideUp(n, NR), groups) * NR;
  }
  Index row(Index block) const { return least(m, divideUp(m, MR) * block / blocks * MR); }
  Index column(Index group) const { return least(n, divideUp(n, NR) * group / groups * NR); }
};

// Packing pays where a panel is read often enough.
static inline bool packsLeft(Index m, Index n) { return m >= 4 * MR && n >= 4 * NR; }
static inline bool packsRight(Index m, Index n, Index k, Matrix b) {
  return b.outer != 1 || (m > 4 * MR && n * k > 1 << 13);
}

// A block of C over k steps. `left`, `right`: A and B packed; or null, and they are read in place or packed here.
template <class Ready>
inline void gemmBlock(Index m, Index n, Index k, Matrix a, Matrix b, const float* left, const float* right, float* c,
                      Index cRow, bool add, const Ready& ready) {
  if (left == nullptr && packsLeft(m, n)) {
    float* own = scratchOf<float>(PACK_A, m * k + W);
    for (Index i = 0; i < m; i += MR) packA(own + i * k, a.at(i, 0), least(MR, m - i), k);
    left = own;
  }
  bool direct = right == nullptr && !packsRight(m, n, k, b);
  float* own = right == nullptr ? scratchOf<float>(PACK_B, NR * k + W) : nullptr;
  for (Index j = 0; j < n; j += NR) {
    Index columns = least(NR, n - j), width = stripWidth(columns);
    const float* strip = right + j * k;
    Index step = width;
    if (direct && columns == width) {
      strip = b.at(j, 0).data;
      step = b.k;
    } else if (right == nullptr) {
      packB(own, b.at(j, 0), columns, width, k);
      strip = own;
    }
    gemmStrip(m, columns, k, left, a, strip, step, c + j, cRow, add);
    ready(j + columns);
  }
}

/// What gemm does with a block of C that is ready, while it is in a cache: finish(i0, rows, j0, columns).
struct Nothing {
  void operator()(Index, Index, Index, Index) const {}
};

template <class Finish>
struct Finishes {
  static constexpr bool value = true;
};
template <>
struct Finishes<Nothing> {
  static constexpr bool value = false;
};

/// C[m, n] (+)= A[m, k] · B[k, n]. The order of every sum depends on k alone. Each element of C is finished once.
template <class Finish = Nothing>
inline void gemm(Index m, Index n, Index k, Matrix a, Matrix b, float* c, Index cRow, bool add, Finish finish = {}) {
  if (k == 0) {
    if (!add)
      for (Index i = 0; i < m; i++) zeroBytes(c + i * cRow, n * 4);
    return finish(0, m, 0, n);
  }
  Index depth = divideUp(k, divideUp(k, KC));
  Index wide = m > MC ? NC : n;
  for (Index j0 = 0; j0 < n; j0 += wide) {
    Index width = least(wide, n - j0);
    Tasks tasks(m, width, k, Finishes<Finish>::value);
    // What several blocks read is packed once for all, as many panels at a time as PACKED floats hold.
    bool shareLeft = tasks.groups > 1 && packsLeft(tasks.rows, width);
    bool shareRight = tasks.blocks > 1 && packsRight(tasks.rows, tasks.columns, depth, b);
    Index strips = shareRight ? divideUp(width, NR) : 0, tiles = shareLeft ? divideUp(m, MR) : 0;
    Index packed = tiles * MR + strips * NR;
    Index advance = packed == 0 ? k : depth * most(1, PACKED / (packed * depth));
    for (Index p0 = 0; p0 < k; p0 += advance) {
      Index end = least(k, p0 + advance);
      float *right = nullptr, *left = nullptr;
      if (packed > 0) {
        right = scratchOf<float>(SHARED, packed * (end - p0) + 2 * W);
        left = right + strips * NR * (end - p0) + W;
        parallelFor(divideUp(end - p0, depth) * (strips + tiles), packed * (end - p0) * 2, [&](Index task) {
          Index p = p0 + task / (strips + tiles) * depth, steps = least(depth, end - p), i = task % (strips + tiles);
          if (i < strips) {
            Index j = i * NR, columns = least(NR, width - j);
            float* to = right + (p - p0) * strips * NR + j * steps;
            packB(to, b.at(j0 + j, p), columns, stripWidth(columns), steps);
          } else {
            i = (i - strips) * MR;
            packA(left + (p - p0) * tiles * MR + i * steps, a.at(i, p), least(MR, m - i), steps);
          }
        });
      }
      parallelFor(tasks.blocks * tasks.groups, m * width * (end - p0) / 16, [&](Index task) {
        Index block = task / tasks.groups, i = tasks.row(block), rows = tasks.row(block + 1) - i;
        Index group = task % tasks.groups, j = tasks.column(group), columns = tasks.column(group + 1) - j;
        Index finished = 0;
        for (Index p = p0; p < end; p += depth) {
          Index steps = least(depth, end - p);
          bool last = end == k && p + depth >= end;
          gemmBlock(rows, columns, steps, a.at(i, p), b.at(j0 + j, p),
                    shareLeft ? left + (p - p0) * tiles * MR + i * steps : nullptr,
                    shareRight ? right + (p - p0) * strips * NR + j * steps : nullptr, c + i * cRow + j0 + j, cRow,
                    add || p > 0, [&](Index ready) {
                      if (!last || (ready - finished < SEGMENT && ready < columns)) return;
                      finish(i, rows, j0 + j + finished, ready - finished);
                      finished = ready;
                    });
        }
      });
    }
  }
}

}  // namespace VARIANT
}  // namespace chainrule
