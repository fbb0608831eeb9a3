// The Node-API binding: memory, plans, and the choice of the kernel variant. No policy lives here.
#include <node_api.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "pool.hpp"
#include "runtime.hpp"
#include "slice.hpp"
#include "tables.hpp"

using namespace chainrule;

namespace {

struct Variant {
  const char* name;
  const Kernel* table;
  bool supported;
};

std::vector<Variant> variants() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return {{"avx512", table_avx512, avx512}, {"avx2", table_avx2, avx2}, {"baseline", table_baseline, true}};
#else
  return {{"baseline", table_baseline, true}};
#endif
}

Variant chosen = {};

struct Loaded {
  std::vector<int32_t> words;
  Plan plan = {};
  size_t arenaBytes = 0;
  bool poison = false;
  std::mutex running;  // one run at a time: they share the arena
  ~Loaded() { std::free(plan.arena); }
};
typedef std::shared_ptr<Loaded> Handle;

Failure execute(Loaded& loaded, char* const* slots, Profile profile = Profile()) {
  std::lock_guard<std::mutex> lock(loaded.running);
  if (loaded.poison) std::memset(loaded.plan.arena, 0xff, loaded.arenaBytes);
  return runPlan(loaded.plan, chosen.table, slots, profile);
}

/// Several runs of one plan. After each one slot i is given the address that slot from[i] had, moved on by advance[i] bytes.
struct Turns {
  Index count = 0;
  Index last = -1;  // slot of a bool: a turn that leaves 0 there is the last
  std::vector<Index> from, advance;
};

// Gives the turns that were done. A failure after the first turn is left for a next call, where it comes first.
Index repeat(Loaded& loaded, std::vector<char*>& slots, const Turns& turns, Failure& failure) {
  for (Index done = 0; done < turns.count; done++) {
    failure = execute(loaded, slots.data());
    if (failure.call >= 0) {
      if (done > 0) failure = Failure();
      return done;
    }
    if (turns.last >= 0 && *slots[static_cast<size_t>(turns.last)] == 0) return done + 1;
    std::vector<char*> before = slots;
    for (size_t i = 0; i < slots.size(); i++) slots[i] = before[static_cast<size_t>(turns.from[i])] + turns.advance[i];
  }
  return turns.count;
}

void* aligned(size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64); }

// --- values ---

napi_value fail(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}
struct Arguments {
  napi_value at[4];
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = 4;
    napi_get_cb_info(env, info, &count, at, nullptr, nullptr);
  }
};
double number(napi_env env, napi_value value) {
  double x = 0;
  napi_get_value_double(env, value, &x);
  return x;
}
char* address(napi_env env, napi_value value) {
  return reinterpret_cast<char*>(static_cast<uintptr_t>(number(env, value)));
}
napi_value numberValue(napi_env env, double x) {
  napi_value value;
  napi_create_double(env, x, &value);
  return value;
}
napi_value text(napi_env env, const char* s) {
  napi_value value;
  napi_create_string_utf8(env, s, NAPI_AUTO_LENGTH, &value);
  return value;
}
napi_value texts(napi_env env, const char* const* list, int count) {
  napi_value array;
  napi_create_array(env, &array);
  for (int i = 0; i < count; i++) napi_set_element(env, array, static_cast<uint32_t>(i), text(env, list[i]));
  return array;
}
struct Bytes {
  char* data = nullptr;
  size_t size = 0;
};
Bytes bytesOf(napi_env env, napi_value value) {
  static const size_t sizes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return {};
  return {static_cast<char*>(data), length * sizes[type]};
}
// undefined where all went well, else [call, value, limit].
napi_value outcome(napi_env env, const Failure& failure) {
  napi_value value;
  if (failure.call < 0) {
    napi_get_undefined(env, &value);
    return value;
  }
  napi_create_array(env, &value);
  const int32_t parts[] = {failure.call, failure.value, failure.limit};
  for (uint32_t i = 0; i < 3; i++) napi_set_element(env, value, i, numberValue(env, parts[i]));
  return value;
}

// --- memory ---

