// The list of kernels: every variant defines all of them, in its own namespace.
#pragma once
#include "base.hpp"

namespace chainrule {
namespace VARIANT {
#define KERNEL(name) void name(const Call& c);
#include "kernels.def"
#undef KERNEL
}  // namespace VARIANT
}  // namespace chainrule
