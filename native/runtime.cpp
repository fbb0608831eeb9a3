// Runs a stream of kernel calls and loops, one after another; each kernel splits itself over the threads.
#include "runtime.hpp"

#if !defined(__wasm__)
#include <time.h>
#endif

namespace chainrule {

namespace {

constexpr int32_t LOOP = -1;
constexpr Index ALIGNMENT = 64;
constexpr int HEAD = 8;         // words before a loop's slices
constexpr int SLICE = 5;        // words of one slice or carry
constexpr int OPERANDS = 8192; // most operands of one kernel: their addresses are on the stack

struct Runner {
  const Plan& plan;
  const Kernel* table;
  char* const* slots;
  Profile profile;
  Failure failure;

  char* at(const int32_t* operand) const {
    char* base = operand[0] == 0 ? plan.arena : slots[operand[0] - 1];
    return base + operand[1] * ALIGNMENT;
  }

  __attribute__((noinline)) bool kernel(const int32_t* step) {
    int count = step[3];
    char** operands = static_cast<char**>(__builtin_alloca(static_cast<size_t>(count) * sizeof(char*)));
    for (int i = 0; i < count; i++) operands[i] = at(step + 4 + 2 * i);
    Call call = {step + 4 + 2 * count, operands, count, step[2], &failure};
    if (step[2] >= profile.count) {
      table[step[0]](call);
    } else {
      double start = clockSeconds();
      table[step[0]](call);
      profile.seconds[step[2]] += clockSeconds() - start;
    }
    return failure.call < 0;
  }

  bool loop(const int32_t* step) {
    Index count = step[2];
    const int32_t* reads = step + HEAD;
    const int32_t* body = reads + SLICE * step[4];
    const int32_t* writes = body + step[7];
    const int32_t* carries = writes + SLICE * step[5];
    for (Index turn = 0; turn < count; turn++) {
      Index i = step[3] ? count - 1 - turn : turn;
      for (int k = 0; k < step[4]; k++) {
        const int32_t* s = reads + SLICE * k;
        copyBytes(at(s + 2), at(s) + i * s[4], s[4]);
      }
      if (!steps(body, writes)) return false;
      for (int k = 0; k < step[5]; k++) {
        const int32_t* s = writes + SLICE * k;
        copyBytes(at(s) + i * s[4], at(s + 2), s[4]);
      }
      for (int k = 0; k < step[6]; k++) {
        const int32_t* s = carries + SLICE * k;
        if (at(s) != at(s + 2)) copyBytes(at(s + 2), at(s), s[4]);
      }
    }
    return true;
  }

  bool steps(const int32_t* step, const int32_t* end) {
    for (; step < end; step += step[1])
      if (!(step[0] == LOOP ? loop(step) : kernel(step))) return false;
    return true;
  }
};

bool checkSteps(const int32_t* words, Index count, Index slots, int kernels) {
  auto known = [&](const int32_t* operand) { return operand[0] >= 0 && operand[0] <= slots && operand[1] >= 0; };
  while (count > 0) {
    if (count < 4 || words[1] < 4 || words[1] > count) return false;
    Index length = words[1];
    if (words[0] == LOOP) {
      if (length < HEAD) return false;
      for (int i = 2; i < HEAD; i++)
        if (words[i] < 0) return false;
      Index slices = words[4], writes = words[5], carries = words[6], body = words[7];
      if (HEAD + SLICE * (slices + writes + carries) + body != length) return false;
      const int32_t* list = words + HEAD;
      for (Index k = 0; k < slices + writes + carries; k++) {
        if (k == slices) {
          if (!checkSteps(list, body, slots, kernels)) return false;
          list += body;
        }
        if (!known(list) || !known(list + 2) || list[4] < 0) return false;
        list += SLICE;
      }
      if (writes + carries == 0 && !checkSteps(list, body, slots, kernels)) return false;
    } else {
      Index operands = words[3];
      if (words[0] < 0 || words[0] >= kernels || words[2] < 0 || operands < 0 || operands > OPERANDS) return false;
      if (4 + 2 * operands > length) return false;
      for (Index i = 0; i < operands; i++)
        if (!known(words + 4 + 2 * i)) return false;
    }
    words += length;
    count -= length;
  }
  return true;
}

}  // namespace

bool checkStream(const int32_t* words, Index count, Index slots, int kernels) {
  return checkSteps(words, count, slots, kernels);
}

#if !defined(__wasm__)
double clockSeconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}
#endif

Failure runPlan(const Plan& plan, const Kernel* table, char* const* slots, Profile profile) {
  Runner runner = {plan, table, slots, profile, Failure()};
  runner.steps(plan.words, plan.words + plan.count);
  return runner.failure;
}

}  // namespace chainrule
