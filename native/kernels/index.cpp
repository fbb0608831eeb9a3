// Picking elements by indices, and adding them back in the order of the indices.
#include "kernels.hpp"
#include "vec.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr Index STRIP = 64;  // columns of a scatter that one chunk adds

// The first index outside [0, size) stops the stream, before anything is read by it.
bool indicesFit(const Call& c, const int32_t* indices, Index count, Index size) {
  for (Index i = 0; i < count; i++) {
    if (indices[i] < 0 || indices[i] >= size) {
      c.fail(indices[i], static_cast<int32_t>(size));
      return false;
    }
  }
  return true;
}

template <class T>
void gatherRows(const T* x, const int32_t* indices, T* y, Index outer, Index size, Index inner, Index count) {
  Index rows = outer * count, each = most(1, 8192 / most(1, inner));
  parallelFor(divideUp(rows, each), rows * inner, [&](Index chunk) {
    Index end = least(rows, (chunk + 1) * each);
    for (Index row = chunk * each; row < end; row++) {
      const T* from = x + (row / count * size + indices[row % count]) * inner;
      if (inner == 1) y[row] = *from;
      else copyBytes(y + row * inner, from, inner * static_cast<Index>(sizeof(T)));
    }
  });
}

// Each chunk owns a strip of columns and goes through all updates in order. Without a base they are added to zeros.
template <class T>
void scatterRows(const T* base, const int32_t* indices, const T* updates, T* y, Index outer, Index size, Index inner,
                 Index count) {
  Index strips = divideUp(inner, STRIP);
  parallelFor(outer * strips, outer * inner * (count + (base == y ? 0 : size)), [&](Index task) {
    Index o = task / strips, from = task % strips * STRIP, width = least(STRIP, inner - from);
    T* to = y + o * size * inner + from;
    for (Index k = 0; k < size && base != y; k++) {
      if (base == nullptr) zeroBytes(to + k * inner, width * 4);
      else copyBytes(to + k * inner, base + (to - y) + k * inner, width * 4);
    }
    const T* row = updates + o * count * inner + from;
    for (Index i = 0; i < count; i++, row += inner) {
      T* target = to + indices[i] * inner;
      for (Index j = 0; j < width; j++) target[j] += row[j];
    }
  });
}

template <class T>
void takeLanes(const T* x, const int32_t* indices, T* y, Index outer, Index size, Index inner, Index count) {
  Index each = most(1, 8192 / most(1, count * inner));
  parallelFor(divideUp(outer, each), outer * count * inner * 2, [&](Index chunk) {
    Index end = least(outer, (chunk + 1) * each);
    for (Index o = chunk * each; o < end; o++) {
      const T* from = x + o * size * inner;
      for (Index i = o * count * inner, k = 0; k < count; k++)
        for (Index j = 0; j < inner; j++, i++) y[i] = from[indices[i] * inner + j];
    }
  });
}

template <class T>
void scatterLanes(const int32_t* indices, const T* updates, T* y, Index outer, Index size, Index inner, Index count) {
  Index each = most(1, 8192 / most(1, (count + size) * inner));
  parallelFor(divideUp(outer, each), outer * (count + size) * inner * 2, [&](Index chunk) {
    Index end = least(outer, (chunk + 1) * each);
    for (Index o = chunk * each; o < end; o++) {
      T* to = y + o * size * inner;
      zeroBytes(to, size * inner * 4);
      for (Index i = o * count * inner, k = 0; k < count; k++)
        for (Index j = 0; j < inner; j++, i++) to[indices[i] * inner + j] += updates[i];
    }
  });
}

}  // namespace

// Equals gather of src/engine/ops/gather.ts. params: element bytes, outer, size, inner, indices.
void gather(const Call& c) {
  const int32_t* p = c.params;
  const int32_t* indices = c.at<int32_t>(1);
  if (p[1] == 0 || !indicesFit(c, indices, p[4], p[2])) return;
  if (p[0] == 4) gatherRows(c.at<int32_t>(0), indices, c.at<int32_t>(2), p[1], p[2], p[3], p[4]);
  else if (p[0] == 2) gatherRows(c.at<int16_t>(0), indices, c.at<int16_t>(2), p[1], p[2], p[3], p[4]);
  else gatherRows(c.at<int8_t>(0), indices, c.at<int8_t>(2), p[1], p[2], p[3], p[4]);
}

