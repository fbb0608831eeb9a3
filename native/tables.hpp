// Names and tables of all variants, for the runtime.
#pragma once
#include "base.hpp"

namespace chainrule {

extern const Kernel table_avx512[], table_avx2[], table_baseline[], table_wasm[];

const char* const kernelNames[] = {
#define KERNEL(name) #name,
#include "kernels.def"
#undef KERNEL
};
constexpr int KERNELS = sizeof(kernelNames) / sizeof(kernelNames[0]);

const char* const loopOpNames[] = {
#define OP(name, cost) #name,
#include "loop-ops.def"
#undef OP
};
constexpr int LOOP_OP_COUNT = sizeof(loopOpNames) / sizeof(loopOpNames[0]);

}  // namespace chainrule
