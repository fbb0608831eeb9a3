// A loop program whose results are added up while they are in the cache: over rows, along rows, or all of them.
#include "kernels.hpp"
#include "loop.hpp"
#include "rows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index STEP = 2048;     // elements computed before they are added up
constexpr Index CHUNK = 16384;   // elements one thread takes at a time
constexpr Index ROWS = 128;      // rows added in float32 before they join the wide totals
constexpr Index STRIP = 512;     // columns joined at a time
constexpr int MOST = 24;         // sums of one program

enum Mode { OVER_ROWS, ALONG_ROWS, ALL };

double sumOf(const float* x, Index n) {
  return sumOver(n, [&](Index i, Index count) { return loadUpTo(x + i, count); });
}

// sum[j] += the rows of x, VECTORS · W columns at a time as long as they fit.
template <int VECTORS>
ALWAYS_INLINE Index addRows(const float* x, Index rows, Index n, Index j, float* sum) {
  for (; j + VECTORS * W <= n; j += VECTORS * W) {
    F run[VECTORS];
    for (int v = 0; v < VECTORS; v++) run[v] = loadF(sum + j + v * W);
    for (Index r = 0; r < rows; r++)
      for (int v = 0; v < VECTORS; v++) run[v] += loadF(x + r * n + j + v * W);
    for (int v = 0; v < VECTORS; v++) store(sum + j + v * W, run[v]);
  }
  return j;
}

}  // namespace

// Equals the element-wise ops of its program, then `sum` (src/engine/ops/layout.ts) of some of their values.
// params: a loop program, mode, row length, sums, and for each the operand that gets what is added up. The last operands are
// the sums; what the program writes to those stays in scratch memory.
void loopSum(const Call& c) {
  const int32_t *p = c.params, *own = p + LoopRun::length(p);
  int mode = own[0], sums = own[2], first = c.count - sums, stream[MOST];
  Index size = p[0], n = own[1];
  for (int s = 0; s < p[2]; s++)
    if (p[LoopRun::HEAD + s] >= first) stream[p[LoopRun::HEAD + s] - first] = s;
  const int32_t* terms = own + 3;
  Index rowsEach = mode == OVER_ROWS ? most(16, least(ROWS, 2 * CHUNK / n)) : most(1, CHUNK / n);
  Index each = mode == ALL ? CHUNK : rowsEach * n, step = mode == ALL ? STEP : most(1, STEP / n) * n;
  Index room = divideUp(step, 16) * 16;  // keeps what follows aligned
  Index chunks = divideUp(size, each), width = mode == OVER_ROWS ? n : 1;
  double* totals = scratchOf<double>(SHARED, chunks * sums * (mode == OVER_ROWS ? divideUp(n, 2) : 1));
  float* partial = reinterpret_cast<float*>(totals);  // [chunk, sum, column]

  parallelFor(chunks, size * (LoopRun::cost(p) + sums), [&](Index chunk) {
    float* values = scratchOf<float>(TILE, sums * room + LoopRun::memory(p));
    LoopRun run(p, c.operands, values + sums * room);
    Index end = least(size, (chunk + 1) * each);
    double total[MOST] = {};
    if (mode == OVER_ROWS) zeroBytes(partial + chunk * sums * n, sums * n * 4);
    for (Index from = chunk * each; from < end; from += step) {
      Index count = least(step, end - from);
      for (int k = 0; k < sums; k++)
        if (terms[k] >= first) run.place(stream[k], reinterpret_cast<char*>(values + k * room - from));
      run.run(from, count);
      for (int k = 0; k < sums; k++) {
        const float* x = terms[k] >= first ? values + k * room : c.at<float>(terms[k]) + from;
        if (mode == ALL) {
          total[k] += sumOf(x, count);
        } else if (mode == ALONG_ROWS) {
          for (Index r = 0; r * n < count; r++) c.at<float>(first + k)[from / n + r] = static_cast<float>(sumOf(x + r * n, n));
        } else {
          float* sum = partial + (chunk * sums + k) * n;
          Index j = addRows<1>(x, count / n, n, addRows<4>(x, count / n, n, 0, sum), sum);
          for (; j < n; j++)
            for (Index r = 0; r * n < count; r++) sum[j] += x[r * n + j];
        }
      }
    }
    for (int k = 0; k < sums && mode == ALL; k++) totals[chunk * sums + k] = total[k];
  });
  if (mode == ALONG_ROWS) return;
  parallelFor(divideUp(width, STRIP), mode == ALL ? 0 : chunks * sums * n / 4, [&](Index strip) {
    Index from = strip * STRIP, count = least(STRIP, width - from);
    for (int k = 0; k < sums; k++) {
      double total[STRIP] = {};
      for (Index chunk = 0; chunk < chunks; chunk++) {
        Index at = (chunk * sums + k) * width + from;
        for (Index j = 0; j < count; j++) total[j] += mode == ALL ? totals[at + j] : partial[at + j];
      }
      for (Index j = 0; j < count; j++) c.at<float>(first + k)[from + j] = static_cast<float>(total[j]);
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
