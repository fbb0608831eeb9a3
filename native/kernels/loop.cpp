// The loop kernel: a short program run over blocks of eight vectors that stay in registers, 32-bit lanes, any dtype.
#include "loop.hpp"

#include "kernels.hpp"
#include "lane-ops.hpp"
#include "math.hpp"
#include "threefry.hpp"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace chainrule {

enum LoopOp {
#define OP(name, cost) L_##name,
#include "loop-ops.def"
#undef OP
  LOOP_OPS
};

namespace VARIANT {

namespace {

constexpr Index BLOCK = LoopRun::BLOCK;
constexpr Index CHUNK = 16384;        // elements one thread takes at a time
constexpr Index PERIOD = 1024;        // repeats of up to this many elements are written out once
constexpr Index BEYOND = 16L << 20;   // bytes of a result that no cache keeps until it is read
constexpr Index AHEAD = 2048;          // bytes between what is read and what is asked for
constexpr int CONSTANT = 2, REPEAT = 4, INSTRUCTION = 5;  // words of each

const uint8_t costs[] = {
#define OP(name, cost) cost,
#include "loop-ops.def"
#undef OP
};

template <class Fn>
ALWAYS_INLINE void each1(float* x, Index n, Fn fn) {
  for (Index i = 0; i < n; i += W) store(x + i, fn(loadF(x + i)));
}

// What takes long goes through memory: x = op(x, b) on n elements, a multiple of W.
__attribute__((noinline)) void costly(int op, float* x, const float* b, Index n) {
#define FLOAT1(name, expression)                     \
  case L_##name:                                     \
    each1(x, n, [](F x) { return expression; });     \
    break;
  switch (op) {
    FLOAT1(log1p, log1pOf(x))
    FLOAT1(sin, sinOf(x))
    FLOAT1(cos, cosOf(x))
    FLOAT1(tan, tanOf(x))
    FLOAT1(sign, select(x != x, x, select(x == 0.0f, x, withSign(splat(1), x))))
    FLOAT1(floor, floorOf(x))
    FLOAT1(ceil, ceilOf(x))
    FLOAT1(round, roundEven(x))
    FLOAT1(floatToInt, toIntClamped(x))
    FLOAT1(floatToUint, toUintClamped(x))
    case L_sqrt:
      for (Index i = 0; i < n; i++) x[i] = __builtin_sqrtf(x[i]);
      break;
    case L_rsqrt:
      for (Index i = 0; i < n; i++) x[i] = 1.0f / __builtin_sqrtf(x[i]);
      break;
    case L_pow:
      for (Index i = 0; i < n; i++) x[i] = powOf(x[i], b[i]);
      break;
    case L_remainder:
      for (Index i = 0; i < n; i++) x[i] = remainderOf(x[i], b[i]);
      break;
    case L_remainderInt: {
      int32_t* u = reinterpret_cast<int32_t*>(x);
      for (Index i = 0; i < n; i++) u[i] = modulo(u[i], reinterpret_cast<const int32_t*>(b)[i]);
      break;
    }
  }
#undef FLOAT1
}

ALWAYS_INLINE void storePast(float* p, F v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  __builtin_ia32_movntps256(p, v);
#else
  store(p, v);
#endif
}

#define EACH _Pragma("GCC unroll 8") for (int v = 0; v < V; v++)
#define X bits(x[v])
#define B loadF(b + v * W)
#define B_INT load<I>(b + v * W)
#define B_UINT load<U>(b + v * W)
#define C loadF(reg[ins[4]] + v * W)
#define CASE(name, expression)     \
  case L_##name:                   \
    EACH { x[v] = expression; }    \
    break;
#define INTS(name, expression) CASE(name, floats((I)(expression)))

// The instructions on V vectors: each equals the op of the same name in src/engine/ops.
template <int V>
void block(const int32_t* ins, int count, float* const* reg, float* spill, int direct) {
  F x[V] = {};
  for (const int32_t* end = ins + count * INSTRUCTION; ins < end; ins += INSTRUCTION) {
    if (ins[2] >= 0) {
      const float* a = reg[ins[2]];
      EACH { x[v] = loadF(a + v * W); }
    }
    const float* b = reg[ins[3]];
    switch (ins[0]) {
      case L_move: break;
      case L_loadBool: {
        const uint8_t* bytes = reinterpret_cast<const uint8_t*>(b);
        EACH { x[v] = floats(__builtin_convertvector(load<Bytes>(bytes + v * W), I)); }
        break;
      }
      case L_storeBool: {
        uint8_t* bytes = reinterpret_cast<uint8_t*>(reg[ins[3]]);
        EACH { store(bytes + v * W, __builtin_convertvector(X, Bytes)); }
        break;
      }
      case L_loadHalf: {
        const uint16_t* halves = reinterpret_cast<const uint16_t*>(b);
        EACH { x[v] = loadHalves(halves + v * W); }
        break;
      }
      case L_storeHalf: {
        uint16_t* halves = reinterpret_cast<uint16_t*>(reg[ins[3]]);
        EACH { storeHalves(halves + v * W, x[v]); }
        break;
      }
      CASE(nearestHalf, nearestHalfOf(x[v]))
      CASE(randomHalf, randomHalfOf(x[v], B_UINT & 0xffff))
      CASE(randomHalfUpper, randomHalfOf(x[v], B_UINT >> 16))
      CASE(neg, -x[v])
      CASE(abs, absolute(x[v]))
      CASE(isFinite, truth(absolute(x[v]) < __builtin_inff()))
      CASE(exp, expOf(x[v]))
      CASE(expm1, expm1Of(x[v]))
      CASE(log, logOf(x[v]))
      CASE(sigmoid, sigmoidOf(x[v]))
      CASE(tanh, tanhOf(x[v]))
      CASE(erf, erfOf(x[v]))
      CASE(add, x[v] + B)
      CASE(sub, x[v] - B)
      CASE(subFrom, B - x[v])
      CASE(mul, x[v] * B)
      CASE(square, x[v] * x[v])
      CASE(div, x[v] / B)
      CASE(divInto, B / x[v])
      CASE(maximum, larger(x[v], B))
      CASE(minimum, smaller(x[v], B))
      CASE(equal, truth(x[v] == B))
      CASE(notEqual, truth(x[v] != B))
      CASE(less, truth(x[v] < B))
      CASE(lessEqual, truth(x[v] <= B))
      CASE(greater, truth(x[v] > B))
      CASE(greaterEqual, truth(x[v] >= B))
      CASE(uintToFloat, uintToFloatOf(x[v]))
      CASE(intToFloat, toFloat(X))
      CASE(floatToBool, truth(x[v] != 0.0f))
      CASE(select, select(X != 0, B, C))
      CASE(selectThen, select(B_INT != 0, x[v], C))
      CASE(selectElse, select(B_INT != 0, C, x[v]))
      INTS(intToBool, (X != 0) & 1)
      INTS(negInt, 0 - (U)x[v])
      INTS(absInt, select(X < 0, (I)(0 - (U)x[v]), X))
      INTS(signInt, (X < 0) - (X > 0))
      INTS(addInt, (U)x[v] + B_UINT)
      INTS(subInt, (U)x[v] - B_UINT)
      INTS(subIntFrom, B_UINT - (U)x[v])
      INTS(mulInt, (U)x[v] * B_UINT)
      INTS(maximumInt, select(X > B_INT, X, B_INT))
      INTS(minimumInt, select(X < B_INT, X, B_INT))
      INTS(equalInt, (X == B_INT) & 1)
      INTS(notEqualInt, (X != B_INT) & 1)
      INTS(lessInt, (X < B_INT) & 1)
      INTS(lessEqualInt, (X <= B_INT) & 1)
      INTS(greaterInt, (X > B_INT) & 1)
      INTS(greaterEqualInt, (X >= B_INT) & 1)
      INTS(lessUint, ((U)x[v] < B_UINT) & 1)
      INTS(lessEqualUint, ((U)x[v] <= B_UINT) & 1)
      INTS(greaterUint, ((U)x[v] > B_UINT) & 1)
      INTS(greaterEqualUint, ((U)x[v] >= B_UINT) & 1)
      INTS(logicalAnd, X & B_INT)
      INTS(logicalOr, X | B_INT)
      INTS(logicalNot, X ^ 1)
      default:
        EACH { store(spill + v * W, x[v]); }
        costly(ins[0], spill, b, V * W);
        EACH { x[v] = loadF(spill + v * W); }
    }
    if (ins[1] == direct) {
      float* d = reg[ins[1]];
      EACH { storePast(d + v * W, x[v]); }
    } else if (ins[1] >= 0) {
      float* d = reg[ins[1]];
      EACH { store(d + v * W, x[v]); }
    }
  }
}

Index roundUp(Index n, Index to) { return divideUp(n, to) * to; }

// Floats of a repeat's memory: a period and a block behind it, where that is written out, or a block.
Index repeatLength(const int32_t* code) {
  return (code[2] == 1 && code[3] <= PERIOD ? roundUp(code[3], W) : 0) + BLOCK;
}

// Element ⌊i / inner⌋ mod period of the source for each i in [from, from + n).
template <class T>
void repeat(int32_t* out, const T* source, Index from, Index n, Index inner, Index period) {
  Index at = from / inner % period, rest = inner - from % inner;
  for (Index i = 0; i < n;) {
    Index run = least(n - i, inner == 1 ? period - at : rest);
    for (Index k = 0; k < run; k++) out[i + k] = source[inner == 1 ? at + k : at];
    i += run;
    rest = inner;
    at = inner == 1 || at + 1 == period ? 0 : at + 1;
  }
}

}  // namespace

Index LoopRun::length(const int32_t* p) {
  return HEAD + p[2] + p[3] + p[8] + CONSTANT * p[5] + REPEAT * p[6] + INSTRUCTION * p[7];
}

Index LoopRun::memory(const int32_t* p) {
  Index streams = p[2] + p[3] + p[8];
  Index pointers = roundUp((p[1] + streams + p[6]) * static_cast<Index>(sizeof(char*)) / 4, W);
  Index floats = pointers + streams * W + (p[1] - streams - p[6] + 1) * BLOCK;
  const int32_t* repeats = p + HEAD + streams + CONSTANT * p[5];
  for (int k = 0; k < p[6]; k++) floats += repeatLength(repeats + k * REPEAT);
  return floats;
}

Index LoopRun::cost(const int32_t* p) {
  Index cost = p[2] + p[3] + p[8];
  for (const int32_t *repeat = p + HEAD + p[2] + p[3] + p[8] + CONSTANT * p[5], *end = repeat + REPEAT * p[6];
       repeat < end; repeat += REPEAT)
    cost += costs[repeat[0]];
  for (const int32_t* ins = p + length(p) - INSTRUCTION * p[7]; ins < p + length(p); ins += INSTRUCTION)
    cost += costs[ins[0]];
  return cost;
}

LoopRun::LoopRun(const int32_t* p, char* const* operands, float* memory)
    : operandOf(p + HEAD), words(p[2]), narrow(p[2] + p[3]), streams(p[2] + p[3] + p[8]), reads(p[4]), instructions(p[7]), operands(operands) {
  const int32_t* constants = operandOf + streams;
  repeatCode = constants + CONSTANT * p[5];
  repeatCount = p[6];
  body = repeatCode + REPEAT * repeatCount;
  reg = reinterpret_cast<float**>(memory);
  bases = reinterpret_cast<char**>(reg + p[1]);
  repeatMemory = reinterpret_cast<float**>(bases + streams);
  float* next = memory + roundUp((p[1] + streams + repeatCount) * static_cast<Index>(sizeof(char*)) / 4, W);
  for (int s = 0; s < streams; s++) bases[s] = operands[operandOf[s]];
  edges = next;
  next += streams * W;
  spill = next;
  next += BLOCK;
  int r = streams;
  for (int k = 0; k < p[5]; k++, r++, next += BLOCK) {
    const int32_t* code = constants + k * CONSTANT;
    int32_t word = code[1];
    if (code[0] == L_wordScalar) word = *reinterpret_cast<const int32_t*>(operands[code[1]]);
    if (code[0] == L_boolScalar) word = *reinterpret_cast<const uint8_t*>(operands[code[1]]);
    if (code[0] == L_halfScalar) word = *reinterpret_cast<const uint16_t*>(operands[code[1]]) << 16;
    reg[r] = next;
    for (Index i = 0; i < BLOCK; i += W) store(next + i, splatI(word));
  }
  firstRepeat = r;
  for (int k = 0; k < repeatCount; k++, r++) {
    const int32_t* code = repeatCode + k * REPEAT;
    repeatMemory[k] = next;
    Index length = repeatLength(code);
    int32_t* out = reinterpret_cast<int32_t*>(next);
    if (length > BLOCK && code[0] == L_boolRepeat)
      repeat(out, reinterpret_cast<const uint8_t*>(operands[code[1]]), 0, length, 1, code[3]);
    else if (length > BLOCK)
      repeat(out, reinterpret_cast<const int32_t*>(operands[code[1]]), 0, length, 1, code[3]);
    next += length;
  }
  for (; r < p[1]; r++, next += BLOCK) reg[r] = next;
}

void LoopRun::bypassCaches() {
  for (int s = 0; s < words; s++)
    if (operandOf[s] >= reads && reinterpret_cast<uintptr_t>(bases[s]) % (4 * W) == 0) direct = s;
}

void LoopRun::point(Index from) {
  for (int s = 0; s < streams; s++) reg[s] = reinterpret_cast<float*>(bases[s] + from * width(s));
}

// Asks for what the streams will read a few blocks on.
void LoopRun::ahead() {
  for (int s = 0; s < words; s++) {
    if (operandOf[s] >= reads) continue;
    const char* next = reinterpret_cast<const char*>(reg[s]) + AHEAD;
    for (Index i = 0; i < BLOCK * 4; i += 64) __builtin_prefetch(next + i);
  }
}

void LoopRun::advance(Index n) {
  for (int s = 0; s < words; s++) reg[s] += n;
  for (int s = words; s < streams; s++)
    reg[s] = reinterpret_cast<float*>(reinterpret_cast<char*>(reg[s]) + n * width(s));
}

// Repeats for n elements, whole vectors: where the source lies as it is read, it is read in place.
void LoopRun::repeats(Index from, Index n) {
  for (int k = 0; k < repeatCount; k++) {
    const int32_t* code = repeatCode + k * REPEAT;
    uint32_t at = static_cast<uint32_t>(from), inner = static_cast<uint32_t>(code[2]), period = static_cast<uint32_t>(code[3]);
    float*& place = reg[firstRepeat + k];
    place = repeatMemory[k];
    char* source = operands[code[1]];
    if (code[0] == L_randomRepeat) {
      wordsFrom(reinterpret_cast<const uint32_t*>(source), from, reinterpret_cast<uint32_t*>(place), n);
    } else if (inner == 1 && period <= PERIOD) {
      place += at % period;
    } else if (code[0] == L_boolRepeat) {
      repeat(reinterpret_cast<int32_t*>(place), reinterpret_cast<const uint8_t*>(source), from, n, inner, period);
    } else if (inner == 1 && at % period + n <= period) {
      place = reinterpret_cast<float*>(source) + at % period;
    } else {
      repeat(reinterpret_cast<int32_t*>(place), reinterpret_cast<const int32_t*>(source), from, n, inner, period);
    }
  }
}

// Less than a vector: streams go through memory of one vector each.
void LoopRun::edge(Index from, Index n) {
  point(from);
  for (int s = 0; s < streams; s++) {
    char* own = reinterpret_cast<char*>(edges + s * W);
    Index bytes = n * width(s);
    zeroBytes(own, 4 * W);
    if (operandOf[s] < reads) copyBytes(own, reg[s], bytes);
    reg[s] = reinterpret_cast<float*>(own);
  }
  repeats(from, W);
  block<1>(body, instructions, reg, spill, -2);
  for (int s = 0; s < streams; s++)
    if (operandOf[s] >= reads) copyBytes(bases[s] + from * width(s), reg[s], n * width(s));
}

void LoopRun::run(Index from, Index n) {
  Index end = from + n;
  point(from);
  for (; from + BLOCK <= end; from += BLOCK) {
    ahead();
    repeats(from, BLOCK);
    block<8>(body, instructions, reg, spill, direct);
    advance(BLOCK);
  }
  for (; from + W <= end; from += W) {
    repeats(from, W);
    block<1>(body, instructions, reg, spill, direct);
    advance(W);
  }
  if (from < end) edge(from, end - from);
}

// Equals the `evaluate` of the element-wise ops its instructions name (src/engine/ops/arith.ts, math.ts, compare.ts).
// params: a loop program. Operands hold `elements` elements; those of a scalar constant hold one.
void loop(const Call& c) {
  const int32_t* p = c.params;
  Index size = p[0];
  // A large result that takes no input's place need not be read into the caches first.
  bool past = c.count == p[4] + 1 && size * 4 >= BEYOND;
  for (int i = 0; i < p[4]; i++) past = past && c.operands[i] != c.operands[p[4]];
  parallelFor(divideUp(size, CHUNK), size * LoopRun::cost(p), [&](Index chunk) {
    LoopRun run(p, c.operands, scratchOf<float>(TILE, LoopRun::memory(p)));
    if (past) run.bypassCaches();
    run.run(chunk * CHUNK, least(CHUNK, size - chunk * CHUNK));
#if defined(__AVX2__)
    if (past) __builtin_ia32_sfence();
#endif
  });
}

}  // namespace VARIANT
}  // namespace chainrule
