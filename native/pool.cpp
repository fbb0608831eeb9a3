// Worker threads that take chunks of one job at a time and sleep between jobs. Which thread takes which chunk is open;
// what a chunk computes is not.
#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#elif defined(__aarch64__)
#define RELAX() asm volatile("yield")
#else
#define RELAX()
#endif

namespace chainrule {

namespace {

constexpr int SPINS = 4000;  // about 50 µs of waiting before a thread sleeps

struct Job {
  void (*chunk)(void*, Index) = nullptr;
  void* data = nullptr;
  Index chunks = 0;
};

struct Pool {
  std::mutex owner;  // held by the thread whose job runs
  std::mutex mutex;  // guards job, asleep, stopping and the step into a job
  std::condition_variable wake;
  std::vector<std::thread> threads;  // guarded by owner
  std::atomic<int> workers{0};       // how many there are
  Job job;
  std::atomic<Index> next{0};
  std::atomic<uint64_t> generation{0};
  std::atomic<int> inJob{0};  // workers that took the job up and have not left it
  int asleep = 0;
  bool stopping = false;
};

// Never destroyed: threads may outlive the statics of a process that exits.
Pool& pool = *new Pool;
thread_local bool inside = false;  // within a chunk: nested splits run where they are

void takeChunks(const Job& job) {
  inside = true;
  for (Index i; (i = pool.next.fetch_add(1, std::memory_order_relaxed)) < job.chunks;) job.chunk(job.data, i);
  inside = false;
}

void work() {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < SPINS && pool.generation.load(std::memory_order_acquire) == seen; i++) RELAX();
    Job job;
    {
      std::unique_lock<std::mutex> lock(pool.mutex);
      pool.asleep++;
      pool.wake.wait(lock, [&] { return pool.stopping || pool.generation.load() != seen; });
      pool.asleep--;
      if (pool.stopping) return;
      seen = pool.generation.load();
      job = pool.job;
      // A job that closed before this thread woke is left alone: its chunks are done and its data is gone.
      if (job.chunks == 0) continue;
      pool.inJob.fetch_add(1, std::memory_order_relaxed);
    }
    takeChunks(job);
    pool.inJob.fetch_sub(1, std::memory_order_release);
  }
}

struct Scratch {
  void* blocks[SLOTS] = {};
  size_t sizes[SLOTS] = {};
  ~Scratch() {
    for (void* block : blocks) std::free(block);
  }
};
thread_local Scratch own;

}  // namespace

void resizePool(int threads) {
  std::lock_guard<std::mutex> owner(pool.owner);
  if (static_cast<int>(pool.threads.size()) > threads - 1) {
    {
      std::lock_guard<std::mutex> lock(pool.mutex);
      pool.stopping = true;
    }
    pool.wake.notify_all();
    for (std::thread& thread : pool.threads) thread.join();
    pool.threads.clear();
    pool.stopping = false;
  }
  while (static_cast<int>(pool.threads.size()) < threads - 1) pool.threads.emplace_back(work);
  pool.workers = static_cast<int>(pool.threads.size());
}

int poolThreads() { return pool.workers + 1; }

void parallelChunks(Index chunks, void (*chunk)(void*, Index), void* data) {
  // Within a chunk, or while another caller's job runs, the work is done here: the bits are the same.
  std::unique_lock<std::mutex> owner(pool.owner, std::defer_lock);
  if (inside || pool.workers == 0 || !owner.try_lock()) {
    for (Index i = 0; i < chunks; i++) chunk(data, i);
    return;
  }
  Job job = {chunk, data, chunks};
  bool sleepers;
  {
    std::lock_guard<std::mutex> lock(pool.mutex);
    pool.job = job;
    pool.next.store(0, std::memory_order_relaxed);
    pool.generation.fetch_add(1, std::memory_order_release);
    sleepers = pool.asleep > 0;
  }
  if (sleepers) pool.wake.notify_all();
  takeChunks(job);
  {
    std::lock_guard<std::mutex> lock(pool.mutex);
    pool.job = Job();
  }
  for (int i = 0; pool.inJob.load(std::memory_order_acquire) > 0; i++) {
    if (i < SPINS) RELAX();
    else std::this_thread::yield();
  }
}

void* scratch(ScratchSlot slot, size_t bytes) {
  if (own.sizes[slot] < bytes) {
    size_t size = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    std::free(own.blocks[slot]);
    own.blocks[slot] = std::aligned_alloc(64, size);
    if (own.blocks[slot] == nullptr) {
      std::fprintf(stderr, "chainrule: out of memory for %zu bytes inside a kernel\n", size);
      std::abort();
    }
    own.sizes[slot] = size;
  }
  return own.blocks[slot];
}

}  // namespace chainrule
