// The f32 and bf16 rows of max_pool2d: n windows in a row, channels in multiples of 16.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

FOR_EACH_ISA(template <class X>
             void pool_row(const X* top, const X* bottom, int64_t n, int64_t channels, X* y, uint8_t* choice);
             // Row `side` (0 upper, 1 lower) of the windows.
             template <class X> void unpool_row(const X* dy, const uint8_t* choice, int side, int64_t n,
                 int64_t channels, X* dx, bool accumulate);)

}  // namespace patchcl
