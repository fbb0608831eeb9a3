// Softmax and its kin along an axis, and the cross-entropy of logits, each without its intermediates.
#include "kernels.hpp"
#include "rows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

enum Form { SOFTMAX, LOG_SOFTMAX, LOG_SUM_EXP };

float finiteOrZero(float x) { return x - x == 0.0f ? x : 0.0f; }

double expSum(const float* x, Index n, float shift) {
  return sumOver(n, [&](Index i, Index count) { return expOf(loadUpTo(x + i, count) - shift); });
}

template <Form FORM>
void oneRow(const float* x, float* y, Index n) {
  float largest = maxOf(x, n);
  if (FORM == LOG_SUM_EXP) {
    float shift = finiteOrZero(largest);
    *y = shift + logScalar(static_cast<float>(expSum(x, n, shift)));
  } else if (FORM == LOG_SOFTMAX) {
    float total = logScalar(static_cast<float>(expSum(x, n, largest)));
    eachVector(n, [&](Index i, Index count) { storeUpTo(y + i, (loadUpTo(x + i, count) - largest) - total, count); });
  } else {
    double total = sumOver(n, [&](Index i, Index count) {
      F e = expOf(loadUpTo(x + i, count) - largest);
      storeUpTo(y + i, e, count);
      return e;
    });
    float by = static_cast<float>(total);
    eachVector(n, [&](Index i, Index count) { storeUpTo(y + i, loadUpTo(y + i, count) / by, count); });
  }
}

// W lanes side by side, `step` floats from one element of a lane to the next.
template <Form FORM>
void lanesAtOnce(const float* x, float* y, Index n, Index step, Index count) {
  F largest = splat(-__builtin_inff());
  for (Index i = 0; i < n; i++) largest = larger(loadUpTo(x + i * step, count), largest);
  F shift = FORM == LOG_SUM_EXP ? select(absolute(largest) < __builtin_inff(), largest, F{}) : largest;
  F total = {};
  for (Index i = 0; i < n; i++) {
    F e = expOf(loadUpTo(x + i * step, count) - shift);
    if (FORM == SOFTMAX) storeUpTo(y + i * step, e, count);
    total += e;
  }
  if (FORM == LOG_SUM_EXP) {
    storeUpTo(y, shift + logOf(total), count);
  } else if (FORM == LOG_SOFTMAX) {
    F log = logOf(total);
    for (Index i = 0; i < n; i++)
      storeUpTo(y + i * step, (loadUpTo(x + i * step, count) - shift) - log, count);
  } else {
    for (Index i = 0; i < n; i++) storeUpTo(y + i * step, loadUpTo(y + i * step, count) / total, count);
  }
}

template <Form FORM>
void along(const Call& c) {
  Index outer = c.params[0], n = c.params[1], inner = c.params[2];
  const float* x = c.at<float>(0);
  float* y = c.at<float>(1);
  Index result = FORM == LOG_SUM_EXP ? 1 : n;  // elements of a lane of y
  if (inner == 1)
    return overRows(outer, n, 12, [&](Index row) { oneRow<FORM>(x + row * n, y + row * result, n); });
  Index strips = divideUp(inner, W);
  overRows(outer * strips, n * W, 12, [&](Index i) {
    Index o = i / strips, j = i % strips * W;
    lanesAtOnce<FORM>(x + o * n * inner + j, y + o * result * inner + j, n, inner, inner - j);
  });
}

// The first label outside [0, classes) stops the stream.
bool labelsFit(const Call& c, const int32_t* labels, Index rows, Index classes) {
  for (Index r = 0; r < rows; r++) {
    if (labels[r] < 0 || labels[r] >= classes) {
      c.fail(labels[r], static_cast<int32_t>(classes));
      return false;
    }
  }
  return true;
}

}  // namespace

// Equal softmax and logSoftmax of src/engine/ops/fused-softmax.ts, logSumExp of reduce.ts. params: outer, n, inner.
void softmax(const Call& c) { along<SOFTMAX>(c); }
void logSoftmax(const Call& c) { along<LOG_SOFTMAX>(c); }
void logSumExp(const Call& c) { along<LOG_SUM_EXP>(c); }

// Equals crossEntropy of src/engine/ops/fused-softmax.ts. params: rows, classes. Operands: logits, labels, loss.
void crossEntropy(const Call& c) {
  Index rows = c.params[0], n = c.params[1];
  const int32_t* labels = c.at<int32_t>(1);
  if (!labelsFit(c, labels, rows, n)) return;
  overRows(rows, n, 10, [&](Index r) {
    const float* x = c.at<float>(0) + r * n;
    float largest = maxOf(x, n);
    c.at<float>(2)[r] = logScalar(static_cast<float>(expSum(x, n, largest))) - (x[labels[r]] - largest);
  });
}

// Equals crossEntropyGrad of src/engine/ops/fused-softmax.ts. params: rows, classes. Operands: logits, labels, ct, result.
void crossEntropyGrad(const Call& c) {
  Index rows = c.params[0], n = c.params[1];
  const int32_t* labels = c.at<int32_t>(1);
  if (!labelsFit(c, labels, rows, n)) return;
  overRows(rows, n, 14, [&](Index r) {
    const float* x = c.at<float>(0) + r * n;
    float ct = c.at<float>(2)[r];
    float* y = c.at<float>(3) + r * n;
    int32_t label = labels[r];
    oneRow<SOFTMAX>(x, y, n);
    eachVector(n, [&](Index i, Index count) { storeUpTo(y + i, loadUpTo(y + i, count) * ct, count); });
    y[label] -= ct;
  });
}

}  // namespace VARIANT
}  // namespace chainrule
