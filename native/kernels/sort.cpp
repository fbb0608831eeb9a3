// Sorting with places: keys that compare as unsigned words, so that order, stability and NaN are one comparison.
#include "kernels.hpp"
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

enum Type { FLOAT, INT, UINT };
constexpr Index SHORT = 48;    // sorted by insertion
constexpr Index KEEP = 64;     // few largest are kept in a sorted list instead

uint32_t keyOf(uint32_t word, int type, bool descending) {
  if (type == FLOAT) {
    if ((word & 0x7fffffff) > 0x7f800000) return UINT32_MAX;  // NaN is last in both directions
    if (word == 0x80000000) word = 0;                         // -0 equals 0
    word ^= word & 0x80000000 ? UINT32_MAX : 0x80000000;
  } else if (type == INT) {
    word ^= 0x80000000;
  }
  return descending ? ~word : word;
}

void insertionSort(uint64_t* a, Index n) {
  for (Index i = 1; i < n; i++) {
    uint64_t x = a[i];
    Index j = i;
    for (; j > 0 && a[j - 1] > x; j--) a[j] = a[j - 1];
    a[j] = x;
  }
}

// Least significant digit first over the keys in the upper half; stable, so equal keys stay in order of their places.
uint64_t* radixSort(uint64_t* a, uint64_t* spare, Index n) {
  for (int shift = 32; shift < 64; shift += 8) {
    Index count[256] = {};
    for (Index i = 0; i < n; i++) count[a[i] >> shift & 255]++;
    if (count[a[0] >> shift & 255] == n) continue;
    Index at = 0;
    for (Index& c : count) {
      Index here = c;
      c = at;
      at += here;
    }
    for (Index i = 0; i < n; i++) spare[count[a[i] >> shift & 255]++] = a[i];
    uint64_t* swap = a;
    a = spare;
    spare = swap;
  }
  return a;
}

}  // namespace

// Equals sort and topK of src/engine/ops/sort.ts. params: type (float, int, uint), outer, n, inner, descending, kept.
// Operands: x [outer, n, inner], values and places [outer, kept, inner].
void sort(const Call& c) {
  const int32_t* p = c.params;
  int type = p[0];
  Index outer = p[1], n = p[2], inner = p[3], kept = p[5];
  bool descending = p[4] != 0;
  const uint32_t* x = c.at<uint32_t>(0);
  Index lanes = outer * inner, each = most(1, 2048 / most(1, n));
  if (n == 0) return;
  parallelFor(divideUp(lanes, each), lanes * n * 16, [&](Index chunk) {
    uint64_t* entries = scratchOf<uint64_t>(TILE, 2 * n);
    for (Index lane = chunk * each; lane < least(lanes, (chunk + 1) * each); lane++) {
      const uint32_t* from = x + lane / inner * n * inner + lane % inner;
      auto entry = [&](Index i) {
        return static_cast<uint64_t>(keyOf(from[i * inner], type, descending)) << 32 | static_cast<uint64_t>(i);
      };
      uint64_t* sorted = entries;
      if (kept < n && kept <= KEEP) {
        Index have = 0;
        for (Index i = 0; i < n; i++) {
          uint64_t e = entry(i);
          if (have == kept && e > entries[kept - 1]) continue;
          Index j = have < kept ? have++ : kept - 1;
          for (; j > 0 && entries[j - 1] > e; j--) entries[j] = entries[j - 1];
          entries[j] = e;
        }
      } else {
        for (Index i = 0; i < n; i++) entries[i] = entry(i);
        if (n <= SHORT) insertionSort(entries, n);
        else sorted = radixSort(entries, entries + n, n);
      }
      Index to = lane / inner * kept * inner + lane % inner;
      for (Index i = 0; i < kept; i++, to += inner) {
        Index place = static_cast<Index>(sorted[i] & UINT32_MAX);
        c.at<uint32_t>(1)[to] = from[place * inner];
        c.at<int32_t>(2)[to] = static_cast<int32_t>(place);
      }
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
