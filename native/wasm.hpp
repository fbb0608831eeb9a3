// What the parts of the WebAssembly module share: memory, locks, plans that are run.
#pragma once
#include "runtime.hpp"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace chainrule {

/// A block of memory, 64-byte aligned; null where there is none.
void* allocate(size_t bytes);
void release(void* block);

/// Words that are 1 while a thread holds them.
void lock(int32_t& word);
void unlock(int32_t& word);

/// A plan that was loaded, and how many bytes of its arena are filled with NaN before each run.
struct Loaded {
  Plan plan;
  uint32_t poison;
  int32_t running;  // lock: runs share the arena
};

/// One run of a plan: its external slots, and how it ended. The slots' addresses lie behind it.
struct Run {
  Loaded* loaded;
  Failure failure;
  Run* next;  // in the queue
  char** slots() { return reinterpret_cast<char**>(this + 1); }
};

/// Runs it on this thread. The time of each of the first `calls` kernel calls is added to `seconds`.
void execute(Run& run, double* seconds, int32_t calls);

}  // namespace chainrule
