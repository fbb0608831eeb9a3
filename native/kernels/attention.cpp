// Attention and its gradient by tiles of queries: of the matrix of scores a thread holds a few rows at a time.
// Online softmax as in Milakov & Gimelshein (2018); tiles and the backward pass as in Dao et al., "FlashAttention" (2022).
#include "attention.hpp"
#include "gemm.hpp"
#include "rows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index QUERIES = 64;  // rows of a tile
constexpr Index AHEAD = 16;    // rows of V between what is read and what is asked for
constexpr Index KEYS = 128;    // columns of a tile: a tile of scores is 32 KiB

// Rows of scores are as long as whole vectors: what is behind the last score is never read as one.
ALWAYS_INLINE Index wholeVectors(Index n) { return divideUp(n, W) * W; }

// Scales the first n scores of a row and puts −∞ where the query may not look, to the end of the vector. Gives the
// largest; NaN if one is NaN.
float maskScores(float* x, Index n, float scale, const Sight& sight) {
  const F lowest = splat(-__builtin_inff());
  F best = lowest;
  I lane = {};
  for (int i = 0; i < W; i++) lane[i] = i;
  bool all = sight.all();
  for (Index i = 0; i < n; i += W) {
    F score = loadF(x + i) * scale;
    if (!all) score = select(sight.allowed(i, n - i), score, lowest);
    if (n - i < W) score = select(lane < static_cast<int32_t>(n - i), score, lowest);
    store(x + i, score);
    best = larger(score, best);
  }
  return largestLane(best);
}

// Exponentials of the first n scores of a row in place, zeros from there to `width`; gives their sum. Where no key is
// allowed, all are 0.
float exponentials(float* x, Index n, Index width, float largest) {
  float shift = largest == -__builtin_inff() ? 0.0f : largest;
  Index end = wholeVectors(n);
  double total = sumOver(end, [&](Index i, Index) {
    F score = loadF(x + i);
    F e = select(score == -__builtin_inff(), F{}, expOf(score - shift));
    store(x + i, e);
    return e;
  });
  if (end < width) zeroBytes(x + end, (width - end) * 4);
  return static_cast<float>(total);
}

// Copies n weights, from place `from` among all on, with those dropped that the key says; to the end of the vector.
void dropWeights(const Keeps& keeps, Index from, const float* x, Index n, float by, float* to) {
  for (Index i = 0; i < n; i += Keeps::BLOCK)
    keeps.each(from + i, least(Keeps::BLOCK, n - i), [&](Index j, Index, I kept) {
      store(to + i + j, select(kept, loadF(x + i + j) * by, F{}));
    });
}

void zeroRows(float* x, Index rows, Index n, Index step) {
  for (Index r = 0; r < rows; r++) zeroBytes(x + r * step, n * 4);
}

void scaleRow(float* x, Index n, float by) {
  eachVector(n, [&](Index i, Index count) { storeUpTo(x + i, loadUpTo(x + i, count) * by, count); });
}

// Products of a tile of queries from t0 and keys from s0, without the blocks in which no query sees a key: those are
// left as they are in the scores, and count as zeros elsewhere. A strip is as wide as a register tile.
struct Tile {
  const Sizes& z;
  Index t0, s0, rows, width;

  /// Calls fn(j, columns, r0) for the keys from j on that the rows from r0 on see.
  template <class Fn>
  void strips(Fn fn) const {
    for (Index j = 0; j < width;) {
      Index r0 = z.firstRow(t0, s0 + j) / MR * MR, end = j + NR;
      while (end < width && z.firstRow(t0, s0 + end) / MR * MR == r0) end += NR;
      if (r0 >= rows) return;
      end = least(end, width);
      fn(j, end - j, r0);
      j = end;
    }
  }
  /// scores[rows, width] = a[rows, depth] · bᵀ
  void scores(const float* a, const float* b, float* to, Index step) const {
    strips([&](Index j, Index columns, Index r0) {
      gemm(rows - r0, columns, z.depth, {a + r0 * z.qRow, z.qRow, 1}, {b + j * z.kRow, z.kRow, 1},
           to + r0 * step + j, step, false);
    });
  }
  /// to[rows, depth] (+)= scores · b
  void mix(const float* scores, Index step, const float* b, float* to, bool add) const {
    Index block = z.causal ? 2 * MR : rows;
    for (Index r = 0; r < rows;) {
      auto seen = [&](Index i) { return least(width, most(0, z.seen(t0 + least(rows, i + block) - 1) - s0)); };
      Index k = seen(r), end = r + block;
      while (end < rows && seen(end) == k) end += block;
      end = least(end, rows);
      gemm(end - r, z.depth, k, {scores + r * step, step, 1}, {b, 1, z.kRow}, to + r * z.qRow, z.qRow, add);
      r = end;
    }
  }
  /// to[width, depth] += scoresᵀ · a
  void spread(const float* scores, Index step, const float* a, float* to) const {
    strips([&](Index j, Index columns, Index r0) {
      gemm(columns, z.depth, rows - r0, {scores + r0 * step + j, 1, step}, {a + r0 * z.qRow, 1, z.qRow},
           to + j * z.kRow, z.kRow, true);
    });
  }
};

