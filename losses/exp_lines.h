// Sums and multiples of e^s along a line of numbers: f32 by tensor/simd_math.h for each instruction set, f64
// by std::exp.
#pragma once
#include <cmath>

#include "losses/exp_lines_kernels.h"
#include "tensor/device.h"

namespace patchcl {

// sum_k e^(s_k - top), every s_k <= top.
inline double exp_sum(int64_t n, const float* s, float top) { return ISA_PICK(exp_sum)(n, s, top); }
inline double exp_sum(int64_t n, const double* s, double top) {
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += std::exp(s[k] - top);
  return sum;
}

// h_k += sign w_k e^(s_k - shift_k), every s_k <= shift_k.
inline void add_exp(int64_t n, const float* s, const ExpOperand<float>& shift, const ExpOperand<float>& w,
    float sign, float* h) {
  ISA_PICK(add_exp)(n, s, shift, w, sign, h);
}
inline void add_exp(int64_t n, const double* s, const ExpOperand<double>& shift, const ExpOperand<double>& w,
    double sign, double* h) {
  for (int64_t k = 0; k < n; ++k) h[k] += sign * w[k] * std::exp(s[k] - shift[k]);
}

}  // namespace patchcl
