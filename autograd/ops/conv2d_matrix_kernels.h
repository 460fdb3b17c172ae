// The 1x1 convolution of stride 1: a matrix product of pixels and weight (tensor/gemm.h), of some pixels at a
// time. Of bf16 maps the weight is rounded to bf16 too, so that neighbouring channels are the pairs that the
// processor multiplies; for dw pieces of the maps are widened to f32.
#pragma once
#include "autograd/ops/conv2d_kernels.h"
#include "tensor/bf16.h"

namespace patchcl::matrix {

// True where the kernels can run: vectors are of the output channels of the pass. `blocks` says that the
// channels of every data input are a multiple of 16; bf16 wants that of either side.
template <class X> bool can_forward(const Conv2dSizes& s, bool blocks);
template <class X> bool can_backward_data(const Conv2dSizes& s, bool blocks);

size_t workspace(const Conv2dSizes& s);  // bytes, enough for each of the passes
// `end` without a scale.
template <class X> void forward(
    const Conv2dSizes& s, ConvSources<const X> x, const float* w, const ConvEnd& end, X* y, float* workspace);
template <class X>
void backward_data(const Conv2dSizes& s, const X* dy, const float* w, ConvSources<X> dx, float* workspace);
// Where can_forward() is true.
template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace);

}  // namespace patchcl::matrix
