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
constexpr Index KC = 256;      // depth of a panel: NR · KC floats stay in the first-level cache
constexpr Index MC = 8 * MR;   // rows of a block of A: MC · KC floats stay in the second-level cache
constexpr Index NC = 16 * NR;  // columns of a panel of B

/// A(i, p) = data[i · outer + p · k]; B(p, j) = data[j · outer + p · k].
struct Matrix {
  const float* data;
  Index outer, k;
};

/// C tile (+)= A · B over k steps. A is read through strides, so that it need not be packed.
typedef void (*TileKernel)(Index k, const float* a, Index aOuter, Index aK, const float* b, Index bK, float* c,
                           Index cRow, bool add);

template <int ROWS, int VECTORS>
void tileKernel(Index k, const float* a, Index aOuter, Index aK, const float* b, Index bK, float* c, Index cRow,
                bool add) {
  F sum[ROWS][VECTORS] = {};
  for (Index p = 0; p < k; p++) {
    F right[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) right[v] = loadF(b + v * W);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      F left = splat(a[i * aOuter]);
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
      float* to = c + i * cRow + v * W;
      store(to, add ? loadF(to) + sum[i][v] : sum[i][v]);
    }
  }
}

// The same with A packed: its strides are constants.
template <int ROWS, int VECTORS>
void packedKernel(Index k, const float* a, Index, Index, const float* b, Index, float* c, Index cRow, bool add) {
  tileKernel<ROWS, VECTORS>(k, a, 1, ROWS, b, VECTORS * W, c, cRow, add);
}

/// The kernel for a number of rows (1 … MR) and of vectors (1 or 2).
static inline TileKernel tileFor(int rows, int vectors) {
#define PAIR(r) \
  { tileKernel<(r <= MR ? r : MR), 1>, tileKernel<(r <= MR ? r : MR), 2> }
  static const TileKernel kernels[][2] = {PAIR(1), PAIR(2), PAIR(3), PAIR(4),  PAIR(5),  PAIR(6),
                                          PAIR(7), PAIR(8), PAIR(9), PAIR(10), PAIR(11), PAIR(12)};
#undef PAIR
  return kernels[rows - 1][vectors - 1];
}

// Transposes W vectors in place by exchanging halves, quarters, … of them.
template <int... L>
struct Lanes {};
template <int N, int... L>
struct Count : Count<N - 1, N - 1, L...> {};
template <int... L>
struct Count<0, L...> {
  typedef Lanes<L...> type;
};
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

// Packs `rows` rows of A from (i, p) on: k steps of `rows` floats.
static inline void packA(float* to, Matrix a, Index rows, Index k) {
  if (a.k == 1) return packTransposed(to, rows, a.data, a.outer, rows, k);
  for (Index p = 0; p < k; p++)
    for (Index i = 0; i < rows; i++) to[p * rows + i] = a.data[i * a.outer + p * a.k];
}

// Packs `columns` ≤ width columns of B: k steps of `width` floats (whole vectors), zeros behind.
static inline void packB(float* to, Matrix b, Index columns, Index width, Index k) {
  if (b.outer == 1) {
    for (Index p = 0; p < k; p++) {
      for (Index j = 0; j < columns; j++) to[p * width + j] = b.data[p * b.k + j];
      for (Index j = columns; j < width; j++) to[p * width + j] = 0;
    }
  } else if (b.k == 1) {
    for (Index v = 0; v < width; v += W)
      packTransposed(to + v, width, b.data + v * b.outer, b.outer, least(W, most(0, columns - v)), k);
  } else {
    for (Index p = 0; p < k; p++)
      for (Index j = 0; j < width; j++) to[p * width + j] = j < columns ? b.data[j * b.outer + p * b.k] : 0;
  }
}

