#include "tensor/widen.h"

namespace patchcl::PATCHCL_ISA {

void widen(const bf16* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

void narrow(const float* from, int64_t n, bf16* to, bool accumulate) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store(to + i, accumulate ? load(from + i) + load(to + i) : load(from + i));
  for (; i < n; ++i) to[i] = accumulate ? from[i] + float(to[i]) : from[i];
}

}  // namespace patchcl::PATCHCL_ISA