// Where a typed array lies. JavaScript owns the memory, so its garbage collector gives it back, in loops that never yield too.
napi_value addressOf(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  return numberValue(env, static_cast<double>(reinterpret_cast<uintptr_t>(bytesOf(env, args.at[0]).data)));
}
napi_value fillBytes(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  std::memset(address(env, args.at[0]), static_cast<int>(number(env, args.at[2])),
              static_cast<size_t>(number(env, args.at[1])));
  return nullptr;
}
napi_value write(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Bytes bytes = bytesOf(env, args.at[1]);
  if (bytes.size > 0) std::memcpy(address(env, args.at[0]), bytes.data, bytes.size);
  return nullptr;
}
napi_value read(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Bytes bytes = bytesOf(env, args.at[1]);
  if (bytes.size > 0) std::memcpy(bytes.data, address(env, args.at[0]), bytes.size);
  return nullptr;
}

// --- plans ---

Handle* handleOf(napi_env env, napi_value value) {
  void* data = nullptr;
  napi_get_value_external(env, value, &data);
  return static_cast<Handle*>(data);
}
void finalizeHandle(napi_env, void* data, void*) { delete static_cast<Handle*>(data); }

napi_value load(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Bytes words = bytesOf(env, args.at[0]);
  Index slots = static_cast<Index>(number(env, args.at[2]));
  Handle loaded = std::make_shared<Loaded>();
  loaded->words.resize(words.size / 4);
  if (words.size > 0) std::memcpy(loaded->words.data(), words.data, words.size);
  Index count = static_cast<Index>(loaded->words.size());
  if (!checkStream(loaded->words.data(), count, slots, KERNELS)) return fail(env, "the stream is malformed");
  loaded->arenaBytes = static_cast<size_t>(number(env, args.at[1]));
  char* arena = static_cast<char*>(aligned(loaded->arenaBytes));
  if (arena == nullptr) return fail(env, "out of memory for the arena");
  loaded->plan = {loaded->words.data(), count, arena, slots};
  loaded->poison = number(env, args.at[3]) != 0;
  napi_value value;
  napi_create_external(env, new Handle(loaded), finalizeHandle, nullptr, &value);
  return value;
}

// Gives the arena back at once; a run still under way keeps it until it ends.
napi_value unload(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Handle* handle = handleOf(env, args.at[0]);
  if (handle != nullptr) handle->reset();
  return nullptr;
}

bool runnable(napi_env env, const Arguments& args, Handle* handle, Bytes& slots) {
  slots = bytesOf(env, args.at[1]);
  if (handle == nullptr || *handle == nullptr) return fail(env, "the plan was disposed"), false;
  if (static_cast<Index>(slots.size / 8) < (*handle)->plan.slots) return fail(env, "too few slots were given"), false;
  return true;
}
std::vector<char*> addresses(const Bytes& slots) {
  std::vector<char*> list(slots.size / 8);
  const double* numbers = reinterpret_cast<const double*>(slots.data);
  for (size_t i = 0; i < list.size(); i++) list[i] = reinterpret_cast<char*>(static_cast<uintptr_t>(numbers[i]));
  return list;
}

/// run(plan, slots, seconds?): with a Float64Array the time of each kernel call is added to it.
napi_value run(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Handle* handle = handleOf(env, args.at[0]);
  Bytes slots;
  if (!runnable(env, args, handle, slots)) return nullptr;
  Bytes seconds = bytesOf(env, args.at[2]);
  Profile profile = {reinterpret_cast<double*>(seconds.data), static_cast<Index>(seconds.size / sizeof(double))};
  return outcome(env, execute(**handle, addresses(slots).data(), profile));
}

// Turns as JavaScript writes them: count, last, from…, advance…
bool turnsOf(napi_env env, napi_value value, size_t slots, Turns& turns) {
  Bytes words = bytesOf(env, value);
  const double* numbers = reinterpret_cast<const double*>(words.data);
  if (words.size != (2 + 2 * slots) * sizeof(double)) return fail(env, "turns need two numbers a slot"), false;
  auto slot = [&](double x) { return x >= 0 && x < static_cast<double>(slots); };
  turns.count = static_cast<Index>(numbers[0]);
  turns.last = static_cast<Index>(numbers[1]);
  bool known = turns.last < 0 || slot(numbers[1]);
  for (size_t i = 0; i < slots; i++) {
    known = known && slot(numbers[2 + i]);
    turns.from.push_back(static_cast<Index>(numbers[2 + i]));
    turns.advance.push_back(static_cast<Index>(numbers[2 + slots + i]));
  }
  return known || (fail(env, "turns name a slot that does not exist"), false);
}

