// The WebAssembly module: the same kernels on one thread, memory of its own. The one import is the clock of a profile.
#include "runtime.hpp"
#include "tables.hpp"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

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

void* allocate(size_t bytes) {
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

void release(void* block) {
  if (block == nullptr) return;
  int k = *reinterpret_cast<int*>(static_cast<char*>(block) - HEADER);
  Free* list = static_cast<Free*>(block);
  list->next = lists[k];
  lists[k] = list;
}

void* blocks[SLOTS] = {};
size_t sizes[SLOTS] = {};
Failure last;

struct Loaded {
  Plan plan;
  char** slots;
};

}  // namespace

namespace chainrule {

void parallelChunks(Index chunks, Index, void (*chunk)(void*, Index), void* data) {
  for (Index i = 0; i < chunks; i++) chunk(data, i);
}

double clockSeconds() { return importedSeconds(); }

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

EXPORT(alloc) void* exportedAlloc(size_t bytes) { return allocate(bytes); }
EXPORT(free) void exportedFree(void* block) { release(block); }

/// Takes over `words` and the arena, both from alloc. Gives null where the stream is malformed or memory is out.
EXPORT(load) Loaded* exportedLoad(int32_t* words, int32_t count, char* arena, int32_t slots) {
  if (!checkStream(words, count, slots, KERNELS)) return nullptr;
  Loaded* loaded = static_cast<Loaded*>(allocate(sizeof(Loaded)));
  char** list = static_cast<char**>(allocate(sizeof(char*) * static_cast<size_t>(slots + 1)));
  if (loaded == nullptr || list == nullptr) return nullptr;
  *loaded = {{words, count, arena, slots}, list};
  return loaded;
}
/// Where the addresses of the external slots are written before a run.
EXPORT(slots) char** exportedSlots(Loaded* loaded) { return loaded->slots; }
EXPORT(unload) void exportedUnload(Loaded* loaded) {
  release(const_cast<int32_t*>(loaded->plan.words));
  release(loaded->plan.arena);
  release(loaded->slots);
  release(loaded);
}
/// Gives the number of the call that failed, or -1; the failure's three words are at `failure`. The time of each of the
/// first `calls` kernel calls is added to `seconds`.
EXPORT(run) int32_t exportedRun(Loaded* loaded, double* seconds, int32_t calls) {
  last = runPlan(loaded->plan, table_wasm, loaded->slots, {seconds, calls});
  return last.call;
}
EXPORT(failure) const Failure* exportedFailure() { return &last; }

EXPORT(kernelName) const char* exportedKernelName(int i) { return i < KERNELS ? kernelNames[i] : nullptr; }
EXPORT(loopOpName) const char* exportedLoopOpName(int i) { return i < LOOP_OP_COUNT ? loopOpNames[i] : nullptr; }
