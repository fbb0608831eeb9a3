// A loop program that ends another kernel: it runs on results while they are in a cache.
#pragma once
#include "loop.hpp"

namespace chainrule {
namespace VARIANT {

/// Nothing, or a loop program over all results of a kernel.
struct Ending {
  const int32_t* program = nullptr;
  char* const* operands = nullptr;

  bool empty() const { return program == nullptr; }
  /// Ready for any ranges of elements; takes the place of what is in the scratch of tiles.
  LoopRun open() const { return LoopRun(program, operands, scratchOf<float>(TILE, LoopRun::memory(program))); }
  void run(Index from, Index n) const {
    if (!empty()) open().run(from, n);
  }
  /// For kernels whose results are not ready a range at a time.
  void runAll(Index n) const {
    if (empty()) return;
    constexpr Index EACH = 1 << 14;
    parallelFor(divideUp(n, EACH), n * LoopRun::cost(program),
                [&](Index chunk) { run(chunk * EACH, least(EACH, n - chunk * EACH)); });
  }
};

}  // namespace VARIANT
}  // namespace chainrule