// Asks for one head's row of K or V. With heads inside, rows are far apart: the memory's own look-ahead does not see them.
ALWAYS_INLINE void askFor(const float* row, Index depth) {
  for (Index i = 0; i < depth; i += 16) __builtin_prefetch(row + i);
}

// One query over its keys, as in decoding: K and V are read once, in place.
void oneQuery(const Sizes& z, Index b, Index h, Index t, const float* q, const float* k, const float* v, float* y) {
  Range range = z.keysOf(b, t, 1);
  Index n = range.end - range.first, depth = z.depth, end = wholeVectors(n);
  float* scores = scratchOf<float>(TILE, end);
  k += range.first * z.kRow;
  v += range.first * z.kRow;
  for (Index s = 0; s < n; s += W) {
    F part[W];
    for (Index j = 0; j < W; j++) {
      const float* row = k + least(s + j, n - 1) * z.kRow;
      if (s + W + j < n) askFor(row + W * z.kRow, depth);
      F sum = {};
      eachVector(depth, [&](Index i, Index count) { sum += loadUpTo(row + i, count) * loadUpTo(q + i, count); });
      part[j] = sum;
    }
    transposeFrom<1>(part);
    for (int step = 1; step < W; step *= 2)
      for (int j = 0; j < W; j += 2 * step) part[j] += part[j + step];
    store(scores + s, part[0]);
  }
  float total = exponentials(scores, n, end, maskScores(scores, n, z.scale, z.sight(b, h, t, range.first)));
  float by = total != 0.0f ? z.keptBy / total : 0.0f;
  if (z.dropping()) dropWeights(z.keeps, z.place(b, h, t, range.first), scores, n, 1.0f, scores);
  for (Index i = 0; i < depth; i += 2 * W) {
    Index first = least(W, depth - i), second = most(0, least(W, depth - i - W));
    F sum[4][2] = {};
    Index s = 0;
    for (; s + 4 <= n; s += 4)
      for (int j = 0; j < 4; j++) {
        const float* row = v + (s + j) * z.kRow + i;
        if (s + j + AHEAD < n) askFor(row + AHEAD * z.kRow, least(2 * W, depth - i));
        sum[j][0] += scores[s + j] * loadUpTo(row, first);
        if (second > 0) sum[j][1] += scores[s + j] * loadUpTo(row + W, second);
      }
    for (; s < n; s++) {
      const float* row = v + s * z.kRow + i;
      sum[0][0] += scores[s] * loadUpTo(row, first);
      if (second > 0) sum[0][1] += scores[s] * loadUpTo(row + W, second);
    }
    storeUpTo(y + i, (sum[0][0] + sum[1][0] + (sum[2][0] + sum[3][0])) * by, first);
    if (second > 0) storeUpTo(y + i + W, (sum[0][1] + sum[1][1] + (sum[2][1] + sum[3][1])) * by, second);
  }
}

