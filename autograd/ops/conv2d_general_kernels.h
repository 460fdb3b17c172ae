// Convolution of any size, stride, padding and dilation: im2col of a few rows at a time, then one matrix
// product. The column matrix has a row per output pixel and a column per (tap, channel), the order of the
// packed weight. Maps X of f32 and f64, or of bf16 by way of copies in f32: that is for odd numbers of
// channels, which no network of ours has but at its ends.
#pragma once
#include "autograd/ops/conv2d_sources_kernels.h"
#include "tensor/bfloat16.h"

namespace patchcl::general {

size_t workspace(const Conv2dSizes& s, DType dtype);  // bytes, enough for each of the passes
template <class X> void forward(const Conv2dSizes& s, ConvSources<const X> x, const Precise<X>* w,
    const Precise<X>* b, X* y, Precise<X>* scratch);
template <class X> void backward_data(
    const Conv2dSizes& s, const X* dy, const Precise<X>* w, ConvSources<X> dx, Precise<X>* scratch);
template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, const GradOut& dw, Precise<X>* scratch);

}  // namespace patchcl::general
