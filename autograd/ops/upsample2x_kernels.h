// The f32 rows of upsample2x, for channels in multiples of 16.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

FOR_EACH_ISA(
    // A row of y, of 2w pixels, from two rows of x:  (1 - v) x + v neighbour,  then along the row.
    void upsample_row(const float* x, const float* neighbour, float v, int64_t w, int64_t channels, float* y);
    // A row of dx, of w pixels, from `rows` successive rows of dy with the weights v.
    void upsample_gather_row(const float* dy, const float* v, int64_t rows, int64_t w, int64_t channels,
        float* dx, bool accumulate);)

}  // namespace patchcl
