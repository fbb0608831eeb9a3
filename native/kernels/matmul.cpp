// The matrix product: batches of C = op(A) · op(B), with paths for one or few rows; alone, or with a loop program behind.
#include "gemm.hpp"
#include "kernels.hpp"
#include "lane-ops.hpp"
#include "loop.hpp"
#include "rows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index FEW = 8;  // rows (or columns) up to which memory decides and packing does not pay

constexpr Index AHEAD = 1024;  // floats between what is read and what is asked for

constexpr Index STREAMED = 1 << 18;  // floats from which on a matrix does not stay in the caches between two products

// Dot products of ROWS contiguous rows of a with one row of b, several running vectors each.
template <int ROWS>
void dots(const float* a, Index aRow, const float* b, Index k, float* c, Index cRow) {
  constexpr int V = ROWS == 1 ? 4 : 2;
  F sum[ROWS][V] = {};
  Index p = 0;
  for (; p + V * W <= k; p += V * W)
    for (int v = 0; v < V; v++) {
      // Rows of b follow each other: the memory's own look-ahead stops at the end of each page.
      __builtin_prefetch(b + p + v * W + AHEAD);
      F right = loadF(b + p + v * W);
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; i++) sum[i][v] += loadF(a + i * aRow + p + v * W) * right;
    }
  for (; p + W <= k; p += W)
    for (int i = 0; i < ROWS; i++) sum[i][0] += loadF(a + i * aRow + p) * loadF(b + p);
  for (int i = 0; i < ROWS; i++) {
    F all = sum[i][0] + sum[i][1];
    if constexpr (V == 4) all += sum[i][2] + sum[i][3];
    float tail = 0;
    for (Index q = p; q < k; q++) tail += a[i * aRow + q] * b[q];
    c[i * cRow] = sumLanes(all) + tail;
  }
}

// Few rows against many, both contiguous in k: nothing is packed because nothing is read twice. Calls done(j, columns).
template <class Done>
void fewByRows(Index m, Index n, Index k, Matrix a, Matrix b, float* c, Index cRow, Index cColumn, const Done& done) {
  Index each = most(most(1, 16384 / most(1, k)), n / 256);
  parallelFor(divideUp(n, each), m * n * k / 8, [&](Index chunk) {
    Index end = least(n, (chunk + 1) * each);
    for (Index j = chunk * each; j < end; j++) {
      const float* right = b.data + j * b.outer;
      float* to = c + j * cColumn;
      Index i = 0;
      for (; i + 4 <= m; i += 4) dots<4>(a.data + i * a.outer, a.outer, right, k, to + i * cRow, cRow);
      for (; i + 2 <= m; i += 2) dots<2>(a.data + i * a.outer, a.outer, right, k, to + i * cRow, cRow);
      if (i < m) dots<1>(a.data + i * a.outer, a.outer, right, k, to + i * cRow, cRow);
    }
    done(chunk * each, end - chunk * each);
  });
}

// ROWS rows of C += DEPTH columns of a times as many rows of b, over n columns (whole vectors).
template <int ROWS, int DEPTH>
ALWAYS_INLINE void addRows(Index n, const float* a, Index aRow, const float* b, Index bRow, float* c, Index cRow,
                           bool add) {
  F left[ROWS][DEPTH];
  for (int i = 0; i < ROWS; i++)
    for (int p = 0; p < DEPTH; p++) left[i][p] = splat(a[i * aRow + p]);
  for (Index j = 0; j < n; j += W) {
    F sum[ROWS];
    for (int i = 0; i < ROWS; i++) sum[i] = add ? loadF(c + i * cRow + j) : F{};
#pragma GCC unroll 8
    for (int p = 0; p < DEPTH; p++) {
      __builtin_prefetch(b + (p + DEPTH) * bRow + j);
      F right = loadF(b + p * bRow + j);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) sum[i] += left[i][p] * right;
    }
    for (int i = 0; i < ROWS; i++) store(c + i * cRow + j, sum[i]);
  }
}

template <int ROWS>
void rowsTimes(Index n, Index k, const float* a, Index aRow, const float* b, Index bRow, float* c, Index cRow) {
  constexpr int DEPTH = 4;
  Index p = 0;
  for (; p + DEPTH <= k; p += DEPTH)
    addRows<ROWS, DEPTH>(n, a + p, aRow, b + p * bRow, bRow, c, cRow, p > 0);
  for (; p < k; p++) addRows<ROWS, 1>(n, a + p, aRow, b + p * bRow, bRow, c, cRow, p > 0);
}