// One tile of queries of one head over all keys they see.
void forwardTile(const Sizes& z, Index b, Index h, Index t0, const float* q, const float* k, const float* v, float* y) {
  Index rows = least(QUERIES, z.queries - t0), depth = z.depth;
  if (rows == 1) return oneQuery(z, b, h, t0, q, k, v, y);
  auto [first, last] = z.keysOf(b, t0, rows);
  float* scores = scratchOf<float>(TILE, QUERIES * KEYS);
  float largest[QUERIES], total[QUERIES];
  for (Index r = 0; r < rows; r++) {
    largest[r] = -__builtin_inff();
    total[r] = 0;
  }
  if (first >= last) zeroRows(y, rows, depth, z.qRow);
  for (Index s0 = first; s0 < last; s0 += KEYS) {
    Index width = least(KEYS, last - s0);
    Tile tile = {z, t0, s0, rows, width};
    tile.scores(q, k + s0 * z.kRow, scores, KEYS);
    for (Index r = 0; r < rows; r++) {
      float* x = scores + r * KEYS;
      Index n = least(width, most(0, z.seen(t0 + r) - s0));
      float here = maskScores(x, n, z.scale, z.sight(b, h, t0 + r, s0)), before = largest[r];
      float now = before > here || before != before ? before : here;
      // What was summed so far counts from the largest score so far; nothing was summed before the first.
      float by = before == now || before == -__builtin_inff() ? 1.0f : expOf(splat(before - now))[0];
      total[r] = total[r] * by + exponentials(x, n, width, now);
      if (s0 > first && by != 1.0f) scaleRow(y + r * z.qRow, depth, by);
      largest[r] = now;
      if (z.dropping()) dropWeights(z.keeps, z.place(b, h, t0 + r, s0), x, n, 1.0f, x);
    }
    tile.mix(scores, KEYS, v + s0 * z.kRow, y, s0 > first);
  }
  for (Index r = 0; r < rows; r++)
    if (total[r] != 0.0f) scaleRow(y + r * z.qRow, depth, z.keptBy / total[r]);
}

// What one head's queries add to the gradients of the keys and values they see. `weights` has room for QUERIES rows
// of all keys, `scores` for two tiles.
struct Head {
  const float *q, *k, *v, *output, *ct;
  float *dq, *dk, *dv;
};
void backwardTile(const Sizes& z, Index b, Index h, Index t0, const Head& at, float* weights, float* scores) {
  Index rows = least(QUERIES, z.queries - t0), depth = z.depth, step = wholeVectors(z.keys);
  auto [first, last] = z.keysOf(b, t0, rows);
  const float *q = at.q + t0 * z.qRow, *ct = at.ct + t0 * z.qRow;
  float *dq = at.dq + t0 * z.qRow, inner[QUERIES];
  if (first >= last) return zeroRows(dq, rows, depth, z.qRow);
  Tile{z, t0, first, rows, last - first}.scores(q, at.k + first * z.kRow, weights, step);
  for (Index r = 0; r < rows; r++) {
    float* x = weights + r * step;
    Index n = least(last, most(first, z.seen(t0 + r))) - first;
    float total = exponentials(x, n, last - first, maskScores(x, n, z.scale, z.sight(b, h, t0 + r, first)));
    if (total != 0.0f) scaleRow(x, wholeVectors(n), 1.0f / total);
    const float *y = at.output + (t0 + r) * z.qRow, *c = ct + r * z.qRow;
    inner[r] = static_cast<float>(
        sumOver(depth, [&](Index i, Index count) { return loadUpTo(y + i, count) * loadUpTo(c + i, count); }));
  }
  float* dropped = scores + QUERIES * KEYS;
  for (Index s0 = first; s0 < last; s0 += KEYS) {
    Index width = least(KEYS, last - s0);
    const float *w = weights + s0 - first, *kept = w;
    Index keptStep = step;
    Tile tile = {z, t0, s0, rows, width};
    if (z.dropping()) {
      kept = dropped;
      keptStep = KEYS;
      for (Index r = 0; r < rows; r++) {
        float* to = dropped + r * KEYS;
        Index n = least(width, most(0, z.seen(t0 + r) - s0)), end = wholeVectors(n);
        dropWeights(z.keeps, z.place(b, h, t0 + r, s0), w + r * step, n, z.keptBy, to);
        if (end < width) zeroBytes(to + end, (width - end) * 4);
      }
    }
    tile.spread(kept, keptStep, ct, at.dv + s0 * z.kRow);
    tile.scores(ct, at.v + s0 * z.kRow, scores, KEYS);
    for (Index r = 0; r < rows; r++) {
      float* x = scores + r * KEYS;
      Index end = wholeVectors(least(width, most(0, z.seen(t0 + r) - s0)));
      const float *all = w + r * step, *some = kept + r * keptStep;
      for (Index i = 0; i < end; i += W)
        store(x + i, (loadF(some + i) * loadF(x + i) - loadF(all + i) * inner[r]) * z.scale);
      if (end < width) zeroBytes(x + end, (width - end) * 4);
    }
    tile.mix(scores, KEYS, at.k + s0 * z.kRow, dq, s0 > first);
    tile.spread(scores, KEYS, q, at.dk + s0 * z.kRow);
  }
}

}  // namespace

