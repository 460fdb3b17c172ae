// Convolution of any size, stride, padding and dilation, f32 and f64: im2col of a few rows at a time, then
// one matrix product. The column matrix has a row per output pixel and a column per (tap, channel), the order
// of the packed weight.
#pragma once
#include "autograd/ops/conv2d_sources_kernels.h"

namespace patchcl::general {

size_t workspace(const Conv2dSizes& s, size_t element);  // bytes, enough for each of the passes
template <class T>
void forward(const Conv2dSizes& s, ConvSources<const T> x, const T* w, const T* b, T* y, T* scratch);
template <class T>
void backward_data(const Conv2dSizes& s, const T* dy, const T* w, ConvSources<T> dx, T* scratch);
template <class T> void backward_weight(
    const Conv2dSizes& s, ConvSources<const T> x, const T* dy, const GradOut& dw, T* scratch);

}  // namespace patchcl::general
