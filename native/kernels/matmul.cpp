// The matrix product: batches of C = op(A) · op(B), with paths for one or few rows.
#include "gemm.hpp"
#include "kernels.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

// Dot product of two contiguous rows with four running vectors.
float dot(const float* a, const float* b, Index k) {
  F sum[4] = {};
  Index p = 0;
  for (; p + 4 * W <= k; p += 4 * W)
    for (int v = 0; v < 4; v++) sum[v] += loadF(a + p + v * W) * loadF(b + p + v * W);
  for (; p + W <= k; p += W) sum[0] += loadF(a + p) * loadF(b + p);
  float tail = 0;
  for (; p < k; p++) tail += a[p] * b[p];
  return sumLanes((sum[0] + sum[1]) + (sum[2] + sum[3])) + tail;
}

// Few rows against many, both contiguous in k: nothing is packed because nothing is read twice.
void dots(Index m, Index n, Index k, Matrix a, Matrix b, float* c, Index cRow, Index cColumn) {
  Index each = most(1, 16384 / most(1, k));
  parallelFor(divideUp(n, each), m * n * k / 8, [&](Index chunk) {
    Index end = least(n, (chunk + 1) * each);
    for (Index j = chunk * each; j < end; j++)
      for (Index i = 0; i < m; i++) c[i * cRow + j * cColumn] = dot(a.data + i * a.outer, b.data + j * b.outer, k);
  });
}

void product(Index m, Index n, Index k, Matrix a, Matrix b, float* c) {
  bool rowsOfB = b.k == 1 || n == 1;
  if (n == 1) b.outer = k;  // a column is a row as well
  if (m == 1) a.outer = k;
  bool contiguous = (a.k == 1 || k == 1) && (b.k == 1 || k == 1);
  if (contiguous && rowsOfB && m <= 4) return dots(m, n, k, a, b, c, n, 1);
  if (contiguous && rowsOfB && n <= 4) return dots(n, m, k, b, a, c, 1, n);
  if (n == 1) b.outer = 1;
  gemm(m, n, k, a, b, c, n, false);
}

}  // namespace

// Equals matmul of src/engine/ops/contract.ts. params: batch, m, n, k, transpose A, transpose B.
void matmul(const Call& c) {
  Index batch = c.params[0], m = c.params[1], n = c.params[2], k = c.params[3];
  bool ta = c.params[4] != 0, tb = c.params[5] != 0;
  if (m == 0 || n == 0) return;
  auto one = [&](Index i) {
    Matrix a = {c.at<float>(0) + i * m * k, ta ? 1 : k, ta ? m : 1};
    Matrix b = {c.at<float>(1) + i * k * n, tb ? k : 1, tb ? 1 : n};
    product(m, n, k, a, b, c.at<float>(2) + i * m * n);
  };
  // One product fills the threads by itself; several small ones are dealt out whole.
  if (batch == 1) return one(0);
  parallelFor(batch, batch * m * n * k / 16, one);
}

}  // namespace VARIANT
}  // namespace chainrule
