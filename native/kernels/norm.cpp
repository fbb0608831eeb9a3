// Normalisation of rows: layerNorm with its gradient, rmsNorm.
#include "kernels.hpp"
#include "rows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

struct Moments {
  float mean, factor;
};

// Mean, and 1/√(variance + ε), in two passes: no difference of large squares.
Moments momentsOf(const float* x, Index n, float epsilon) {
  double count = static_cast<double>(n);
  float mean = static_cast<float>(sumOver(n, [&](Index i, Index part) { return loadUpTo(x + i, part); }) / count);
  double square = sumOver(n, [&](Index i, Index part) {
    F d = loadUpTo(x + i, part) - mean;
    return d * d;
  });
  return {mean, static_cast<float>(1.0 / __builtin_sqrt(square / count + epsilon))};
}

}  // namespace

// Equals layerNorm of src/engine/ops/fused-norm.ts. params: rows, n, epsilon. Operands: x, scale, bias, y.
void layerNorm(const Call& c) {
  Index rows = c.params[0], n = c.params[1];
  float epsilon = floatOf(c.params[2]);
  const float *scale = c.at<float>(1), *bias = c.at<float>(2);
  overRows(rows, n, 4, [&](Index r) {
    const float* x = c.at<float>(0) + r * n;
    float* y = c.at<float>(3) + r * n;
    Moments m = momentsOf(x, n, epsilon);
    eachVector(n, [&](Index i, Index part) {
      F unit = (loadUpTo(x + i, part) - m.mean) * m.factor;
      storeUpTo(y + i, unit * loadUpTo(scale + i, part) + loadUpTo(bias + i, part), part);
    });
  });
}

// Equals rmsNorm of src/engine/ops/fused-norm.ts. params: rows, n, epsilon. Operands: x, scale, y.
void rmsNorm(const Call& c) {
  Index rows = c.params[0], n = c.params[1];
  float epsilon = floatOf(c.params[2]);
  const float* scale = c.at<float>(1);
  overRows(rows, n, 3, [&](Index r) {
    const float* x = c.at<float>(0) + r * n;
    float* y = c.at<float>(2) + r * n;
    double square = sumOver(n, [&](Index i, Index part) {
      F v = loadUpTo(x + i, part);
      return v * v;
    });
    float factor = static_cast<float>(1.0 / __builtin_sqrt(square / static_cast<double>(n) + epsilon));
    eachVector(n, [&](Index i, Index part) {
      storeUpTo(y + i, loadUpTo(x + i, part) * factor * loadUpTo(scale + i, part), part);
    });
  });
}

// Equals layerNormGrad of src/engine/ops/fused-norm.ts. params: rows, n, epsilon.
// Operands: x, scale, ct, dx, dscale, dbias. The sums over rows go by fixed groups of rows.
void layerNormGrad(const Call& c) {
  Index rows = c.params[0], n = c.params[1];
  float epsilon = floatOf(c.params[2]);
  const float* scale = c.at<float>(1);
  Index each = most(64, divideUp(rows, 256)), groups = divideUp(rows, each);
  float* partial = scratchOf<float>(SHARED, groups * 2 * n);
  parallelFor(groups, rows * n * 8, [&](Index group) {
    float *dscale = partial + group * 2 * n, *dbias = dscale + n;
    zeroBytes(dscale, 2 * n * 4);
    Index end = least(rows, (group + 1) * each);
    for (Index r = group * each; r < end; r++) {
      const float *x = c.at<float>(0) + r * n, *ct = c.at<float>(2) + r * n;
      float* dx = c.at<float>(3) + r * n;
      Moments m = momentsOf(x, n, epsilon);
      auto unit = [&](Index i, Index part) { return (loadUpTo(x + i, part) - m.mean) * m.factor; };
      auto g = [&](Index i, Index part) { return loadUpTo(ct + i, part) * loadUpTo(scale + i, part); };
      double count = static_cast<double>(n);
      float meanG = static_cast<float>(sumOver(n, g) / count);
      float meanGX =
          static_cast<float>(sumOver(n, [&](Index i, Index part) { return g(i, part) * unit(i, part); }) / count);
      eachVector(n, [&](Index i, Index part) {
        F u = unit(i, part), t = loadUpTo(ct + i, part);
        storeUpTo(dscale + i, loadUpTo(dscale + i, part) + t * u, part);
        storeUpTo(dbias + i, loadUpTo(dbias + i, part) + t, part);
        storeUpTo(dx + i, ((g(i, part) - meanG) - u * meanGX) * m.factor, part);
      });
    }
  });
  for (Index i = 0; i < n; i++) {
    double dscale = 0, dbias = 0;
    for (Index group = 0; group < groups; group++) {
      dscale += partial[group * 2 * n + i];
      dbias += partial[group * 2 * n + n + i];
    }
    c.at<float>(4)[i] = static_cast<float>(dscale);
    c.at<float>(5)[i] = static_cast<float>(dbias);
  }
}

}  // namespace VARIANT
}  // namespace chainrule
