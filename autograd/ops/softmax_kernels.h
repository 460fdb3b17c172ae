// The f32 softmax of rows of few classes, with a vectorised e^x (tensor/simd_math.h), for each instruction
// set.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

constexpr int64_t kBlockRows =
    16;  // the kernels take a multiple of so many rows, whatever their registers hold
inline bool fast_classes(int64_t classes) { return classes >= 2 && classes <= 4; }

FOR_EACH_ISA(void softmax_rows(const float* x, float* y, int64_t rows, int64_t classes);)

}  // namespace patchcl