// One strip of C (at most NR columns) by `rows` rows, over a panel of B that is packed or read in place.
static inline void gemmStrip(Index rows, Index columns, Index k, const float* a, bool packed, Matrix direct,
                             const float* b, Index bK, float* c, Index cRow, bool add) {
  int vectors = columns > W ? 2 : 1;
  float edge[MR * NR];
  for (Index i = 0; i < rows; i += MR) {
    int height = static_cast<int>(least(MR, rows - i));
    bool part = columns != vectors * W;
    float* to = part ? edge : c + i * cRow;
    Index step = part ? NR : cRow;
    if (packed && height == MR && vectors == 2 && bK == NR)
      packedKernel<MR, 2>(k, a + i * k, 1, MR, b, bK, to, step, add && !part);
    else if (packed)
      tileFor(height, vectors)(k, a + i * k, 1, height, b, bK, to, step, add && !part);
    else
      tileFor(height, vectors)(k, direct.data + i * direct.outer, direct.outer, direct.k, b, bK, to, step, add && !part);
    if (!part) continue;
    for (int r = 0; r < height; r++) {
      float* row = c + (i + r) * cRow;
      for (Index j = 0; j < columns; j++) row[j] = (add ? row[j] : 0.0f) + edge[r * NR + j];
    }
  }
}

/// C[m, n] (+)= A[m, k] · B[k, n]. The order of every sum depends on the sizes alone.
static inline void gemm(Index m, Index n, Index k, Matrix a, Matrix b, float* c, Index cRow, bool add) {
  if (k == 0 && !add)
    for (Index i = 0; i < m; i++) zeroBytes(c + i * cRow, n * 4);
  // Packing pays where a panel is read often enough.
  bool packLeft = m >= 4 * MR && n >= 4 * NR;
  bool packRight = b.outer != 1 || m >= 8 * MR;
  Index blocks = divideUp(m, MC);
  for (Index j0 = 0; j0 < n; j0 += NC) {
    Index width = least(NC, n - j0), strips = divideUp(width, NR);
    Index groups = least(strips, divideUp(8, blocks)), each = divideUp(strips, groups);
    for (Index p0 = 0; p0 < k; p0 += KC) {
      Index depth = least(KC, k - p0);
      bool more = add || p0 > 0;
      float* panel = scratchOf<float>(SHARED, strips * NR * depth + W);
      auto at = [&](Index strip) { return b.data + (j0 + strip * NR) * b.outer + p0 * b.k; };
      Index first = packRight ? 0 : width / NR;  // strips before it are read in place
      parallelFor(strips - first, width * depth * 2, [&](Index s) {
        Index strip = first + s, columns = least(NR, width - strip * NR);
        Index padded = columns > W ? NR : W;
        packB(panel + strip * NR * depth, {at(strip), b.outer, b.k}, columns, padded, depth);
      });
      parallelFor(blocks * groups, m * width * depth / 16, [&](Index task) {
        Index i0 = task / groups * MC, rows = least(MC, m - i0);
        Matrix left = {a.data + i0 * a.outer + p0 * a.k, a.outer, a.k};
        float* packed = nullptr;
        if (packLeft) {
          packed = scratchOf<float>(PACK_A, MC * KC + W);
          for (Index i = 0; i < rows; i += MR)
            packA(packed + i * depth, {left.data + i * a.outer, a.outer, a.k}, least(MR, rows - i), depth);
        }
        Index end = least(strips, (task % groups + 1) * each);
        for (Index strip = task % groups * each; strip < end; strip++) {
          Index columns = least(NR, width - strip * NR);
          bool inPlace = strip < first;
          const float* right = inPlace ? at(strip) : panel + strip * NR * depth;
          Index step = inPlace ? b.k : columns > W ? NR : W;
          gemmStrip(rows, columns, depth, packed, packLeft, left, right, step, c + i0 * cRow + j0 + strip * NR, cRow,
                    more);
        }
      });
    }
  }
}

}  // namespace VARIANT
}  // namespace chainrule
