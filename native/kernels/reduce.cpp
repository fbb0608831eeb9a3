// Reductions over any axes: sum, max, min, prod. Blocks of fixed size keep sums accurate and their order fixed.
#include "kernels.hpp"
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr int RANK = 4;         // groups of merged axes, kept and reduced in turn
constexpr Index SPAN = 4096;    // elements summed in float32 before they join the wide total
constexpr Index ROWS = 128;     // rows summed in float32 before they join the wide totals
constexpr Index PIECE = 32768;  // elements of one thread's share of a long reduction

struct Walk {
  int rank;
  Index dims[RANK], strides[RANK];
  Index size() const {
    Index n = 1;
    for (int i = 0; i < rank; i++) n *= dims[i];
    return n;
  }
  Index at(Index i) const {
    if (rank == 1) return i * strides[0];
    Index offset = 0;
    for (int axis = rank - 1; axis >= 0; axis--) {
      offset += i % dims[axis] * strides[axis];
      i /= dims[axis];
    }
    return offset;
  }
};

// An operation: on vectors and scalars of the element type, and on the wide type that joins the blocks.
struct SumFloat {
  typedef float T;
  typedef F V;
  typedef double Wide;
  static Wide identity() { return 0; }
  static ALWAYS_INLINE V both(V a, V b) { return a + b; }
  static ALWAYS_INLINE T both(T a, T b) { return a + b; }
  static Wide join(Wide a, Wide b) { return a + b; }
};
struct SumInt {
  typedef uint32_t T;
  typedef U V;
  typedef uint32_t Wide;
  static Wide identity() { return 0; }
  static ALWAYS_INLINE V both(V a, V b) { return a + b; }
  static ALWAYS_INLINE T both(T a, T b) { return a + b; }
  static Wide join(Wide a, Wide b) { return a + b; }
};
struct ProdFloat {
  typedef float T;
  typedef F V;
  typedef double Wide;
  static Wide identity() { return 1; }
  static ALWAYS_INLINE V both(V a, V b) { return a * b; }
  static ALWAYS_INLINE T both(T a, T b) { return a * b; }
  static Wide join(Wide a, Wide b) { return a * b; }
};
struct ProdInt {
  typedef uint32_t T;
  typedef U V;
  typedef uint32_t Wide;
  static Wide identity() { return 1; }
  static ALWAYS_INLINE V both(V a, V b) { return a * b; }
  static ALWAYS_INLINE T both(T a, T b) { return a * b; }
  static Wide join(Wide a, Wide b) { return a * b; }
};
struct MaxFloat {
  typedef float T;
  typedef F V;
  typedef float Wide;
  static Wide identity() { return -__builtin_inff(); }
  static ALWAYS_INLINE V both(V a, V b) { return larger(a, b); }
  static ALWAYS_INLINE T both(T a, T b) { return a > b || a != a ? a : b; }
  static Wide join(Wide a, Wide b) { return both(a, b); }
};
struct MinFloat {
  typedef float T;
  typedef F V;
  typedef float Wide;
  static Wide identity() { return __builtin_inff(); }
  static ALWAYS_INLINE V both(V a, V b) { return smaller(a, b); }
  static ALWAYS_INLINE T both(T a, T b) { return a < b || a != a ? a : b; }
  static Wide join(Wide a, Wide b) { return both(a, b); }
};
struct MaxInt {
  typedef int32_t T;
  typedef I V;
  typedef int32_t Wide;
  static Wide identity() { return INT32_MIN; }
  static ALWAYS_INLINE V both(V a, V b) { return select(a > b, a, b); }
  static ALWAYS_INLINE T both(T a, T b) { return a > b ? a : b; }
  static Wide join(Wide a, Wide b) { return both(a, b); }
};
struct MinInt {
  typedef int32_t T;
  typedef I V;
  typedef int32_t Wide;
  static Wide identity() { return INT32_MAX; }
  static ALWAYS_INLINE V both(V a, V b) { return select(a < b, a, b); }
  static ALWAYS_INLINE T both(T a, T b) { return a < b ? a : b; }
  static Wide join(Wide a, Wide b) { return both(a, b); }
};