napi_value repeat(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Handle* handle = handleOf(env, args.at[0]);
  Bytes slots;
  Turns turns;
  if (!runnable(env, args, handle, slots) || !turnsOf(env, args.at[2], slots.size / 8, turns)) return nullptr;
  std::vector<char*> list = addresses(slots);
  Failure failure;
  Index done = repeat(**handle, list, turns, failure);
  return failure.call < 0 ? numberValue(env, static_cast<double>(done)) : outcome(env, failure);
}

struct Task {
  Handle loaded;
  std::vector<char*> slots;
  Turns turns;
  Index done;
  Failure failure;
  napi_deferred deferred;
  napi_async_work work;
};

// A promise: of undefined or a failure; with turns as third argument of the number done or a failure.
napi_value runAsync(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Handle* handle = handleOf(env, args.at[0]);
  Bytes slots;
  Turns turns;
  if (!runnable(env, args, handle, slots)) return nullptr;
  if (bytesOf(env, args.at[2]).data != nullptr && !turnsOf(env, args.at[2], slots.size / 8, turns)) return nullptr;
  // Who waits for turns of the event loop waits for this thread: it gets its core soon, those that compute keep theirs.
  static thread_local bool soon = (setSlice(100'000), true);
  (void)soon;
  Task* task = new Task{*handle, addresses(slots), turns, 0, Failure(), nullptr, nullptr};
  napi_value promise;
  napi_create_promise(env, &task->deferred, &promise);
  napi_create_async_work(
      env, nullptr, text(env, "chainrule"),
      [](napi_env, void* data) {
        static thread_local bool usual = (setSlice(0), true);
        (void)usual;
        Task* self = static_cast<Task*>(data);
        if (self->turns.count == 0) self->failure = execute(*self->loaded, self->slots.data());
        else self->done = repeat(*self->loaded, self->slots, self->turns, self->failure);
      },
      [](napi_env inner, napi_status, void* data) {
        Task* self = static_cast<Task*>(data);
        bool counted = self->failure.call < 0 && self->turns.count > 0;
        napi_resolve_deferred(inner, self->deferred,
                              counted ? numberValue(inner, static_cast<double>(self->done)) : outcome(inner, self->failure));
        napi_delete_async_work(inner, self->work);
        delete self;
      },
      task, &task->work);
  napi_queue_async_work(env, task->work);
  return promise;
}

// --- choice ---

/// setVariant(name): "" picks the best. Returns the name chosen; undefined where this machine cannot run it.
napi_value setVariant(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  char name[32] = "";
  napi_get_value_string_utf8(env, args.at[0], name, sizeof name, nullptr);
  for (const Variant& variant : variants()) {
    if (!variant.supported || (name[0] != 0 && std::strcmp(name, variant.name) != 0)) continue;
    chosen = variant;
    return text(env, variant.name);
  }
  return nullptr;
}
napi_value setThreads(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  resizePool(static_cast<int>(number(env, args.at[0])));
  return numberValue(env, poolThreads());
}

}  // namespace

NAPI_MODULE_INIT() {
  chosen = variants().back();
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"address", addressOf},       {"fill", fillBytes},
                   {"write", write},   {"read", read},          {"load", load},
                   {"unload", unload}, {"run", run},            {"runAsync", runAsync}, {"repeat", repeat},
                   {"setVariant", setVariant}, {"setThreads", setThreads}};
  for (const auto& f : functions) {
    napi_value value;
    napi_create_function(env, f.name, NAPI_AUTO_LENGTH, f.function, nullptr, &value);
    napi_set_named_property(env, exports, f.name, value);
  }
  napi_set_named_property(env, exports, "kernels", texts(env, kernelNames, KERNELS));
  napi_set_named_property(env, exports, "loopOps", texts(env, loopOpNames, LOOP_OP_COUNT));
#if defined(__clang__)
  napi_set_named_property(env, exports, "compiler", text(env, "clang " __clang_version__));
#else
  napi_set_named_property(env, exports, "compiler", text(env, "g++ " __VERSION__));
#endif
  return exports;
}
