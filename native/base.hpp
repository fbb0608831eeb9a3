// What every kernel is given and may use: its call, the split of work over threads, scratch memory, errors.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define ALWAYS_INLINE inline __attribute__((always_inline))

namespace chainrule {

typedef int64_t Index;

/// Why a stream stopped. `call` numbers kernel calls from 0; -1 means that nothing went wrong.
struct Failure {
  int32_t call = -1;
  int32_t value = 0;
  int32_t limit = 0;
};

/// One kernel on its operands: addresses of inputs, then outputs.
struct Call {
  const int32_t* params;
  char* const* operands;
  int32_t count;
  int32_t number;
  Failure* failure;

  template <class T>
  T* at(int i) const {
    return reinterpret_cast<T*>(operands[i]);
  }
  /// Stops the stream: `value` is outside [0, limit). The lowest call wins; the kernel returns at once.
  void fail(int32_t value, int32_t limit) const {
    failure->call = number;
    failure->value = value;
    failure->limit = limit;
  }
};

typedef void (*Kernel)(const Call&);

/// Below this many elementary operations (about 4 µs) sharing costs more than it gives, even with threads that are awake.
constexpr Index PARALLEL_WORK = 1 << 14;

/// Runs chunk(0) … chunk(chunks - 1), each once, on any thread. Chunks must depend on shapes only, never on the number
/// of threads: then every number of threads gives the same bits. `work` in elementary operations: threads that sleep are
/// woken for enough of it only.
void parallelChunks(Index chunks, Index work, void (*chunk)(void*, Index), void* data);

template <class F>
inline void parallelFor(Index chunks, Index work, const F& body) {
  if (chunks <= 1 || work < PARALLEL_WORK) {
    for (Index i = 0; i < chunks; i++) body(i);
    return;
  }
  parallelChunks(chunks, work, [](void* data, Index i) { (*static_cast<const F*>(data))(i); }, const_cast<F*>(&body));
}

/// Memory of this thread, 64-byte aligned, kept and grown; each slot is one block that lives until it is asked for again.
enum ScratchSlot { TILE, PACK_A, PACK_B, EDGE, SHARED, WIDE, SLOTS };
void* scratch(ScratchSlot slot, size_t bytes);

template <class T>
inline T* scratchOf(ScratchSlot slot, Index count) {
  return static_cast<T*>(scratch(slot, static_cast<size_t>(count) * sizeof(T)));
}

inline Index divideUp(Index a, Index b) { return (a + b - 1) / b; }
inline Index least(Index a, Index b) { return a < b ? a : b; }
inline Index most(Index a, Index b) { return a > b ? a : b; }

inline void copyBytes(void* to, const void* from, Index bytes) {
  __builtin_memcpy(to, from, static_cast<size_t>(bytes));
}
inline void zeroBytes(void* to, Index bytes) { __builtin_memset(to, 0, static_cast<size_t>(bytes)); }

inline float floatOf(int32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

}  // namespace chainrule
