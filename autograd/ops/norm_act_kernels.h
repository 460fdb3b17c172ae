// What the kernels of norm_act share (norm_act.h has the formulas).
//
// The CPU kernels for f32 and bf16 are for channels in multiples of 16; each covers the rows (pixels) [begin,
// end). A strip of a few vectors of channels keeps its constants in registers while the rows stream by. Sums
// run in f32 lanes over at most 256 rows, then continue in double: wide enough, and no slower than memory.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

// What all passes read, and the formulas for element e of channel c.
template <class X, class T = Precise<X>> struct NormMap {  // data X, parameters, statistics and arithmetic T
  const X* x;
  const T *gamma, *beta, *mean, *rstd;
  const int64_t* mask;  // of dropout.h; null without dropout
  T slope, scale;       // of the activation; of what dropout keeps
  int64_t rows, channels;

  HD T xhat(int64_t e, int64_t c) const { return (T(x[e]) - mean[c]) * rstd[c]; }
  HD T z(int64_t e, int64_t c) const { return gamma[c] * xhat(e, c) + beta[c]; }
  HD T k(int64_t e) const {
    if (!mask) return T(1);
    return mask[e / 64] >> (e % 64) & 1 ? scale : T(0);
  }
  // EQ: 4.3 batch norm, leaky ReLU, dropout
  HD T y(int64_t e, int64_t c) const { return k(e) * (z(e, c) > T(0) ? z(e, c) : slope * z(e, c)); }
  HD T dz(int64_t e, int64_t c, T dy) const { return dy * k(e) * (z(e, c) > T(0) ? T(1) : slope); }
  HD T dx(int64_t e, int64_t c, T dy, T mean_dz, T mean_dz_xhat) const {
    return gamma[c] * rstd[c] * (dz(e, c, dy) - mean_dz - xhat(e, c) * mean_dz_xhat);
  }
};

FOR_EACH_ISA(
    // Per channel: mean and sum of squared deviations from it.
    template <class X> void norm_moments(
        const X* x, int64_t channels, int64_t begin, int64_t end, double* mean, double* deviations);
    template <class X> void norm_act_forward(const NormMap<X>& map, int64_t begin, int64_t end, X* y);
    // Per channel: sum of dz and of dz xhat.
    template <class X> void norm_act_sums(
        const NormMap<X>& map, const X* dy, int64_t begin, int64_t end, double* dz, double* dz_xhat);
    // dx = gamma rstd (dz - mean_dz - xhat mean_dz_xhat)
    template <class X> void norm_act_backward(const NormMap<X>& map, const X* dy, const float* mean_dz,
        const float* mean_dz_xhat, int64_t begin, int64_t end, X* dx, bool accumulate);)

}  // namespace patchcl
