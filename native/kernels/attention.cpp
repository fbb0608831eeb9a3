// Attention and its gradient by tiles of queries: of the matrix of scores a thread holds a few rows at a time.
// Online softmax as in Milakov & Gimelshein (2018); tiles and the backward pass as in Dao et al., "FlashAttention" (2022).
#include "gemm.hpp"
#include "kernels.hpp"
#include "rows.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index QUERIES = 64;  // rows of a tile
constexpr Index KEYS = 128;    // columns of a tile: a tile of scores is 32 KiB

typedef uint8_t Bytes __attribute__((vector_size(W)));

// The sizes of a call, and where its parts lie. params: B, H, G, T, S, D, causal, scale, masked, mask by batch, by head.
struct Sizes {
  Index batch, heads, groups, queries, keys, depth;
  bool causal;
  float scale;
  const uint8_t* mask;
  bool maskBatch, maskHead;

  explicit Sizes(const Call& c)
      : batch(c.params[0]),
        heads(c.params[1]),
        groups(c.params[2]),
        queries(c.params[3]),
        keys(c.params[4]),
        depth(c.params[5]),
        causal(c.params[6] != 0),
        scale(floatOf(c.params[7])),
        mask(c.params[8] != 0 ? c.at<uint8_t>(3) : nullptr),
        maskBatch(c.params[9] != 0),
        maskHead(c.params[10] != 0) {}

  /// How many keys query t may see, the mask aside: the first ones.
  Index seen(Index t) const { return causal ? least(keys, most(0, t + keys - queries + 1)) : keys; }
  /// The mask of query t, or null.
  const uint8_t* maskRow(Index b, Index h, Index t) const {
    if (mask == nullptr) return nullptr;
    Index plane = (maskBatch ? b : 0) * (maskHead ? heads : 1) + (maskHead ? h : 0);
    return mask + (plane * queries + t) * keys;
  }
  Index work() const { return batch * heads * queries * depth * keys / 4; }
};

ALWAYS_INLINE I allowed(const uint8_t* mask, Index count) {
  Bytes bytes = {};
  if (count >= W) bytes = load<Bytes>(mask);
  else
    for (Index i = 0; i < count; i++) bytes[i] = mask[i];
  return __builtin_convertvector(bytes, I) != 0;
}

// Rows of scores are as long as whole vectors: what is behind the last score is never read as one.
ALWAYS_INLINE Index wholeVectors(Index n) { return divideUp(n, W) * W; }

