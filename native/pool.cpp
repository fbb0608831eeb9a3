// Worker threads that take chunks of one job at a time. Which thread takes which chunk is open; what a chunk computes is not.
//
// The caller takes chunks from the front, workers from the back: from kernel to kernel the same core tends to meet the same
// part of an array, which is in its own cache. A thread out of work spins for a tenth of a millisecond, so that the next
// kernel of a plan finds it awake, then sleeps.
// A thread that the system took off its core in the middle of a chunk holds everybody up for milliseconds: it is left out
// for a while, longer each time it happens again, so that a core kept busy by another process costs its own share only.
#include "pool.hpp"

#include "slice.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
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

typedef std::chrono::steady_clock Clock;
typedef std::chrono::microseconds Micros;

constexpr Micros SPIN(100);               // a thread without work sleeps after this
constexpr Micros STALL(1000);              // waiting this much longer than three chunks take: a thread lost its core (waking takes less)
constexpr Micros REST(4000), LONG(64000); // how long it is left out, at first and at most
constexpr Micros CALM(20000);             // without another stall for this long the next one counts as the first
constexpr Index SMALL = 1 << 17;          // work (about 30 µs) that is worth waking a thread for
constexpr int BITS = 20;                  // of a chunk's number in a ticket
constexpr uint64_t MASK = (1 << BITS) - 1;

struct alignas(64) Worker {
  std::atomic<bool> busy{false};     // between its first chunk of a job and its last
  std::atomic<bool> resting{false};  // left out
  Clock::time_point until, last;     // guarded by mutex: rests until then; when it last stalled
  Micros rest = REST;
  std::thread thread;
};

struct Pool {
  std::mutex owner;  // held by the thread whose job runs
  std::vector<std::unique_ptr<Worker>> workers;  // guarded by owner
  std::atomic<int> count{0};                     // how many there are
  std::atomic<int> resting{0};                   // of them left out

  // The job. It changes only while the ticket holds no chunks, so whoever takes one from the ticket has read the right job.
  alignas(64) std::atomic<uint64_t> ticket{0};  // number of the job, the first chunk left, one past the last
  std::atomic<void (*)(void*, Index)> chunk{nullptr};
  std::atomic<void*> data{nullptr};
  alignas(64) std::atomic<uint32_t> done{0};  // chunks done by workers that have left the job
  std::atomic<bool> waiting{false};           // the owner sleeps until all are done

  alignas(64) std::mutex mutex;  // guards the sleep of all
  std::condition_variable wake, finished;
  std::atomic<int> asleep{0};  // workers that sleep and were not called yet
  uint64_t calls = 0;
  bool stopping = false;
};

// Never destroyed: threads may outlive the statics of a process that exits.
Pool& pool = *new Pool;
thread_local bool inside = false;  // within a chunk: nested splits run where they are

bool holdsChunks(uint64_t ticket) { return (ticket >> BITS & MASK) < (ticket & MASK); }

// Takes chunks of the present job as long as there are any. Gives how many it did; `began` is called before the first.
template <bool FRONT, class F>
uint32_t takeChunks(const F& began) {
  uint32_t taken = 0;
  uint64_t ticket = pool.ticket.load(std::memory_order_acquire);
  for (;;) {
    auto chunk = pool.chunk.load(std::memory_order_relaxed);
    void* data = pool.data.load(std::memory_order_relaxed);
    if (!holdsChunks(ticket)) return taken;
    if (taken == 0) began();
    uint64_t rest = FRONT ? ticket + (1 << BITS) : ticket - 1;
    if (!pool.ticket.compare_exchange_weak(ticket, rest, std::memory_order_acq_rel)) continue;
    taken++;
    inside = true;
    chunk(data, static_cast<Index>(FRONT ? ticket >> BITS & MASK : rest & MASK));
    inside = false;
    ticket = pool.ticket.load(std::memory_order_acquire);
  }
}

void work(Worker& self) {
  setSlice(0);
  uint64_t seen = 0;
  for (;;) {
    // A worker that is busy without a chunk in hand does no harm: it says so before it takes one.
    uint32_t taken = takeChunks<false>([&] { self.busy.store(true, std::memory_order_relaxed); });
    self.busy.store(false, std::memory_order_relaxed);
    if (taken > 0) {
      pool.done.fetch_add(taken);
      if (pool.waiting.load()) {
        std::lock_guard<std::mutex> lock(pool.mutex);
        pool.finished.notify_one();
      }
    }
    if (!self.resting.load(std::memory_order_relaxed)) {
      uint64_t before = pool.ticket.load(std::memory_order_relaxed), now = before;
      for (Clock::time_point end = Clock::now() + SPIN; now == before && Clock::now() < end;)
        for (int i = 0; i < 32 && now == before; i++) {
          RELAX();
          now = pool.ticket.load(std::memory_order_relaxed);
        }
      if (now != before) continue;
    }
    std::unique_lock<std::mutex> lock(pool.mutex);
    if (self.resting.load(std::memory_order_relaxed)) {
      pool.wake.wait_until(lock, self.until, [] { return pool.stopping; });
      self.resting.store(false, std::memory_order_relaxed);
      pool.resting.fetch_sub(1);
      if (pool.stopping) return;
      continue;
    }
    seen = pool.calls;
    pool.asleep.fetch_add(1);
    if (!holdsChunks(pool.ticket.load())) pool.wake.wait(lock, [&] { return pool.stopping || pool.calls != seen; });
    else pool.asleep.fetch_sub(1);
    if (pool.stopping) return;
  }
}

