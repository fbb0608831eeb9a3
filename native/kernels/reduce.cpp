// Reductions over any axes: sum, max, min, prod. Blocks of fixed size keep sums accurate and their order fixed.
#include "kernels.hpp"
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr int RANK = 4;         // groups of merged axes, kept and reduced in turn
constexpr Index SPAN = 4096;    // elements summed in float32 before they join the wide total
constexpr Index ROWS = 128;     // rows summed in float32 before they join the wide totals
constexpr int WIDE = W == 16 ? 16 : 8;  // vectors of columns at a time: as many as stay in registers
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

// What blocks are joined in: float64 for floats, modulo 2^32 for integers.
union Wide {
  double real;
  uint32_t whole;
};

// An operation on one element type: vectors V and scalars T within a block, wide values across blocks.
template <class Tt, class Vv>
struct Typed {
  typedef Tt T;
  typedef Vv V;
};
struct SumFloat : Typed<float, F> {
  static constexpr double identity = 0;
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a + b; }
};
struct SumInt : Typed<uint32_t, U> {
  static constexpr uint32_t identity = 0;
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a + b; }
};
struct ProdFloat : Typed<float, F> {
  static constexpr double identity = 1;
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a * b; }
};
struct ProdInt : Typed<uint32_t, U> {
  static constexpr uint32_t identity = 1;
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a * b; }
};
struct MaxFloat : Typed<float, F> {
  static constexpr double identity = -__builtin_inf();
  static ALWAYS_INLINE V both(V a, V b) { return larger(a, b); }
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a > b || a != a ? a : b; }
};
struct MinFloat : Typed<float, F> {
  static constexpr double identity = __builtin_inf();
  static ALWAYS_INLINE V both(V a, V b) { return smaller(a, b); }
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a < b || a != a ? a : b; }
};
struct MaxInt : Typed<int32_t, I> {
  static constexpr int32_t identity = INT32_MIN;
  static ALWAYS_INLINE V both(V a, V b) { return select(a > b, a, b); }
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a > b ? a : b; }
};
struct MinInt : Typed<int32_t, I> {
  static constexpr int32_t identity = INT32_MAX;
  static ALWAYS_INLINE V both(V a, V b) { return select(a < b, a, b); }
  template <class X>
  static ALWAYS_INLINE X both(X a, X b) { return a < b ? a : b; }
};

// The parts of an operation that touch elements; the walks below are compiled once for all of them.
struct Table {
  void (*identity)(Wide* total, Index n);
  void (*stretch)(const uint32_t* x, Index n, Wide* total);
  void (*shortRows)(const uint32_t* x, Index rows, Index n, Index begin, Index end, uint32_t* y);
  void (*columns)(const uint32_t* x, const Walk& rows, Index begin, Index end, Index n, Wide* total);
  void (*joinAll)(Wide* total, const Wide* more, Index n);
  void (*finish)(const Wide* total, uint32_t* y, Index n);
};

template <class Op>
struct Reduction {
  typedef typename Op::T T;
  typedef typename Op::V V;
  static constexpr bool REAL = T(0.5) != T(0);

  // Joins one element or the result of a block into the wide total.
  static ALWAYS_INLINE void join(Wide& total, T x) {
    if constexpr (REAL) total.real = Op::both(total.real, static_cast<double>(x));
    else total.whole = static_cast<uint32_t>(Op::both(static_cast<T>(total.whole), x));
  }
  static void identity(Wide* total, Index n) {
    for (Index i = 0; i < n; i++) {
      if (REAL) total[i].real = static_cast<double>(Op::identity);
      else total[i].whole = static_cast<uint32_t>(Op::identity);
    }
  }
  static void joinAll(Wide* total, const Wide* more, Index n) {
    for (Index i = 0; i < n; i++) {
      if constexpr (REAL) total[i].real = Op::both(total[i].real, more[i].real);
      else join(total[i], static_cast<T>(more[i].whole));
    }
  }
  static void finish(const Wide* total, uint32_t* y, Index n) {
    for (Index i = 0; i < n; i++) {
      T x = REAL ? static_cast<T>(total[i].real) : static_cast<T>(total[i].whole);
      __builtin_memcpy(y + i, &x, 4);
    }
  }

