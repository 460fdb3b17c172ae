// The f32 and bf16 rows of upsample2x, for channels in multiples of 16.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

FOR_EACH_ISA(
    // A row of y, of 2w pixels, from two rows of x:  (1 - v) x + v neighbour,  then along the row.
    template <class X>
    void upsample_row(const X* x, const X* neighbour, float v, int64_t w, int64_t channels, X* y);
    // A row of dx, of w pixels, from `rows` successive rows of dy with the weights v.
    template <class X> void upsample_gather_row(
        const X* dy, const float* v, int64_t rows, int64_t w, int64_t channels, X* dx, bool accumulate);)

}  // namespace patchcl
