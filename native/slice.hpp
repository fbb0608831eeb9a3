// Whose turn on a core comes soon: the event loop's, before the threads that compute. Linux from 6.12 on; elsewhere nothing.
#pragma once

#if defined(__linux__) && !defined(__wasm__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#endif

namespace chainrule {

/// How long this thread runs before another may have its core, in nanoseconds; 0 is the system's usual slice. A thread with
/// a shorter slice than the running one gets the core as soon as it wakes. New threads begin with their maker's slice.
inline void setSlice(uint64_t nanoseconds) {
#if defined(__linux__) && !defined(__wasm__)
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {};
  // Older systems ignore a slice, and a policy that somebody chose is theirs: nothing here needs to succeed.
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 || attributes.policy != SCHED_OTHER) return;
  attributes.size = sizeof attributes;
  attributes.runtime = nanoseconds;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
#else
  (void)nanoseconds;
#endif
}

}  // namespace chainrule
