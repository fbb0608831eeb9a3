// Moving elements: strided copies (transpose, broadcast, slice, pad, reverse) and concatenation.
#include "kernels.hpp"

namespace chainrule {
namespace VARIANT {

namespace {

constexpr int RANK = 8;
constexpr Index CHUNK = 16384;  // elements of one chunk
constexpr Index BLOCK = 16;     // side of a transposed block

struct Box {
  int rank;
  Index from, to;
  Index dims[RANK], in[RANK], out[RANK];
};

struct Offsets {
  Index from, to;
};

// Offsets of row `row` of the first `axes` axes.
Offsets rowAt(const Box& b, int axes, Index row) {
  Offsets o = {b.from, b.to};
  for (int axis = axes - 1; axis >= 0; axis--) {
    Index i = row % b.dims[axis];
    row /= b.dims[axis];
    o.from += i * b.in[axis];
    o.to += i * b.out[axis];
  }
  return o;
}

template <class T>
void copyRow(T* to, Index toStep, const T* from, Index fromStep, Index n) {
  if (toStep == 1 && fromStep == 1) {
    copyBytes(to, from, n * static_cast<Index>(sizeof(T)));
  } else if (toStep == 1 && fromStep == 0) {
    T x = *from;
    for (Index i = 0; i < n; i++) to[i] = x;
  } else if (toStep == 1) {
    for (Index i = 0; i < n; i++) to[i] = from[i * fromStep];
  } else {
    for (Index i = 0; i < n; i++) to[i * toStep] = from[i * fromStep];
  }
}

// to[i · toStep + j] = from[j · fromStep + i] for i < rows, j < columns, by blocks that fit the cache.
template <class T>
void transposeBlocks(T* to, Index toStep, const T* from, Index fromStep, Index rows, Index columns) {
  for (Index j0 = 0; j0 < columns; j0 += BLOCK) {
    Index j1 = least(columns, j0 + BLOCK);
    for (Index i0 = 0; i0 < rows; i0 += BLOCK) {
      Index i1 = least(rows, i0 + BLOCK);
      for (Index i = i0; i < i1; i++)
        for (Index j = j0; j < j1; j++) to[i * toStep + j] = from[j * fromStep + i];
    }
  }
}

template <class T>
void copyBox(Box b, T* to, const T* from) {
  int last = b.rank - 1;
  Index total = 1;
  for (int axis = 0; axis < b.rank; axis++) total *= b.dims[axis];
  if (total == 0) return;
  if (b.rank == 0) {
    to[b.to] = from[b.from];
    return;
  }
  // An axis that is contiguous in the source while the last one is not: a transpose of the two.
  int flip = -1;
  if (b.out[last] == 1 && b.in[last] != 1 && b.in[last] != 0)
    for (int axis = 0; axis < last; axis++)
      if (b.in[axis] == 1 && b.dims[axis] >= 4) flip = axis;
  if (flip >= 0) {
    // The flipped axis becomes the next to last; strips of it are the rows of the split.
    Index dim = b.dims[flip], out = b.out[flip];
    for (int axis = flip; axis < last - 1; axis++) {
      b.dims[axis] = b.dims[axis + 1];
      b.in[axis] = b.in[axis + 1];
      b.out[axis] = b.out[axis + 1];
    }
    Index columns = b.dims[last], step = b.in[last];
    Index strips = divideUp(dim, BLOCK), count = total / (dim * columns) * strips;
    Index each = most(1, CHUNK / (BLOCK * columns));
    parallelFor(divideUp(count, each), total * 2, [&](Index chunk) {
      Index end = least(count, (chunk + 1) * each);
      for (Index k = chunk * each; k < end; k++) {
        Offsets o = rowAt(b, last - 1, k / strips);
        Index i = (k % strips) * BLOCK;
        transposeBlocks(to + o.to + i * out, out, from + o.from + i, step, least(BLOCK, dim - i), columns);
      }
    });
    return;
  }
  Index n = b.dims[last], rows = total / n;
  if (rows == 1) {
    parallelFor(divideUp(n, CHUNK), n, [&](Index chunk) {
      Index i = chunk * CHUNK;
      copyRow(to + b.to + i * b.out[last], b.out[last], from + b.from + i * b.in[last], b.in[last], least(CHUNK, n - i));
    });
    return;
  }
  Index each = most(1, CHUNK / n);
  parallelFor(divideUp(rows, each), total, [&](Index chunk) {
    Index end = least(rows, (chunk + 1) * each);
    for (Index row = chunk * each; row < end; row++) {
      Offsets o = rowAt(b, last, row);
      copyRow(to + o.to, b.out[last], from + o.from, b.in[last], n);
    }
  });
}

template <class T>
void fillAll(T* to, T word, Index n) {
  parallelFor(divideUp(n, CHUNK), n, [&](Index chunk) {
    Index end = least(n, (chunk + 1) * CHUNK);
    for (Index i = chunk * CHUNK; i < end; i++) to[i] = word;
  });
}

}  // namespace

// Equals transpose, broadcast, slice, pad and reverse of src/engine/ops (layout.ts, slice.ts).
// params: element bytes, fill first?, fill bits, output elements, rank, source offset, target offset,
//         dims, source strides, target strides (elements).
void copy(const Call& c) {
  const int32_t* p = c.params;
  Box b;
  b.rank = p[4];
  b.from = p[5];
  b.to = p[6];
  for (int i = 0; i < b.rank; i++) {
    b.dims[i] = p[7 + i];
    b.in[i] = p[7 + b.rank + i];
    b.out[i] = p[7 + 2 * b.rank + i];
  }
  if (p[0] == 4) {
    if (p[1]) fillAll(c.at<int32_t>(1), p[2], p[3]);
    copyBox(b, c.at<int32_t>(1), c.at<int32_t>(0));
  } else if (p[0] == 2) {
    if (p[1]) fillAll(c.at<int16_t>(1), static_cast<int16_t>(p[2]), p[3]);
    copyBox(b, c.at<int16_t>(1), c.at<int16_t>(0));
  } else {
    if (p[1]) fillAll(c.at<int8_t>(1), static_cast<int8_t>(p[2]), p[3]);
    copyBox(b, c.at<int8_t>(1), c.at<int8_t>(0));
  }
}

// Equals concat of src/engine/ops/layout.ts.
// params: outer count, then for each input the bytes of one of its rows. A row is everything from the joined axis on.
void concat(const Call& c) {
  Index outer = c.params[0], width = 0;
  int inputs = c.count - 1;
  for (int k = 0; k < inputs; k++) width += c.params[1 + k];
  Index each = most(1, 4 * CHUNK / most(1, width));
  parallelFor(divideUp(outer, each), outer * width / 4, [&](Index chunk) {
    Index end = least(outer, (chunk + 1) * each);
    char* to = c.operands[inputs] + chunk * each * width;
    for (Index row = chunk * each; row < end; row++) {
      for (int k = 0; k < inputs; k++) {
        Index bytes = c.params[1 + k];
        copyBytes(to, c.operands[k] + row * bytes, bytes);
        to += bytes;
      }
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
