// Runs of n numbers between bf16 and f32, for kernels that compute on pieces of a map in f32.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

FOR_EACH_ISA(void widen(const bf16* from, int64_t n, float* to);
             // Rounded to nearest; with `accumulate` to += from, rounded once.
             void narrow(const float* from, int64_t n, bf16* to, bool accumulate);)

}  // namespace patchcl
