// The persistent threads of the native runtime.
#pragma once
#include "base.hpp"

namespace chainrule {

/// Makes the pool `threads` strong, the caller's own thread counted.
void resizePool(int threads);
int poolThreads();

}  // namespace chainrule
