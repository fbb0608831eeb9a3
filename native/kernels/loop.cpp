// The loop kernel: a short program run over tiles that stay in the first-level cache, 32-bit lanes, any dtype.
#include "kernels.hpp"
#include "math.hpp"

namespace chainrule {

enum LoopOp {
#define OP(name, cost) L_##name,
#include "loop-ops.def"
#undef OP
  LOOP_OPS
};

namespace VARIANT {

namespace {

constexpr Index LANES = 16;     // tiles are whole multiples of this on every variant
constexpr Index LENGTH = 512;   // elements of a tile: 2 KiB a register
constexpr Index CHUNK = 16384;  // elements one thread takes at a time
constexpr int INSTRUCTION = 5;  // words: op, dst, a, b, c

const uint8_t costs[] = {
#define OP(name, cost) cost,
#include "loop-ops.def"
#undef OP
};

struct Program {
  const Call& call;
  const int32_t* code;
  int instructions;
  int prologue;
  int direct;     // the instruction whose result goes straight to an output, or -1
  bool aliasing;  // several outputs, so an output may be an operand still to be read
};

template <class Fn>
ALWAYS_INLINE void map1(float* d, const float* a, Index n, Fn fn) {
  for (Index i = 0; i < n; i += W) store(d + i, fn(loadF(a + i)));
}
template <class Fn>
ALWAYS_INLINE void map2(float* d, const float* a, const float* b, Index n, Fn fn) {
  for (Index i = 0; i < n; i += W) store(d + i, fn(loadF(a + i), loadF(b + i)));
}
template <class Fn>
ALWAYS_INLINE void each2(float* d, const float* a, const float* b, Index n, Fn fn) {
  for (Index i = 0; i < n; i++) d[i] = fn(a[i], b[i]);
}

ALWAYS_INLINE F truth(I mask) { return floats(mask & 1); }

ALWAYS_INLINE int32_t modulo(int32_t a, int32_t b) {
  if (b == 0 || b == -1) return 0;
  int32_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
ALWAYS_INLINE F toIntClamped(F x) {
  I high = x >= 2147483648.0f, low = x < -2147483648.0f;
  F safe = select(high | low | (x != x), F{}, x);
  I r = toInt(safe);
  return floats(select(high, splatI(INT32_MAX), select(low, splatI(INT32_MIN), r)));
}
ALWAYS_INLINE F toUintClamped(F x) {
  I over = x >= 4294967296.0f, upper = x >= 2147483648.0f;
  F safe = select((x > 0.0f) & ~over, x, F{});
  I r = toInt(select(upper & ~over, safe - 2147483648.0f, safe)) ^ (upper & INT32_MIN);
  return floats(select(over, splatI(-1), r));
}
ALWAYS_INLINE F uintToFloatOf(F x) {
  I u = bits(x);
  return toFloat((I)((U)u >> 16)) * 65536.0f + toFloat(u & 0xffff);
}

#define A reg[ins[2]]
#define B reg[ins[3]]
#define FLOAT1(name, expression) \
  case L_##name:                 \
    map1(d, A, n, [](F x) { return expression; }); \
    break;
#define FLOAT2(name, expression) \
  case L_##name:                 \
    map2(d, A, B, n, [](F x, F y) { return expression; }); \
    break;
#define INT1(name, expression) \
  case L_##name:               \
    map1(d, A, n, [](F p) { I x = bits(p); return floats(expression); }); \
    break;
#define INT2(name, expression) \
  case L_##name:               \
    map2(d, A, B, n, [](F p, F q) { I x = bits(p), y = bits(q); return floats(expression); }); \
    break;
#define UINT2(name, expression) \
  case L_##name:                \
    map2(d, A, B, n, [](F p, F q) { U x = (U)p, y = (U)q; return floats(expression); }); \
    break;

// One instruction on n elements (a multiple of LANES): equals the op of the same name in src/engine/ops.
__attribute__((noinline)) void compute(const int32_t* ins, float* const* reg, float* d, Index n) {
  switch (ins[0]) {
    FLOAT1(neg, -x)
    FLOAT1(abs, absolute(x))
    FLOAT1(sign, select(x != x, x, select(x == 0.0f, x, withSign(splat(1), x))))
    FLOAT1(floor, floorOf(x))
    FLOAT1(ceil, ceilOf(x))
    FLOAT1(round, roundEven(x))
    FLOAT1(exp, expOf(x))
    FLOAT1(expm1, expm1Of(x))
    FLOAT1(log, logOf(x))
    FLOAT1(log1p, log1pOf(x))
    FLOAT1(sin, sinOf(x))
    FLOAT1(cos, cosOf(x))
    FLOAT1(tan, tanOf(x))
    FLOAT1(tanh, tanhOf(x))
    FLOAT1(sigmoid, sigmoidOf(x))
    FLOAT1(erf, erfOf(x))
    FLOAT1(isFinite, truth(absolute(x) < __builtin_inff()))
    FLOAT2(add, x + y)
    FLOAT2(sub, x - y)
    FLOAT2(mul, x * y)
    FLOAT2(div, x / y)
    FLOAT2(maximum, larger(x, y))
    FLOAT2(minimum, smaller(x, y))
    FLOAT2(equal, truth(x == y))
    FLOAT2(notEqual, truth(x != y))
    FLOAT2(less, truth(x < y))
    FLOAT2(lessEqual, truth(x <= y))
    FLOAT2(greater, truth(x > y))
    FLOAT2(greaterEqual, truth(x >= y))
    FLOAT1(floatToInt, toIntClamped(x))
    FLOAT1(floatToUint, toUintClamped(x))
    FLOAT1(uintToFloat, uintToFloatOf(x))
    FLOAT1(intToFloat, toFloat(bits(x)))
    FLOAT1(floatToBool, truth(x != 0.0f))
    INT1(intToBool, (x != 0) & 1)
    INT1(negInt, (I)(0 - (U)x))
    INT1(absInt, select(x < 0, (I)(0 - (U)x), x))
    INT1(signInt, ((x < 0) - (x > 0)))
    UINT2(addInt, (I)(x + y))
    UINT2(subInt, (I)(x - y))
    UINT2(mulInt, (I)(x * y))
    INT2(maximumInt, select(x > y, x, y))
    INT2(minimumInt, select(x < y, x, y))
    INT2(equalInt, (x == y) & 1)
    INT2(notEqualInt, (x != y) & 1)
    INT2(lessInt, (x < y) & 1)
    INT2(lessEqualInt, (x <= y) & 1)
    INT2(greaterInt, (x > y) & 1)
    INT2(greaterEqualInt, (x >= y) & 1)
    UINT2(lessUint, (I)(x < y) & 1)
    UINT2(lessEqualUint, (I)(x <= y) & 1)
    UINT2(greaterUint, (I)(x > y) & 1)
    UINT2(greaterEqualUint, (I)(x >= y) & 1)
    INT2(logicalAnd, x & y)
    INT2(logicalOr, x | y)
    INT1(logicalNot, x ^ 1)
    case L_sqrt:
      for (Index i = 0; i < n; i++) d[i] = __builtin_sqrtf(A[i]);
      break;
    case L_rsqrt:
      for (Index i = 0; i < n; i++) d[i] = 1.0f / __builtin_sqrtf(A[i]);
      break;
    case L_pow:
      each2(d, A, B, n, powOf);
      break;
    case L_remainder:
      each2(d, A, B, n, remainderOf);
      break;
    case L_remainderInt: {
      const int32_t *a = reinterpret_cast<const int32_t*>(A), *b = reinterpret_cast<const int32_t*>(B);
      for (Index i = 0; i < n; i++) reinterpret_cast<int32_t*>(d)[i] = modulo(a[i], b[i]);
      break;
    }
    case L_select: {
      const float* c = reg[ins[4]];
      for (Index i = 0; i < n; i += W)
        store(d + i, select(bits(loadF(A + i)) != 0, loadF(B + i), loadF(c + i)));
      break;
    }
  }
}

void fillRegister(float* d, int32_t word) {
  int32_t* out = reinterpret_cast<int32_t*>(d);
  for (Index i = 0; i < LENGTH; i++) out[i] = word;
}

// Element ⌊i / inner⌋ mod period of the source for each i in [from, from + n): a broadcast as it is read.
template <class T, class U>
void repeat(U* out, const T* source, Index from, Index n, Index inner, Index period) {
  Index at = from / inner % period, rest = inner - from % inner;
  for (Index i = 0; i < n;) {
    if (inner == 1) {
      Index run = least(n - i, period - at);
      for (Index k = 0; k < run; k++) out[i + k] = source[at + k];
      i += run;
      at = 0;
    } else {
      Index run = least(n - i, rest);
      for (Index k = 0; k < run; k++) out[i + k] = source[at];
      i += run;
      rest = inner;
      at = at + 1 == period ? 0 : at + 1;
    }
  }
}

// Runs the instructions on elements [from, from + n). A tail shorter than LANES goes through the registers only.
void runTile(const Program& p, float* file, float** reg, Index from, Index n) {
  Index padded = divideUp(n, LANES) * LANES;
  bool whole = padded == n;
  for (int k = p.prologue; k < p.instructions; k++) {
    const int32_t* ins = p.code + k * INSTRUCTION;
    float* own = file + ins[1] * LENGTH;
    switch (ins[0]) {
      case L_loadWord: {
        float* source = p.call.at<float>(ins[2]) + from;
        if (whole && !p.aliasing) {
          reg[ins[1]] = source;
        } else {
          copyBytes(own, source, n * 4);
          zeroBytes(own + n, (padded - n) * 4);
          reg[ins[1]] = own;
        }
        break;
      }
      case L_loadBool: {
        const uint8_t* source = p.call.at<uint8_t>(ins[2]) + from;
        int32_t* out = reinterpret_cast<int32_t*>(own);
        for (Index i = 0; i < n; i++) out[i] = source[i];
        zeroBytes(out + n, (padded - n) * 4);
        reg[ins[1]] = own;
        break;
      }
      case L_loadWordRepeat: {
        int32_t* out = reinterpret_cast<int32_t*>(own);
        repeat(out, p.call.at<int32_t>(ins[2]), from, n, ins[3], ins[4]);
        zeroBytes(out + n, (padded - n) * 4);
        reg[ins[1]] = own;
        break;
      }
      case L_loadBoolRepeat: {
        int32_t* out = reinterpret_cast<int32_t*>(own);
        repeat(out, p.call.at<uint8_t>(ins[2]), from, n, ins[3], ins[4]);
        zeroBytes(out + n, (padded - n) * 4);
        reg[ins[1]] = own;
        break;
      }
      case L_storeWord: {
        float* target = p.call.at<float>(ins[2]) + from;
        if (reg[ins[3]] != target) copyBytes(target, reg[ins[3]], n * 4);
        break;
      }
      case L_storeBool: {
        uint8_t* target = p.call.at<uint8_t>(ins[2]) + from;
        const int32_t* source = reinterpret_cast<const int32_t*>(reg[ins[3]]);
        for (Index i = 0; i < n; i++) target[i] = static_cast<uint8_t>(source[i]);
        break;
      }
      default:
        if (whole && k == p.direct) own = p.call.at<float>(ins[INSTRUCTION + 2]) + from;
        compute(ins, reg, own, padded);
        reg[ins[1]] = own;
    }
  }
}

// Scalars and immediates fill their registers once a chunk.
void runPrologue(const Program& p, float* file, float** reg) {
  for (int k = 0; k < p.prologue; k++) {
    const int32_t* ins = p.code + k * INSTRUCTION;
    int32_t word = ins[2];
    if (ins[0] == L_loadWordScalar) word = *p.call.at<int32_t>(ins[2]);
    if (ins[0] == L_loadBoolScalar) word = *p.call.at<uint8_t>(ins[2]);
    reg[ins[1]] = file + ins[1] * LENGTH;
    fillRegister(reg[ins[1]], word);
  }
}

}  // namespace

// Equals the `evaluate` of the element-wise ops its instructions name (src/engine/ops/arith.ts, math.ts, compare.ts).
// params: elements, outputs, registers, instructions, of which prologue, (op, dst, a, b, c) each.
// Operands hold `elements` elements; those of a …Scalar load hold one. Stores come last.
void loop(const Call& c) {
  Index size = c.params[0];
  int registers = c.params[2];
  Program p = {c, c.params + 5, c.params[3], c.params[4], -1, c.params[1] > 1};
  int last = p.instructions - 1;
  const int32_t* store = p.code + last * INSTRUCTION;
  // One output: the instruction before its store may write to memory itself.
  if (!p.aliasing && last > p.prologue && store[0] == L_storeWord) {
    const int32_t* before = store - INSTRUCTION;
    if (before[0] > L_storeBool && before[1] == store[3]) p.direct = last - 1;
  }
  Index cost = 0;
  for (int k = 0; k < p.instructions; k++) cost += costs[p.code[k * INSTRUCTION]];
  parallelFor(divideUp(size, CHUNK), size * cost, [&](Index chunk) {
    float* file = scratchOf<float>(TILE, registers * LENGTH + 64 * sizeof(float*) / 4);
    float** reg = reinterpret_cast<float**>(file + registers * LENGTH);
    runPrologue(p, file, reg);
    Index end = least(size, (chunk + 1) * CHUNK);
    for (Index from = chunk * CHUNK; from < end; from += LENGTH) {
      Index n = least(LENGTH, end - from), main = n / LANES * LANES;
      if (main > 0) runTile(p, file, reg, from, main);
      if (n > main) runTile(p, file, reg, from + main, n - main);
    }
  });
}

}  // namespace VARIANT
}  // namespace chainrule