// Equals attention of src/engine/ops/fused-attention.ts. Operands: q, k, v, then mask, segments and key where they are
// given, y.
void attention(const Call& c) {
  Sizes z(c);
  Index tiles = divideUp(z.queries, QUERIES), perGroup = z.heads / z.groups;
  parallelFor(z.batch * z.heads * tiles, z.work(), [&](Index task) {
    // The tiles with the most keys come first, so that no thread is left with a long one.
    Index t0 = (tiles - 1 - task % tiles) * QUERIES, head = task / tiles;
    Index b = head / z.heads, h = head % z.heads;
    Index from = z.headAt(b, h) + t0 * z.qRow, keys = z.groupAt(b, h / perGroup);
    forwardTile(z, b, h, t0, c.at<float>(0) + from, c.at<float>(1) + keys, c.at<float>(2) + keys,
                c.at<float>(z.next) + from);
  });
}

// Equals attentionGrad of src/engine/ops/fused-attention-grad.ts. Operands: q, k, v, then mask, segments and key where they
// are given, output, ct, dq, dk, dv. One group of one batch is one chunk: its sums over queries and heads have one order.
void attentionGrad(const Call& c) {
  Sizes z(c);
  int next = z.next;
  Index perGroup = z.heads / z.groups;
  parallelFor(z.batch * z.groups, z.work() * 3, [&](Index task) {
    float* weights = scratchOf<float>(TILE, QUERIES * (wholeVectors(z.keys) + 2 * KEYS));
    Index b = task / z.groups, keys = z.groupAt(b, task % z.groups);
    float *dk = c.at<float>(next + 3) + keys, *dv = c.at<float>(next + 4) + keys;
    zeroRows(dk, z.keys, z.depth, z.kRow);
    zeroRows(dv, z.keys, z.depth, z.kRow);
    for (Index i = 0; i < perGroup; i++) {
      Index h = task % z.groups * perGroup + i, from = z.headAt(b, h);
      Head at = {c.at<float>(0) + from, c.at<float>(1) + keys, c.at<float>(2) + keys,
                 c.at<float>(next) + from, c.at<float>(next + 1) + from, c.at<float>(next + 2) + from,
                 dk, dv};
      for (Index t0 = 0; t0 < z.queries; t0 += QUERIES)
        backwardTile(z, b, h, t0, at, weights, weights + QUERIES * wholeVectors(z.keys));
    }
  });
}

// Equals cachedAttention of src/engine/ops/cache.ts. Operands: q, k, v, rows, lengths, y. Only filled places are read.
void cachedAttention(const Call& c) {
  Sizes z(c, Sizes::Cached{});
  const int32_t *rows = c.at<int32_t>(3), *lengths = c.at<int32_t>(4);
  Index perGroup = z.heads / z.groups, tiles = divideUp(z.queries, QUERIES), places = z.keys, longest = 0;
  for (Index b = 0; b < z.batch; b++) {
    if (rows[b] < 0 || rows[b] >= c.params[6]) return c.fail(rows[b], c.params[6]);
    longest = most(longest, least(lengths[b], places));
  }
  z.keys = longest;
  parallelFor(z.batch * z.heads * tiles, z.work(), [&](Index task) {
    Index t0 = (tiles - 1 - task % tiles) * QUERIES, head = task / tiles;
    Index b = head / z.heads, h = head % z.heads;
    // Of this row only so many keys exist. More than there are places: the last queries see them all.
    Sizes own = z;
    own.keys = lengths[b];
    own.limit = places;
    Index from = z.headAt(b, h) + t0 * z.qRow, keys = (rows[b] * places * z.groups + h / perGroup) * z.depth;
    forwardTile(own, b, h, t0, c.at<float>(0) + from, c.at<float>(1) + keys, c.at<float>(2) + keys,
                c.at<float>(5) + from);
  });
}

}  // namespace VARIANT
}  // namespace chainrule