// Scales the first n scores of a row and puts −∞ where the query may not look, to the end of the vector. Gives the
// largest; NaN if one is NaN.
float maskScores(float* x, Index n, float scale, const uint8_t* mask) {
  const F lowest = splat(-__builtin_inff());
  F best = lowest;
  I lane = {};
  for (int i = 0; i < W; i++) lane[i] = i;
  for (Index i = 0; i < n; i += W) {
    F score = loadF(x + i) * scale;
    if (mask != nullptr) score = select(allowed(mask + i, n - i), score, lowest);
    if (n - i < W) score = select(lane < static_cast<int32_t>(n - i), score, lowest);
    store(x + i, score);
    best = larger(score, best);
  }
  float lanes[W];
  store(lanes, best);
  float m = lanes[0];
  for (int i = 1; i < W; i++) m = lanes[i] > m || lanes[i] != lanes[i] ? lanes[i] : m;
  return m;
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

void scaleRow(float* x, Index n, float by) {
  eachVector(n, [&](Index i, Index count) { storeUpTo(x + i, loadUpTo(x + i, count) * by, count); });
}

// One tile of queries of one head over all keys they see.
void forwardTile(const Sizes& z, Index b, Index h, Index t0, const float* q, const float* k, const float* v, float* y) {
  Index rows = least(QUERIES, z.queries - t0), depth = z.depth, last = z.seen(t0 + rows - 1);
  float* scores = scratchOf<float>(TILE, QUERIES * KEYS);
  float largest[QUERIES], total[QUERIES];
  for (Index r = 0; r < rows; r++) {
    largest[r] = -__builtin_inff();
    total[r] = 0;
  }
  if (last == 0) zeroBytes(y, rows * depth * 4);
  for (Index s0 = 0; s0 < last; s0 += KEYS) {
    Index width = least(KEYS, last - s0);
    gemm(rows, width, depth, {q, depth, 1}, {k + s0 * depth, depth, 1}, scores, KEYS, false);
    for (Index r = 0; r < rows; r++) {
      const uint8_t* mask = z.maskRow(b, h, t0 + r);
      float* x = scores + r * KEYS;
      Index n = least(width, most(0, z.seen(t0 + r) - s0));
      float here = maskScores(x, n, z.scale, mask == nullptr ? nullptr : mask + s0), before = largest[r];
      float now = before > here || before != before ? before : here;
      // What was summed so far counts from the largest score so far; nothing was summed before the first.
      float by = before == now || before == -__builtin_inff() ? 1.0f : expOf(splat(before - now))[0];
      total[r] = total[r] * by + exponentials(x, n, width, now);
      if (s0 > 0 && by != 1.0f) scaleRow(y + r * depth, depth, by);
      largest[r] = now;
    }
    gemm(rows, depth, width, {scores, KEYS, 1}, {v + s0 * depth, 1, depth}, y, depth, s0 > 0);
  }
  for (Index r = 0; r < rows; r++)
    if (total[r] != 0.0f) scaleRow(y + r * depth, depth, 1.0f / total[r]);
}

// What one head's queries add to the gradients of the keys and values they see. `weights` has room for QUERIES rows
// of all keys.
struct Head {
  const float *q, *k, *v, *output, *ct;
  float *dq, *dk, *dv;
};
void backwardTile(const Sizes& z, Index b, Index h, Index t0, const Head& at, float* weights, float* scores) {
  Index rows = least(QUERIES, z.queries - t0), depth = z.depth, last = z.seen(t0 + rows - 1);
  Index step = wholeVectors(z.keys);
  const float *q = at.q + t0 * depth, *ct = at.ct + t0 * depth;
  float *dq = at.dq + t0 * depth, inner[QUERIES];
  if (last == 0) return zeroBytes(dq, rows * depth * 4);
  gemm(rows, last, depth, {q, depth, 1}, {at.k, depth, 1}, weights, step, false);
  for (Index r = 0; r < rows; r++) {
    float* x = weights + r * step;
    Index n = z.seen(t0 + r);
    float total = exponentials(x, n, last, maskScores(x, n, z.scale, z.maskRow(b, h, t0 + r)));
    if (total != 0.0f) scaleRow(x, wholeVectors(n), 1.0f / total);
    const float *y = at.output + (t0 + r) * depth, *c = ct + r * depth;
    inner[r] = static_cast<float>(
        sumOver(depth, [&](Index i, Index count) { return loadUpTo(y + i, count) * loadUpTo(c + i, count); }));
  }
  for (Index s0 = 0; s0 < last; s0 += KEYS) {
    Index width = least(KEYS, last - s0);
    const float* w = weights + s0;
    gemm(width, depth, rows, {w, 1, step}, {ct, 1, depth}, at.dv + s0 * depth, depth, true);
    gemm(rows, width, depth, {ct, depth, 1}, {at.v + s0 * depth, depth, 1}, scores, KEYS, false);
    for (Index r = 0; r < rows; r++) {
      float* x = scores + r * KEYS;
      for (Index i = 0; i < width; i += W) store(x + i, loadF(w + r * step + i) * (loadF(x + i) - inner[r]) * z.scale);
    }
    gemm(rows, depth, width, {scores, KEYS, 1}, {at.k + s0 * depth, 1, depth}, dq, depth, s0 > 0);
    gemm(width, depth, rows, {scores, 1, KEYS}, {q, 1, depth}, at.dk + s0 * depth, depth, true);
  }
}

}  // namespace

// Equals attention of src/engine/ops/fused-attention.ts. Operands: q, k, v, mask if there is one, y.
void attention(const Call& c) {
  Sizes z(c);
  Index tiles = divideUp(z.queries, QUERIES), out = z.mask == nullptr ? 3 : 4, perGroup = z.heads / z.groups;
  parallelFor(z.batch * z.heads * tiles, z.work(), [&](Index task) {
    // The tiles with the most keys come first, so that no thread is left with a long one.
    Index t0 = (tiles - 1 - task % tiles) * QUERIES, head = task / tiles;
    Index b = head / z.heads, h = head % z.heads;
    Index from = (head * z.queries + t0) * z.depth, keys = (b * z.groups + h / perGroup) * z.keys * z.depth;
    forwardTile(z, b, h, t0, c.at<float>(0) + from, c.at<float>(1) + keys, c.at<float>(2) + keys,
                c.at<float>(static_cast<int>(out)) + from);
  });
}

// Equals attentionGrad of src/engine/ops/fused-attention.ts. Operands: q, k, v, mask if there is one, output, ct, dq, dk,
// dv. One group of one batch is one chunk: its sums over queries and heads have one order.
void attentionGrad(const Call& c) {
  Sizes z(c);
  int next = z.mask == nullptr ? 3 : 4;
  Index perGroup = z.heads / z.groups, keys = z.keys * z.depth, queries = z.queries * z.depth;
  parallelFor(z.batch * z.groups, z.work() * 3, [&](Index task) {
    float* weights = scratchOf<float>(TILE, QUERIES * (wholeVectors(z.keys) + KEYS));
    float *dk = c.at<float>(next + 3) + task * keys, *dv = c.at<float>(next + 4) + task * keys;
    zeroBytes(dk, keys * 4);
    zeroBytes(dv, keys * 4);
    for (Index i = 0; i < perGroup; i++) {
      Index head = task * perGroup + i, from = head * queries;
      Head at = {c.at<float>(0) + from, c.at<float>(1) + task * keys,  c.at<float>(2) + task * keys,
                 c.at<float>(next) + from, c.at<float>(next + 1) + from, c.at<float>(next + 2) + from,
                 dk, dv};
      for (Index t0 = 0; t0 < z.queries; t0 += QUERIES)
        backwardTile(z, head / z.heads, head % z.heads, t0, at, weights, weights + QUERIES * wholeVectors(z.keys));
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
