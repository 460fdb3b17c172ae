// What the specs of conv2d_norm_act and conv2d_int8 share.
#pragma once
#include <vector>

#include "tensor/shape.h"

namespace patchcl {

constexpr double kSpecEps = 1e-3, kSpecSlope = 0.2;

// Inputs of conv2d_norm_act.h, flat: 3x3, padding 1; x of `first` channels, and with `second` another data
// input. Scattered from x to y, the other way round than the kernels gather.
std::vector<double> conv_norm_act_reference(
    const Shape& x, int64_t first, int64_t second, int64_t cout, const std::vector<std::vector<double>>& in);

}  // namespace patchcl
