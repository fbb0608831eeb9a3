// Sizes of an attention, where its parts lie, and what each query may look at.
#pragma once
#include "kernels.hpp"
#include "threefry.hpp"

namespace chainrule {
namespace VARIANT {

typedef uint8_t Bytes __attribute__((vector_size(W)));

// Keys [first, end).
struct Range {
  Index first, end;
};

// What one query may look at, from some key on; null: at all.
struct Sight {
  const uint8_t* mask = nullptr;
  const int32_t* segments = nullptr;
  int32_t own = 0;  // the query's segment

  bool all() const { return mask == nullptr && segments == nullptr; }
  ALWAYS_INLINE I allowed(Index i, Index count) const {
    I yes = splatI(-1);
    if (mask != nullptr) {
      Bytes bytes = {};
      if (count >= W) bytes = load<Bytes>(mask + i);
      else
        for (Index j = 0; j < count; j++) bytes[j] = mask[i + j];
      yes = __builtin_convertvector(bytes, I) != 0;
    }
    if (segments != nullptr) {
      I other = {};
      if (count >= W) other = load<I>(segments + i);
      else
        for (Index j = 0; j < count; j++) other[j] = segments[i + j];
      yes &= other == own;
    }
    return yes;
  }
};

// The sizes of a call, and where its parts lie. params: B, H, G, T, S, D, causal, scale, masked, mask by batch, by head,
// heads inside: rows are [B, T, H, D] instead of [B, H, T, D]; segments; the threshold of dropout (0: none), what kept
// weights are scaled by.
struct Sizes {
  Index batch, heads, groups, queries, keys, depth;
  bool causal;
  float scale;
  const uint8_t* mask;
  bool maskBatch, maskHead, inside;
  const int32_t* segments;  // [B, T], or null
  Keeps keeps;              // of weight (b, h, t, s) by its place in [B, H, T, S]
  float keptBy;
  int next = 3;  // the operand behind q, k, v, mask, segments, key
  Index qRow, kRow;  // from one row of a head to the next
  Index limit = INT64_MAX;  // keys that lie in memory, where `keys` may be more

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
        maskHead(c.params[10] != 0),
        inside(c.params[11] != 0),
        segments(nullptr),
        keeps({nullptr, c.params[13]}),
        keptBy(floatOf(c.params[14])),
        qRow(inside ? heads * depth : depth),
        kRow(inside ? groups * depth : depth) {
    if (mask != nullptr) next++;
    if (c.params[12] != 0) segments = c.at<int32_t>(next++);
    if (dropping()) keeps.key = c.at<uint32_t>(next++);
  }

  /// Attention over a cache: params are B, H, G, T, places of a row, D, rows, scale; heads lie inside.
  struct Cached {};
  Sizes(const Call& c, Cached)
      : batch(c.params[0]),
        heads(c.params[1]),
        groups(c.params[2]),
        queries(c.params[3]),
        keys(c.params[4]),
        depth(c.params[5]),
        causal(true),
        scale(floatOf(c.params[7])),
        mask(nullptr),
        maskBatch(false),
        maskHead(false),
        inside(true),
        segments(nullptr),
        keeps({nullptr, 0}),
        keptBy(1),
        qRow(heads * depth),
        kRow(groups * depth) {}

  /// Where the rows of a head of q, of a group of k begin.
  Index headAt(Index b, Index h) const { return (inside ? b * queries * heads + h : (b * heads + h) * queries) * depth; }
  Index groupAt(Index b, Index g) const { return (inside ? b * keys * groups + g : (b * groups + g) * keys) * depth; }
  /// How many keys query t may see, the mask aside: the first ones.
  Index seen(Index t) const { return least(limit, causal ? least(keys, most(0, t + keys - queries + 1)) : keys); }
  bool dropping() const { return keeps.threshold > 0; }
  /// Where the weight of query t on key s stands among all.
  Index place(Index b, Index h, Index t, Index s) const { return ((b * heads + h) * queries + t) * keys + s; }
  /// What query t may see of the keys from s on.
  Sight sight(Index b, Index h, Index t, Index s) const {
    Sight at;
    Index plane = (maskBatch ? b : 0) * (maskHead ? heads : 1) + (maskHead ? h : 0);
    if (mask != nullptr) at.mask = mask + (plane * queries + t) * keys + s;
    if (segments != nullptr) {
      at.segments = segments + b * keys + s;
      at.own = segments[b * keys + t];
    }
    return at;
  }
  /// The keys that some of `rows` queries from t0 on see, the mask aside. Documents mostly lie one behind the other: then
  /// these are exactly those of the queries' documents.
  Range keysOf(Index b, Index t0, Index rows) const {
    Range range = {0, seen(t0 + rows - 1)};
    if (segments == nullptr) return range;
    const int32_t* all = segments + b * keys;
    int32_t low = all[t0], high = low;
    for (Index t = t0; t < t0 + rows; t++) {
      low = all[t] < low ? all[t] : low;
      high = all[t] > high ? all[t] : high;
    }
    auto other = [&](Index s) { return all[s] < low || all[s] > high; };
    while (range.first < range.end && other(range.first)) range.first++;
    while (range.first < range.end && other(range.end - 1)) range.end--;
    return range;
  }
  /// The first of the rows from query t0 on that sees key s.
  Index firstRow(Index t0, Index s) const { return causal ? most(0, s - (keys - queries) - t0) : 0; }
  Index work() const { return batch * heads * queries * depth * keys / 4; }
};

}  // namespace VARIANT
}  // namespace chainrule