// Few rows against rows of b that are contiguous in n: long runs of several rows of b are read side by side, and
// the rows of C stay in the first-level cache.
template <class Finish>
void fewByColumns(Index m, Index n, Index k, Matrix a, Matrix b, float* c, const Finish& finish) {
  constexpr Index WIDEST = 1024;
  Index each = least(WIDEST / (m <= 2 ? 1 : m <= 4 ? 2 : 4), most(4 * W, divideUp(n, 8 * W) * W));
  parallelFor(divideUp(n, each), n * k / 4 + m * n * k / 16, [&](Index chunk) {
    Index j = chunk * each, width = least(each, n - j), whole = width / W * W;
    const float* right = b.data + j;
    for (Index i = 0; i < m; i += 4) {
      const float* left = a.data + i * a.outer;
      float* to = c + i * n + j;
      int rows = static_cast<int>(least(4, m - i));
      if (rows == 1) rowsTimes<1>(whole, k, left, a.outer, right, b.k, to, n);
      else if (rows == 2) rowsTimes<2>(whole, k, left, a.outer, right, b.k, to, n);
      else if (rows == 3) rowsTimes<3>(whole, k, left, a.outer, right, b.k, to, n);
      else rowsTimes<4>(whole, k, left, a.outer, right, b.k, to, n);
      if (whole == width) continue;
      // The last columns by a vector that ends with them.
      float edge[4 * W];
      tileFor(rows, 1)(k, left, a.outer, 1, b.data + n - W, b.k, edge, W, false);
      for (int r = 0; r < rows; r++)
        for (Index q = whole; q < width; q++) to[r * n + q] = edge[(r + 1) * W - (width - q)];
    }
    finish(0, m, j, width);
  });
}

// Few rows against a large matrix whose rows are contiguous: it is read from its beginning to its end, in pieces of rows
// (deep) and, where it is wide, strips of columns. Sums of pieces are joined in their order.
template <class Finish>
void fewByPieces(Index m, Index n, Index k, Matrix a, Matrix b, float* c, const Finish& finish) {
  // Many pieces, so that a thread that is done early finds more; not too many, as one thread joins their sums.
  constexpr Index PIECES = 16, WIDEST = 4096;
  Index wide = WIDEST / (m <= 1 ? 1 : m <= 2 ? 2 : m <= 4 ? 4 : 8), strips = divideUp(n, wide);
  Index pieces = most(1, PIECES / strips), deep = divideUp(divideUp(k, pieces), 4) * 4;
  pieces = divideUp(k, deep);
  Index whole = n / W * W, size = m * n;
  float* sums = pieces == 1 ? c : scratchOf<float>(PACK_B, pieces * size);
  parallelFor(pieces * strips, n * k / 4 + m * n * k / 16, [&](Index task) {
    Index piece = task / strips, j = task % strips * wide, end = least(n, j + wide), width = least(end, whole) - j;
    Index p = piece * deep, depth = least(deep, k - p);
    const float *left = a.data + p, *right = b.data + p * b.k + j;
    float* to = sums + piece * size + j;
    for (Index i = 0; i < m; i += 4) {
      int rows = static_cast<int>(least(4, m - i));
      const float* from = left + i * a.outer;
      if (rows == 1) rowsTimes<1>(width, depth, from, a.outer, right, b.k, to + i * n, n);
      else if (rows == 2) rowsTimes<2>(width, depth, from, a.outer, right, b.k, to + i * n, n);
      else if (rows == 3) rowsTimes<3>(width, depth, from, a.outer, right, b.k, to + i * n, n);
      else rowsTimes<4>(width, depth, from, a.outer, right, b.k, to + i * n, n);
      if (end <= whole) continue;
      float edge[4 * W];
      tileFor(rows, 1)(depth, from, a.outer, 1, b.data + p * b.k + n - W, b.k, edge, W, false);
      for (int r = 0; r < rows; r++)
        for (Index q = whole; q < n; q++) sums[piece * size + (i + r) * n + q] = edge[(r + 1) * W - (n - q)];
    }
    if (pieces == 1) finish(0, m, j, end - j);
  });
  if (pieces == 1) return;
  for (Index i = 0; i < size; i += W) {
    Index count = least(W, size - i);
    F sum = loadUpTo(sums + i, count);
    for (Index piece = 1; piece < pieces; piece++) sum += loadUpTo(sums + piece * size + i, count);
    storeUpTo(c + i, sum, count);
  }
  finish(0, m, 0, n);
}

// Copies a few columns that are apart into rows.
Matrix asRows(Matrix a, Index m, Index k) {
  if (a.k == 1) return a;
  float* rows = scratchOf<float>(SHARED, m * k);
  for (Index p = 0; p < k; p++)
    for (Index i = 0; i < m; i++) rows[i * k + p] = a.data[i * a.outer + p * a.k];
  return {rows, k, 1};
}