// One contiguous stretch, four running vectors.
template <class Op>
__attribute__((noinline)) typename Op::Wide stretch(const typename Op::T* x, Index n) {
  typedef typename Op::T T;
  typedef typename Op::V V;
  T total = static_cast<T>(Op::identity());
  Index i = 0;
  if (n >= 4 * W) {
    V run[4];
    for (int v = 0; v < 4; v++) run[v] = load<V>(x + v * W);
    for (i = 4 * W; i + 4 * W <= n; i += 4 * W)
      for (int v = 0; v < 4; v++) run[v] = Op::both(run[v], load<V>(x + i + v * W));
    T lanes[W];
    store(lanes, Op::both(Op::both(run[0], run[1]), Op::both(run[2], run[3])));
    for (int half = W / 2; half > 0; half /= 2)
      for (int j = 0; j < half; j++) lanes[j] = Op::both(lanes[j], lanes[j + half]);
    total = lanes[0];
  }
  for (; i < n; i++) total = Op::both(total, x[i]);
  return total;
}

// The last axis is reduced and contiguous. A unit is one span of one row; pieces are fixed runs of units.
template <class Op>
void alongRows(const typename Op::T* x, typename Op::T* y, const Walk& kept, const Walk& reduced) {
  typedef typename Op::Wide Wide;
  Index run = reduced.dims[reduced.rank - 1], outputs = kept.size(), all = reduced.size();
  Walk outer = reduced;
  outer.rank--;
  Index spans = divideUp(run, SPAN), units = all / run * spans;
  auto part = [&](Index k, Index begin, Index end) {
    Wide total = Op::identity();
    for (Index u = begin; u < end; u++) {
      Index row = u / spans, from = u % spans * SPAN;
      total = Op::join(total, stretch<Op>(x + k + outer.at(row) + from, least(SPAN, run - from)));
    }
    return total;
  };
  Index unitsEach = most(1, PIECE / least(run, SPAN)), pieces = divideUp(units, unitsEach);
  if (outputs >= 8 || pieces == 1) {
    Index each = most(1, PIECE / all);
    parallelFor(divideUp(outputs, each), outputs * all / 4, [&](Index chunk) {
      Index end = least(outputs, (chunk + 1) * each);
      for (Index k = chunk * each; k < end; k++)
        y[k] = static_cast<typename Op::T>(part(kept.at(k), 0, units));
    });
    return;
  }
  Wide* partial = scratchOf<Wide>(SHARED, outputs * pieces);
  parallelFor(outputs * pieces, outputs * all / 4, [&](Index i) {
    Index piece = i % pieces;
    partial[i] = part(kept.at(i / pieces), piece * unitsEach, least(units, (piece + 1) * unitsEach));
  });
  for (Index k = 0; k < outputs; k++) {
    Wide total = Op::identity();
    for (Index i = 0; i < pieces; i++) total = Op::join(total, partial[k * pieces + i]);
    y[k] = static_cast<typename Op::T>(total);
  }
}

// Columns [0, n) of rows [begin, end), joined into `total`.
template <class Op>
__attribute__((noinline)) void columns(const typename Op::T* x, const Walk& rows, Index begin, Index end, Index n, typename Op::Wide* total) {
  typedef typename Op::T T;
  typedef typename Op::V V;
  Index j = 0;
  for (; j + W <= n; j += (j + 4 * W <= n ? 4 * W : W)) {
    int vectors = j + 4 * W <= n ? 4 : 1;
    for (Index r0 = begin; r0 < end; r0 += ROWS) {
      Index r1 = least(end, r0 + ROWS);
      V run[4] = {};
      for (int v = 0; v < vectors; v++) run[v] = load<V>(x + rows.at(r0) + j + v * W);
      if (vectors == 4) {
        for (Index r = r0 + 1; r < r1; r++) {
          const T* row = x + rows.at(r) + j;
          for (int v = 0; v < 4; v++) run[v] = Op::both(run[v], load<V>(row + v * W));
        }
      } else {
        for (Index r = r0 + 1; r < r1; r++) run[0] = Op::both(run[0], load<V>(x + rows.at(r) + j));
      }
      T lanes[4 * W];
      for (int v = 0; v < vectors; v++) store(lanes + v * W, run[v]);
      for (int i = 0; i < vectors * W; i++) total[j + i] = Op::join(total[j + i], lanes[i]);
    }
  }
  if (j == n) return;
  for (Index r = begin; r < end; r++) {
    const T* row = x + rows.at(r);
    for (Index i = j; i < n; i++) total[i] = Op::join(total[i], row[i]);
  }
}