  // All lanes joined, by halves.
  static ALWAYS_INLINE T fold(V v) {
#if defined(__AVX512F__)
    v = Op::both(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = Op::both(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));
    v = Op::both(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1));
    return Op::both(T(v[0]), T(v[1]));
#else
    T lanes[W];
    store(lanes, v);
    for (int half = W / 2; half > 0; half /= 2)
      for (int j = 0; j < half; j++) lanes[j] = Op::both(lanes[j], lanes[j + half]);
    return lanes[0];
#endif
  }
  // Lanes [from, to) of v, what changes nothing in the others.
  static ALWAYS_INLINE V only(V v, Index from, Index to) {
    static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    I lane = load<I>(numbers);
    V none = V{} + static_cast<T>(Op::identity);
    return select((lane >= static_cast<int32_t>(from)) & (lane < static_cast<int32_t>(to)), v, none);
  }
  // n ≥ W neighbours: four running vectors where there are so many; the last vector ends with them.
  static ALWAYS_INLINE T many(const T* x, Index n) {
    V run = load<V>(x);
    Index i = W;
    if (n >= 4 * W) {
      V more[3];
      for (int v = 0; v < 3; v++) more[v] = load<V>(x + (v + 1) * W);
      for (i = 4 * W; i + 4 * W <= n; i += 4 * W) {
        run = Op::both(run, load<V>(x + i));
        for (int v = 0; v < 3; v++) more[v] = Op::both(more[v], load<V>(x + i + (v + 1) * W));
      }
      run = Op::both(Op::both(run, more[0]), Op::both(more[1], more[2]));
    }
    for (; i + W <= n; i += W) run = Op::both(run, load<V>(x + i));
    if (i < n) run = Op::both(run, only(load<V>(x + n - W), W - (n - i), W));
    return fold(run);
  }
  static void stretch(const uint32_t* words, Index n, Wide* total) {
    const T* x = reinterpret_cast<const T*>(words);
    if (n >= W) return join(*total, many(x, n));
    for (Index i = 0; i < n; i++) join(*total, x[i]);
  }
  // Rows [begin, end) of n ≤ SPAN neighbours; `rows` lie one behind the other.
  static void shortRows(const uint32_t* words, Index rows, Index n, Index begin, Index end, uint32_t* y) {
    const T* x = reinterpret_cast<const T*>(words);
    T* out = reinterpret_cast<T*>(y);
    // A vector may reach into the next rows, but not past the last.
    Index reach = rows * n < W ? 0 : (rows * n - W) / n + 1;
    Index whole = n >= W ? end : most(begin, least(end, reach));
    for (Index r = begin; r < whole; r++) {
      if (n >= W) out[r] = many(x + r * n, n);
      else out[r] = fold(only(load<V>(x + r * n), 0, n));
    }
    for (Index r = whole; r < end; r++) {
      Wide total;
      identity(&total, 1);
      stretch(words + r * n, n, &total);
      finish(&total, y + r, 1);
    }
  }

  // VECTORS · W columns of rows [begin, end), blocks of ROWS rows at a time.
  template <int VECTORS>
  static ALWAYS_INLINE void strip(const T* x, const Walk& rows, Index begin, Index end, Wide* total) {
    for (Index r0 = begin; r0 < end; r0 += ROWS) {
      Index r1 = least(end, r0 + ROWS);
      V run[VECTORS];
      for (int v = 0; v < VECTORS; v++) run[v] = load<V>(x + rows.at(r0) + v * W);
      for (Index r = r0 + 1; r < r1; r++) {
        const T* row = x + rows.at(r);
        for (int v = 0; v < VECTORS; v++) run[v] = Op::both(run[v], load<V>(row + v * W));
      }
      T lanes[VECTORS * W];
      for (int v = 0; v < VECTORS; v++) store(lanes + v * W, run[v]);
      for (int i = 0; i < VECTORS * W; i++) join(total[i], lanes[i]);
    }
  }

  // Columns [0, n) of rows [begin, end).
  static void columns(const uint32_t* words, const Walk& rows, Index begin, Index end, Index n, Wide* total) {
    const T* x = reinterpret_cast<const T*>(words);
    Index j = 0;
    for (; j + WIDE * W <= n; j += WIDE * W) strip<WIDE>(x + j, rows, begin, end, total + j);
    for (; j + 4 * W <= n; j += 4 * W) strip<4>(x + j, rows, begin, end, total + j);
    for (; j + W <= n; j += W) strip<1>(x + j, rows, begin, end, total + j);
    if (j == n) return;
    for (Index r = begin; r < end; r++)
      for (Index i = j; i < n; i++) join(total[i], x[rows.at(r) + i]);
  }

  static constexpr Table table = {identity, stretch, shortRows, columns, joinAll, finish};
};

