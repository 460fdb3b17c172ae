// The f32 rows of max_pool2d: n windows in a row, channels in multiples of 16.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

FOR_EACH_ISA(void pool_row(
    const float* top, const float* bottom, int64_t n, int64_t channels, float* y, uint8_t* choice);
             // Row `side` (0 upper, 1 lower) of the windows.
             void unpool_row(const float* dy, const uint8_t* choice, int side, int64_t n, int64_t channels,
                 float* dx, bool accumulate);)

}  // namespace patchcl
