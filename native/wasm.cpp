// The WebAssembly module: the same kernels, in memory that several threads may share.
#include "wasm.hpp"

#include "tables.hpp"

using namespace chainrule;

extern "C" char __heap_base;
extern "C" __attribute__((import_module("env"), import_name("seconds"))) double importedSeconds();

namespace {

// Blocks come in sizes 2^k and 3 · 2^k; freed ones wait in the list of their size. A block's size is kept before it.
constexpr size_t HEADER = 64, PAGE = 65536;
constexpr int CLASSES = 64;
struct Free {
  Free* next;
};
Free* lists[CLASSES] = {};
char* top = nullptr;

int classOf(size_t bytes, size_t& size) {
  size = 64;
  for (int k = 0;; k += 2) {
    if (bytes <= size) return k;
    if (bytes <= size / 2 * 3) return size = size / 2 * 3, k + 1;
    size *= 2;
  }
}

int32_t busy = 0;  // lock of lists and top

void* take(size_t bytes) {
  if (bytes > 0xf0000000u) return nullptr;
  size_t size;
  int k = classOf(bytes, size);
  if (lists[k] != nullptr) {
    Free* block = lists[k];
    lists[k] = block->next;
    return block;
  }
  if (top == nullptr) top = reinterpret_cast<char*>((reinterpret_cast<size_t>(&__heap_base) + 63) / 64 * 64);
  size_t end = reinterpret_cast<size_t>(top) + HEADER + size;
  size_t have = __builtin_wasm_memory_size(0) * PAGE;
  if (end < size) return nullptr;
  if (end > have) {
    // Grown by a sixteenth more than asked, so that many small blocks do not mean many calls.
    size_t pages = (end - have + end / 16 + PAGE - 1) / PAGE, needed = (end - have + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX && __builtin_wasm_memory_grow(0, needed) == SIZE_MAX)
      return nullptr;
  }
  *reinterpret_cast<int*>(top) = k;
  char* block = top + HEADER;
  top = block + size;
  return block;
}

}  // namespace

namespace chainrule {

void* allocate(size_t bytes) {
  lock(busy);
  void* block = take(bytes);
  unlock(busy);
  return block;
}

void release(void* block) {
  if (block == nullptr) return;
  int k = *reinterpret_cast<int*>(static_cast<char*>(block) - HEADER);
  Free* list = static_cast<Free*>(block);
  lock(busy);
  list->next = lists[k];
  lists[k] = list;
  unlock(busy);
}

double clockSeconds() { return importedSeconds(); }

void execute(Run& run, double* seconds, int32_t calls) {
  Loaded& loaded = *run.loaded;
  lock(loaded.running);
  if (loaded.poison > 0) __builtin_memset(loaded.plan.arena, 0xff, loaded.poison);
  run.failure = runPlan(loaded.plan, table_wasm, run.slots(), {seconds, calls});
  unlock(loaded.running);
}

}  // namespace chainrule

EXPORT(alloc) void* exportedAlloc(size_t bytes) { return allocate(bytes); }
EXPORT(free) void exportedFree(void* block) { release(block); }

/// Takes over `words` and the arena, both from alloc. Gives null where the stream is malformed or memory is out.
EXPORT(load) Loaded* exportedLoad(int32_t* words, int32_t count, char* arena, int32_t slots, uint32_t poison) {
  if (!checkStream(words, count, slots, KERNELS)) return nullptr;
  Loaded* loaded = static_cast<Loaded*>(allocate(sizeof(Loaded)));
  if (loaded != nullptr) *loaded = {{words, count, arena, slots}, poison, 0};
  return loaded;
}
EXPORT(unload) void exportedUnload(Loaded* loaded) {
  release(const_cast<int32_t*>(loaded->plan.words));
  release(loaded->plan.arena);
  release(loaded);
}

/// A run of a plan, to be freed; null where memory is out.
EXPORT(newRun) Run* exportedNewRun(Loaded* loaded) {
  Run* run = static_cast<Run*>(allocate(sizeof(Run) + sizeof(char*) * static_cast<size_t>(loaded->plan.slots)));
  if (run != nullptr) *run = {loaded, Failure(), nullptr};
  return run;
}
/// Where the addresses of the external slots are written before a run.
EXPORT(slots) char** exportedSlots(Run* run) { return run->slots(); }
/// Three words: the number of the call that failed or -1, the value it met, its limit.
EXPORT(failure) const Failure* exportedFailure(const Run* run) { return &run->failure; }
/// The time of each of the first `calls` kernel calls is added to `seconds`.
EXPORT(run) void exportedRun(Run* run, double* seconds, int32_t calls) { execute(*run, seconds, calls); }

EXPORT(kernelName) const char* exportedKernelName(int i) { return i < KERNELS ? kernelNames[i] : nullptr; }
EXPORT(loopOpName) const char* exportedLoopOpName(int i) { return i < LOOP_OP_COUNT ? loopOpNames[i] : nullptr; }
