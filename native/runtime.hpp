// The executor of encoded plans; the stream's format is that of src/engine/plan/encode.ts.
#pragma once
#include "base.hpp"

namespace chainrule {

/// A stream with its arena, ready to run. `words` and `arena` outlive it.
struct Plan {
  const int32_t* words;
  Index count;
  char* arena;
  Index slots;  // external slots it refers to
};

/// Checks that a stream is well formed for a table of `kernels` kernels: lengths fit, opcodes and slots exist.
bool checkStream(const int32_t* words, Index count, Index slots, int kernels);

/// Where the time went: seconds[call] grows by the time spent in that kernel call; calls at and above `count` are not timed.
struct Profile {
  double* seconds = nullptr;
  Index count = 0;
};

/// Executes the whole stream. `slots`: addresses of the external slots.
Failure runPlan(const Plan& plan, const Kernel* table, char* const* slots, Profile profile = Profile());

/// Seconds since some fixed moment.
double clockSeconds();

}  // namespace chainrule
