// The threads of the WebAssembly module: workers that share its memory, sleep between jobs, take chunks of them or run
// whole plans. Which thread takes which chunk is open; what a chunk computes is not.
#include "wasm.hpp"

#define ATOMIC __ATOMIC_SEQ_CST

namespace chainrule {

namespace {

constexpr int SPINS = 1 << 14;         // about 20 µs of waiting before a thread sleeps
constexpr int64_t NAP = 100 * 1000;    // nanoseconds of sleep before a lock is looked at again
constexpr Index WAKE_WORK = 1 << 17;   // elementary operations that are worth waking threads for

struct Job {
  void (*chunk)(void*, Index);
  void* data;
  Index chunks;
};

struct Pool {
  alignas(64) int32_t generation;  // grows with each job and each plan: workers sleep on it
  int32_t asleep, workers;
  int32_t helpers;  // most workers of a job
  int32_t wanted;   // whether there was a job that workers could have helped with
  int32_t owner;    // taken by the thread whose job runs
  int32_t open;     // whether the job may be joined
  int32_t queue;    // lock of first and last
  Run *first, *last;  // plans to run, by any worker
  Job job;
  alignas(64) Index next;   // chunk
  alignas(64) int32_t inJob;  // workers in the job, or on the way in or out
  int32_t seats;              // how many more may join
};
Pool pool;

thread_local bool inside = false;    // within a chunk: nested splits run where they are
thread_local bool mayBlock = false;  // not on a browser's main thread
thread_local bool worker = false;
thread_local void* blocks[SLOTS] = {};
thread_local size_t sizes[SLOTS] = {};

int32_t valueOf(const int32_t& word) { return __atomic_load_n(&word, ATOMIC); }
void sleepOn(int32_t& word, int32_t value, int64_t nanoseconds) {
  __builtin_wasm_memory_atomic_wait32(&word, value, nanoseconds);
}

void takeChunks(const Job& job) {
  inside = true;
  for (Index i; (i = __atomic_fetch_add(&pool.next, 1, ATOMIC)) < job.chunks;) job.chunk(job.data, i);
  inside = false;
}

// False where the job has helpers enough. Counted before it looks, so that the owner sees it before it leaves the job.
bool join() {
  __atomic_fetch_add(&pool.inJob, 1, ATOMIC);
  bool open = valueOf(pool.open) != 0, seated = open && __atomic_fetch_sub(&pool.seats, 1, ATOMIC) > 0;
  if (seated) takeChunks(pool.job);
  __atomic_fetch_sub(&pool.inJob, 1, ATOMIC);
  return seated || !open;
}

// Tells the workers; where too few are awake, as many as are missing are woken.
void announce(int32_t needed) {
  __atomic_fetch_add(&pool.generation, 1, ATOMIC);
  int32_t asleep = valueOf(pool.asleep), missing = needed - (valueOf(pool.workers) - asleep - worker);
  if (asleep > 0 && missing > 0) __builtin_wasm_memory_atomic_notify(&pool.generation, static_cast<uint32_t>(missing));
}

Run* takePlan() {
  lock(pool.queue);
  Run* run = pool.first;
  if (run != nullptr) pool.first = run->next;
  unlock(pool.queue);
  return run;
}

}  // namespace

void lock(int32_t& word) {
  for (int i = 0; __atomic_exchange_n(&word, 1, ATOMIC) != 0; i++)
    if (i > SPINS && mayBlock) sleepOn(word, 1, NAP);
}
void unlock(int32_t& word) { __atomic_store_n(&word, 0, ATOMIC); }

void parallelChunks(Index chunks, Index work, void (*chunk)(void*, Index), void* data) {
  // Within a chunk, or while another caller's job runs, the work is done here: the bits are the same.
  if (!inside && work >= WAKE_WORK) __atomic_store_n(&pool.wanted, 1, ATOMIC);
  if (inside || valueOf(pool.workers) == 0 || __atomic_exchange_n(&pool.owner, 1, ATOMIC) != 0) {
    for (Index i = 0; i < chunks; i++) chunk(data, i);
    return;
  }
  pool.job = {chunk, data, chunks};
  pool.next = 0;
  __atomic_store_n(&pool.seats, pool.helpers, ATOMIC);
  __atomic_store_n(&pool.open, 1, ATOMIC);
  announce(work >= WAKE_WORK ? pool.helpers : 0);
  takeChunks(pool.job);
  __atomic_store_n(&pool.open, 0, ATOMIC);
  for (int i = 0, in; (in = valueOf(pool.inJob)) > 0; i++)
    if (i > SPINS && mayBlock) sleepOn(pool.inJob, in, NAP);
  unlock(pool.owner);
}

void* scratch(ScratchSlot slot, size_t bytes) {
  if (sizes[slot] < bytes) {
    release(blocks[slot]);
    blocks[slot] = allocate(bytes);
    sizes[slot] = bytes;
    if (blocks[slot] == nullptr) __builtin_trap();
  }
  return blocks[slot];
}

}  // namespace chainrule

using namespace chainrule;

extern "C" __attribute__((import_module("env"), import_name("done"))) void importedDone(Run* run);

/// Said once by the main thread: the most workers of a job, and whether this thread may sleep.
EXPORT(setThreads) void exportedSetThreads(int32_t helpers, int32_t sleeps) {
  pool.helpers = helpers;
  mayBlock = sleeps != 0;
}
/// Bytes of the thread-local variables of a worker.
EXPORT(tlsBytes) size_t exportedTlsBytes() { return __builtin_wasm_tls_size(); }
/// Whether there was a job large enough for workers.
EXPORT(wanted) int32_t exportedWanted() { return valueOf(pool.wanted); }

/// Hands a run to the workers; the one that takes it calls `done`.
EXPORT(post) void exportedPost(Run* run) {
  run->next = nullptr;
  lock(pool.queue);
  if (pool.first == nullptr) pool.first = run;
  else pool.last->next = run;
  pool.last = run;
  unlock(pool.queue);
  announce(INT16_MAX);  // whoever is awake may be busy
}

/// A worker's life.
EXPORT(work) void exportedWork() {
  mayBlock = worker = true;
  __atomic_fetch_add(&pool.workers, 1, ATOMIC);
  bool spin = true;
  for (int32_t seen = -1;;) {
    int32_t now = valueOf(pool.generation);
    for (int i = 0; spin && i < SPINS && now == seen; i++) now = valueOf(pool.generation);
    if (now == seen) {
      __atomic_fetch_add(&pool.asleep, 1, ATOMIC);
      sleepOn(pool.generation, seen, -1);
      __atomic_fetch_sub(&pool.asleep, 1, ATOMIC);
      continue;
    }
    seen = now;
    while (Run* run = takePlan()) {
      execute(*run, nullptr, 0);
      importedDone(run);
    }
    spin = join();
  }
}
