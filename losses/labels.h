// What the losses over labelled pixels share: predictions (N,..,K), labels u8 (N,..), optional weights
// (N,..).
#pragma once
#include "autograd/op.h"

namespace patchcl {

// Throws Error("[name] ...") unless `per_pixel` is the shape of `predictions` without its last axis.
void check_per_pixel(const char* name, const char* what, const Shape& per_pixel, const Shape& predictions);
// Likewise unless x = {predictions, labels} or {predictions, labels, weight} with fitting shapes.
void check_labelled_shapes(const char* name, const Shapes& x);

// Throws Error(data) when a label is not in {0..classes-1}, naming the first such label, its image and pixel.
// CPU only: on the GPU, where nothing may wait, a bad label makes the loss NaN and the anomaly pass names it.
void check_labels(const char* name, const Tensor& labels, int64_t classes);

}  // namespace patchcl