// The last axis is reduced and contiguous. A unit is one span of one row; pieces are fixed runs of units.
void alongRows(const Table& op, const uint32_t* x, uint32_t* y, const Walk& kept, const Walk& reduced) {
  Index run = reduced.dims[reduced.rank - 1], outputs = kept.size(), all = reduced.size();
  Walk outer = reduced;
  outer.rank--;
  Index spans = divideUp(run, SPAN), units = all / run * spans;
  auto part = [&](Index k, Index begin, Index end, Wide* total) {
    op.identity(total, 1);
    for (Index u = begin; u < end; u++) {
      Index row = u / spans, from = u % spans * SPAN;
      op.stretch(x + k + outer.at(row) + from, least(SPAN, run - from), total);
    }
  };
  Index unitsEach = most(1, PIECE / least(run, SPAN)), pieces = divideUp(units, unitsEach);
  if (outputs >= 8 || pieces == 1) {
    Index each = most(1, PIECE / all);
    bool together = run <= SPAN && all == run && (kept.rank == 0 || (kept.rank == 1 && kept.strides[0] == run));
    parallelFor(divideUp(outputs, each), outputs * all / 4, [&](Index chunk) {
      Index end = least(outputs, (chunk + 1) * each);
      if (together) return op.shortRows(x, outputs, run, chunk * each, end, y);
      for (Index k = chunk * each; k < end; k++) {
        Wide total;
        part(kept.at(k), 0, units, &total);
        op.finish(&total, y + k, 1);
      }
    });
    return;
  }
  Wide* partial = scratchOf<Wide>(SHARED, outputs * pieces);
  parallelFor(outputs * pieces, outputs * all / 4, [&](Index i) {
    Index piece = i % pieces;
    part(kept.at(i / pieces), piece * unitsEach, least(units, (piece + 1) * unitsEach), partial + i);
  });
  for (Index k = 0; k < outputs; k++) {
    Wide* total = partial + k * pieces;
    for (Index i = 1; i < pieces; i++) op.joinAll(total, total + i, 1);
    op.finish(total, y + k, 1);
  }
}

// The last axis is kept and contiguous: whole rows are joined.
void acrossRows(const Table& op, const uint32_t* x, uint32_t* y, const Walk& kept, const Walk& reduced) {
  Index n = kept.dims[kept.rank - 1], rows = reduced.size();
  Walk outer = kept;
  outer.rank--;
  constexpr Index STRIP = 256;
  Index outputs = outer.size(), strips = divideUp(n, STRIP);
  Index each = most(ROWS, PIECE / least(n, STRIP)), pieces = divideUp(rows, each);
  auto width = [&](Index i) { return least(STRIP, n - i % strips * STRIP); };
  auto gather = [&](Index i, Index piece, Wide* total) {
    op.identity(total, width(i));
    const uint32_t* from = x + outer.at(i / strips) + i % strips * STRIP;
    op.columns(from, reduced, piece * each, least(rows, (piece + 1) * each), width(i), total);
  };
  auto finish = [&](Index i, const Wide* total) {
    op.finish(total, y + i / strips * n + i % strips * STRIP, width(i));
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
    for (Index piece = 1; piece < pieces; piece++) op.joinAll(total, total + piece * STRIP, width(i));
    finish(i, total);
  }
}

void reduce(const Call& c, const Table& op) {
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
  const uint32_t* x = c.at<uint32_t>(0);
  uint32_t* y = c.at<uint32_t>(1);
  Index outputs = kept.size();
  if (outputs == 0) return;
  if (reduced.size() == 0) {
    Wide total;
    op.identity(&total, 1);
    for (Index i = 0; i < outputs; i++) op.finish(&total, y + i, 1);
  } else if (reduced.rank > 0 && reduced.strides[reduced.rank - 1] == 1) {
    alongRows(op, x, y, kept, reduced);
  } else {
    acrossRows(op, x, y, kept, reduced);
  }
}

template <class Real, class Whole>
void reduceAs(const Call& c) {
  reduce(c, c.params[0] ? Reduction<Real>::table : Reduction<Whole>::table);
}

}  // namespace

// Equals sum, max, min, prod of src/engine/ops (layout.ts, reduce.ts).
// params: float?, kept rank, reduced rank, kept dims, kept strides, reduced dims, reduced strides (merged axes).
void reduceSum(const Call& c) { reduceAs<SumFloat, SumInt>(c); }
void reduceMax(const Call& c) { reduceAs<MaxFloat, MaxInt>(c); }
void reduceMin(const Call& c) { reduceAs<MinFloat, MinInt>(c); }
void reduceProd(const Call& c) { reduceAs<ProdFloat, ProdInt>(c); }

}  // namespace VARIANT
}  // namespace chainrule