// The last axis is kept and contiguous: whole rows are joined.
template <class Op>
void acrossRows(const typename Op::T* x, typename Op::T* y, const Walk& kept, const Walk& reduced) {
  typedef typename Op::Wide Wide;
  Index n = kept.dims[kept.rank - 1], rows = reduced.size();
  Walk outer = kept;
  outer.rank--;
  Index outputs = outer.size();
  constexpr Index STRIP = 256;
  Index strips = divideUp(n, STRIP);
  Index each = most(ROWS, PIECE / least(n, STRIP)), pieces = divideUp(rows, each);
  auto width = [&](Index i) { return least(STRIP, n - i % strips * STRIP); };
  auto gather = [&](Index i, Index piece, Wide* total) {
    for (Index j = 0; j < width(i); j++) total[j] = Op::identity();
    const typename Op::T* from = x + outer.at(i / strips) + i % strips * STRIP;
    columns<Op>(from, reduced, piece * each, least(rows, (piece + 1) * each), width(i), total);
  };
  auto finish = [&](Index i, const Wide* total) {
    typename Op::T* to = y + i / strips * n + i % strips * STRIP;
    for (Index j = 0; j < width(i); j++) to[j] = static_cast<typename Op::T>(total[j]);
  };
  Index tasks = outputs * strips, work = outputs * rows * n / 4;
  if (pieces == 1) {
    Index group = most(1, PIECE / (rows * least(n, STRIP)));
    return parallelFor(divideUp(tasks, group), work, [&](Index chunk) {
      Wide total[STRIP];
      for (Index i = chunk * group; i < least(tasks, (chunk + 1) * group); i++) {
        gather(i, 0, total);
        finish(i, total);
      }
    });
  }
  Wide* partial = scratchOf<Wide>(SHARED, tasks * pieces * STRIP);
  parallelFor(tasks * pieces, work, [&](Index t) { gather(t / pieces, t % pieces, partial + t * STRIP); });
  for (Index i = 0; i < tasks; i++) {
    Wide* total = partial + i * pieces * STRIP;
    for (Index piece = 1; piece < pieces; piece++)
      for (Index j = 0; j < width(i); j++) total[j] = Op::join(total[j], total[piece * STRIP + j]);
    finish(i, total);
  }
}

template <class Op>
void reduceAs(const Call& c) {
  const int32_t* p = c.params + 1;
  Walk kept, reduced;
  Walk* walks[] = {&kept, &reduced};
  for (int w = 0; w < 2; w++) walks[w]->rank = p[w];
  p += 2;
  for (int w = 0; w < 2; w++) {
    Walk& walk = *walks[w];
    for (int i = 0; i < walk.rank; i++) {
      walk.dims[i] = p[i];
      walk.strides[i] = p[walk.rank + i];
    }
    p += 2 * walk.rank;
  }
  auto* x = c.at<typename Op::T>(0);
  auto* y = c.at<typename Op::T>(1);
  Index outputs = kept.size();
  if (outputs == 0) return;
  if (reduced.size() == 0) {
    for (Index i = 0; i < outputs; i++) y[i] = static_cast<typename Op::T>(Op::identity());
  } else if (reduced.rank > 0 && (kept.rank == 0 || reduced.strides[reduced.rank - 1] == 1)) {
    alongRows<Op>(x, y, kept, reduced);
  } else {
    acrossRows<Op>(x, y, kept, reduced);
  }
}

}  // namespace

// Equals sum, max, min, prod of src/engine/ops (layout.ts, reduce.ts).
// params: float?, kept rank, reduced rank, kept dims, kept strides, reduced dims, reduced strides (merged axes).
void reduceSum(const Call& c) { c.params[0] ? reduceAs<SumFloat>(c) : reduceAs<SumInt>(c); }
void reduceMax(const Call& c) { c.params[0] ? reduceAs<MaxFloat>(c) : reduceAs<MaxInt>(c); }
void reduceMin(const Call& c) { c.params[0] ? reduceAs<MinFloat>(c) : reduceAs<MinInt>(c); }
void reduceProd(const Call& c) { c.params[0] ? reduceAs<ProdFloat>(c) : reduceAs<ProdInt>(c); }

}  // namespace VARIANT
}  // namespace chainrule