// Equals scatterAdd of src/engine/ops/gather.ts. params: float?, outer, size, inner, indices.
void scatterAdd(const Call& c) {
  const int32_t* p = c.params;
  const int32_t* indices = c.at<int32_t>(0);
  if (p[1] == 0 || !indicesFit(c, indices, p[4], p[2])) return;
  if (p[0]) scatterRows<float>(nullptr, indices, c.at<float>(1), c.at<float>(2), p[1], p[2], p[3], p[4]);
  else scatterRows<uint32_t>(nullptr, indices, c.at<uint32_t>(1), c.at<uint32_t>(2), p[1], p[2], p[3], p[4]);
}

// Equals scatterAddTo of src/engine/ops/gather.ts. params: float?, outer, size, inner, indices. The base may be y.
void scatterAddTo(const Call& c) {
  const int32_t* p = c.params;
  const int32_t* indices = c.at<int32_t>(1);
  if (p[1] == 0 || !indicesFit(c, indices, p[4], p[2])) return;
  if (p[0]) scatterRows<float>(c.at<float>(0), indices, c.at<float>(2), c.at<float>(3), p[1], p[2], p[3], p[4]);
  else
    scatterRows<uint32_t>(c.at<uint32_t>(0), indices, c.at<uint32_t>(2), c.at<uint32_t>(3), p[1], p[2], p[3], p[4]);
}

// Equals writeBlocks of src/engine/ops/cache.ts. params: bytes of a place, rows, places of a row, blocks, places of a block.
// Operands: base, block, rows, starts, y; the base may be y.
void writeBlocks(const Call& c) {
  const int32_t* p = c.params;
  const int32_t *rows = c.at<int32_t>(2), *starts = c.at<int32_t>(3);
  Index bytes = p[0], places = p[2], count = p[3], size = p[4] * bytes;
  if (!indicesFit(c, rows, count, p[1]) || !indicesFit(c, starts, count, places - p[4] + 1)) return;
  const char* base = c.at<char>(0);
  char* y = c.at<char>(4);
  if (base != y)
    parallelFor(p[1], p[1] * places * bytes / 4,
                [&](Index row) { copyBytes(y + row * places * bytes, base + row * places * bytes, places * bytes); });
  for (Index i = 0; i < count; i++)
    copyBytes(y + (rows[i] * places + starts[i]) * bytes, c.at<char>(1) + i * size, size);
}

// Equals takeAlongAxis of src/engine/ops/gather.ts. params: element bytes, outer, size, inner, count.
void takeAlongAxis(const Call& c) {
  const int32_t* p = c.params;
  const int32_t* indices = c.at<int32_t>(1);
  if (!indicesFit(c, indices, static_cast<Index>(p[1]) * p[4] * p[3], p[2])) return;
  if (p[0] == 4) takeLanes(c.at<int32_t>(0), indices, c.at<int32_t>(2), p[1], p[2], p[3], p[4]);
  else if (p[0] == 2) takeLanes(c.at<int16_t>(0), indices, c.at<int16_t>(2), p[1], p[2], p[3], p[4]);
  else takeLanes(c.at<int8_t>(0), indices, c.at<int8_t>(2), p[1], p[2], p[3], p[4]);
}

// Equals scatterAddAlongAxis of src/engine/ops/gather.ts. params: float?, outer, size, inner, count.
void scatterAddAlongAxis(const Call& c) {
  const int32_t* p = c.params;
  const int32_t* indices = c.at<int32_t>(0);
  if (!indicesFit(c, indices, static_cast<Index>(p[1]) * p[4] * p[3], p[2])) return;
  if (p[0]) scatterLanes(indices, c.at<float>(1), c.at<float>(2), p[1], p[2], p[3], p[4]);
  else scatterLanes(indices, c.at<uint32_t>(1), c.at<uint32_t>(2), p[1], p[2], p[3], p[4]);
}

}  // namespace VARIANT
}  // namespace chainrule
