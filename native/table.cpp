// The kernels of one variant as a table: an opcode is an index.
#include "kernels.hpp"
#include "tables.hpp"

#define TABLE_NAME2(variant) table_##variant
#define TABLE_NAME(variant) TABLE_NAME2(variant)

namespace chainrule {
const Kernel TABLE_NAME(VARIANT)[] = {
#define KERNEL(name) VARIANT::name,
#include "kernels.def"
#undef KERNEL
};
}  // namespace chainrule
