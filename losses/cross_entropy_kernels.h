// The f32 cross-entropy of few classes, with vectorised e^x and ln x (tensor/simd_math.h), for each
// instruction set. Formulas in cross_entropy.h. `pixels` is a multiple of kBlockRows
// (autograd/ops/softmax_kernels.h).
#pragma once
#include "tensor/simd.h"

namespace patchcl {

// What weighs each pixel, and by what a pixel of the last class is multiplied.
struct PixelWeights {
  const float* of_pixel;  // null: all 1
  float on_last;
};

// Writes lse, returns sum_p w_p (lse_p - z_p,label(p)).
FOR_EACH_ISA(double cross_entropy_forward(
    const float* z, const uint8_t* label, PixelWeights weight, int64_t pixels, int64_t classes, float* lse);)
// dz = g w_p (e^(z_pk - lse_p) - [k = label(p)]), or dz += that.
FOR_EACH_ISA(void cross_entropy_backward(const float* z, const uint8_t* label, PixelWeights weight,
    int64_t pixels, int64_t classes, const float* lse, float g, float* dz, bool accumulate);)

}  // namespace patchcl
