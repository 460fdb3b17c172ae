// The f32 kernels of norm_act, for channels in multiples of 16. Each covers the rows (pixels) [begin, end).
//
// A strip of a few vectors of channels keeps its constants in registers while the rows stream by. Sums run in f32 lanes
// over at most 256 rows, then continue in double: wide enough, and no slower than memory.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

// What all passes read (norm_act.h); element e belongs to channel e % channels.
template <class T> struct NormMap {
  const T *x, *gamma, *beta, *mean, *rstd;
  const int64_t* mask;  // null without dropout
  T slope, scale;       // of the activation; of what dropout keeps
  int64_t rows, channels;
};

FOR_EACH_ISA(
  // Per channel: mean and sum of squared deviations from it.
  void norm_moments(const float* x, int64_t channels, int64_t begin, int64_t end, double* mean, double* deviations);
  void norm_act_forward(const NormMap<float>& map, int64_t begin, int64_t end, float* y);
  // Per channel: sum of dz and of dz xhat.
  void norm_act_sums(const NormMap<float>& map, const float* dy, int64_t begin, int64_t end, double* dz, double* dz_xhat);
  // dx = gamma rstd (dz - mean_dz - xhat mean_dz_xhat)
  void norm_act_backward(const NormMap<float>& map, const float* dy, const float* mean_dz, const float* mean_dz_xhat,
                         int64_t begin, int64_t end, float* dx, bool accumulate);)

}  // namespace patchcl