void callAll() {
  std::lock_guard<std::mutex> lock(pool.mutex);
  pool.asleep.store(0);
  pool.calls++;
  pool.wake.notify_all();
}

// Leaves out the workers that still hold a chunk.
void leaveOut(Clock::time_point now) {
  std::lock_guard<std::mutex> lock(pool.mutex);
  for (auto& worker : pool.workers) {
    if (worker->resting.load(std::memory_order_relaxed) || !worker->busy.load(std::memory_order_relaxed)) continue;
    bool again = now - worker->last < worker->rest + CALM;
    worker->rest = again ? std::min(worker->rest * 4, LONG) : REST;
    worker->last = now;
    worker->until = now + worker->rest;
    worker->resting.store(true, std::memory_order_relaxed);
    pool.resting.fetch_add(1);
  }
}

// Until the workers have done `count` chunks; the owner's own took `each` on average.
void awaitWorkers(uint32_t count, Clock::duration each) {
  auto finished = [&] { return pool.done.load(std::memory_order_acquire) == count; };
  for (int i = 0; i < 64; i++) {
    if (finished()) return;
    RELAX();
  }
  Clock::time_point began = Clock::now(), now = began, late = began + 3 * each + STALL;
  while (now < late) {
    for (int i = 0; i < 32; i++) {
      if (finished()) return;
      RELAX();
    }
    now = Clock::now();
  }
  leaveOut(now);
  // Asleep, the owner leaves its core to the worker that has none.
  std::unique_lock<std::mutex> lock(pool.mutex);
  pool.waiting.store(true);
  pool.finished.wait(lock, [&] { return pool.done.load() == count; });
  pool.waiting.store(false);
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
  if (static_cast<int>(pool.workers.size()) > threads - 1) {
    {
      std::lock_guard<std::mutex> lock(pool.mutex);
      pool.stopping = true;
    }
    pool.wake.notify_all();
    for (auto& worker : pool.workers) worker->thread.join();
    pool.workers.clear();
    pool.stopping = false;
    pool.asleep = 0;
    pool.resting = 0;
  }
  while (static_cast<int>(pool.workers.size()) < threads - 1) {
    pool.workers.emplace_back(new Worker);
    Worker& worker = *pool.workers.back();
    worker.thread = std::thread([&worker] { work(worker); });
  }
  pool.count = static_cast<int>(pool.workers.size());
}

int poolThreads() { return pool.count + 1; }

void parallelChunks(Index chunks, Index work, void (*chunk)(void*, Index), void* data) {
  // Within a chunk, or while another caller's job runs, the work is done here: the bits are the same. So it is where all
  // others rest, or sleep deeper than the work is worth.
  std::unique_lock<std::mutex> owner(pool.owner, std::defer_lock);
  int ready = pool.count.load(std::memory_order_relaxed) - pool.resting.load(std::memory_order_relaxed);
  if (work < SMALL) ready -= pool.asleep.load(std::memory_order_relaxed);
  if (inside || ready <= 0 || !owner.try_lock()) {
    for (Index i = 0; i < chunks; i++) chunk(data, i);
    return;
  }
  // So many chunks that a ticket cannot count them are taken several at a time.
  struct Several {
    void (*chunk)(void*, Index);
    void* data;
    Index chunks, each;
  } several = {chunk, data, chunks, divideUp(chunks, static_cast<Index>(MASK))};
  if (several.each > 1) {
    chunks = divideUp(chunks, several.each);
    data = &several;
    chunk = [](void* all, Index i) {
      const Several& s = *static_cast<Several*>(all);
      for (Index k = i * s.each; k < least(s.chunks, (i + 1) * s.each); k++) s.chunk(s.data, k);
    };
  }
  Clock::time_point began = Clock::now();
  uint64_t number = ((pool.ticket.load(std::memory_order_relaxed) >> 2 * BITS) + 1) << 2 * BITS;
  pool.ticket.store(number);
  pool.chunk.store(chunk, std::memory_order_relaxed);
  pool.data.store(data, std::memory_order_relaxed);
  pool.done.store(0, std::memory_order_relaxed);
  pool.ticket.store(number | static_cast<uint64_t>(chunks));
  if (pool.asleep.load() > 0 && work >= SMALL) callAll();
  uint32_t taken = takeChunks<true>([] {});
  awaitWorkers(static_cast<uint32_t>(chunks) - taken, (Clock::now() - began) / std::max<uint32_t>(1, taken));
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
