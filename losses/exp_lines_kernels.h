// exp_lines.h in f32, for each instruction set.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

// A number for each k (step 1), or the same for all (0).
template <class T> struct ExpOperand {
  const T* at;
  int64_t step;
  T operator[](int64_t k) const { return at[k * step]; }
};

FOR_EACH_ISA(double exp_sum(int64_t n, const float* s, float top);)
FOR_EACH_ISA(void add_exp(int64_t n, const float* s, const ExpOperand<float>& shift,
    const ExpOperand<float>& w, float sign, float* h);)

}  // namespace patchcl