template <class Finish>
void product(Index m, Index n, Index k, Matrix a, Matrix b, float* c, const Finish& finish) {
  if (n == 1) b = {b.data, k, 1};  // a column is a row as well
  if (m == 1) a = {a.data, k, 1};
  if (m <= 4 && b.k == 1)
    return fewByRows(m, n, k, asRows(a, m, k), b, c, n, 1, [&](Index j, Index count) { finish(0, m, j, count); });
  if (n <= 4 && a.k == 1)
    return fewByRows(n, m, k, asRows(b, n, k), a, c, 1, n, [&](Index i, Index count) { finish(i, count, 0, n); });
  bool wide = m <= FEW && n >= 4 * W && k > 0 && b.outer == 1;
  if (wide && n * k >= STREAMED) return fewByPieces(m, n, k, asRows(a, m, k), b, c, finish);
  if (wide) return fewByColumns(m, n, k, asRows(a, m, k), b, c, finish);
  gemm(m, n, k, a, b, c, n, false, finish);
}

// An operand as float32: bfloat16 is written out once, so that no more than one such operand is there at a time.
const float* widened(const Call& c, int i, bool half, float* to, Index size) {
  if (!half) return c.at<float>(i);
  constexpr Index EACH = 1 << 14;
  const uint16_t* from = c.at<uint16_t>(i);
  parallelFor(divideUp(size, EACH), size, [&](Index chunk) {
    Index k = chunk * EACH, end = least(size, k + EACH);
    for (; k + W <= end; k += W) store(to + k, loadHalves(from + k));
    for (; k < end; k++) to[k] = floatOf(from[k] << 16);
  });
  return to;
}

// Batches of products into `out`; finish(batch) gives what is called with each finished block of one of them.
template <class Finish>
void products(const Call& c, float* out, const Finish& finish) {
  Index batch = c.params[0], m = c.params[1], n = c.params[2], k = c.params[3];
  bool ta = c.params[4] & 1, tb = c.params[5] & 1, halfA = c.params[4] & 2, halfB = c.params[5] & 2;
  if (m == 0 || n == 0) return;
  Index sizeA = batch * m * k, sizeB = batch * k * n, roomA = halfA ? divideUp(sizeA, 16) * 16 : 0;
  float* wide = halfA || halfB ? scratchOf<float>(WIDE, roomA + (halfB ? sizeB : 0)) : nullptr;
  const float *left = widened(c, 0, halfA, wide, sizeA), *right = widened(c, 1, halfB, wide + roomA, sizeB);
  auto one = [&](Index i) {
    Matrix a = {left + i * m * k, ta ? 1 : k, ta ? m : 1};
    Matrix b = {right + i * k * n, tb ? k : 1, tb ? 1 : n};
    product(m, n, k, a, b, out + i * m * n, finish(i));
  };
  // Small products are dealt out, some at a time; a large one fills the threads by itself.
  constexpr Index LARGE = 1 << 23, SMALL = 1 << 17;
  Index work = most(1, m * n * most(1, k));
  if (batch == 1 || work >= LARGE) {
    for (Index i = 0; i < batch; i++) one(i);
    return;
  }
  Index each = divideUp(SMALL, work);
  parallelFor(divideUp(batch, each), batch * work / 16, [&](Index chunk) {
    for (Index i = chunk * each; i < least(batch, (chunk + 1) * each); i++) one(i);
  });
}

}  // namespace

// Equals matmul of src/engine/ops/contract.ts. params: batch, m, n, k, and for each operand 1 where it is
// transposed plus 2 where it is bfloat16.
void matmul(const Call& c) {
  products(c, c.at<float>(2), [](Index) { return Nothing(); });
}

// Equals fusedContraction of src/engine/ops/fused-contraction.ts. params: those of matmul, which input of the loop program
// is the product, which result's memory holds it, a loop program. Operands: A, B, the other inputs of the program, its
// results, memory for the product if no result lends its own.
void matmulLoop(const Call& c) {
  const int32_t* program = c.params + 8;
  Index n = c.params[2], size = c.params[1] * n, reads = program[4], at = c.params[6];
  char* const* results = c.operands + 1 + reads;
  char* out = results[c.params[7]];
  char** operands = static_cast<char**>(__builtin_alloca(static_cast<size_t>(c.count) * sizeof(char*)));
  for (Index i = 0; i < reads; i++) operands[i] = i == at ? out : c.operands[i < at ? 2 + i : 1 + i];
  for (Index i = 0; results + i < c.operands + c.count; i++) operands[reads + i] = results[i];
  products(c, reinterpret_cast<float*>(out), [&](Index batch) {
    return [operands, program, size, n, batch](Index i, Index rows, Index j, Index columns) {
      LoopRun run(program, operands, scratchOf<float>(TILE, LoopRun::memory(program)));
      Index from = batch * size + i * n + j;
      if (columns == n) return run.run(from, rows * n);
      for (Index r = 0; r < rows; r++) run.run(from + r * n, columns);
    };
  });
}

}  // namespace VARIANT
}  // namespace chainrule
