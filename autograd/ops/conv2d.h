// 2-D convolution (cross-correlation) of NHWC images, with stride s, zero padding p and dilation d:
//
//   y[n,i,j,o] = b[o] + sum_{u,v,c} x[n, i*s - p + u*d, j*s - p + v*d, c] * w[u,v,c,o]
//   x is 0 outside the image
//
// Inputs: one or more data tensors (N,H,W,Ci), read as if concatenated along channels (the UNet's skip
// connection without a copy); the weight (KH,KW,Cin,Cout) with Cin = sum of the Ci; optionally the bias
// (Cout). Output: (N, (H + 2p - d(KH-1) - 1)/s + 1, likewise W, Cout).
// Backward, by the chain rule, each a sum over the same triples (y element, x element, tap):
//   dx[n,i*s-p+u*d, j*s-p+v*d, c] += sum_o dy[n,i,j,o] w[u,v,c,o]
//   dw[u,v,c,o] = sum_{n,i,j} x[n, i*s-p+u*d, j*s-p+v*d, c] dy[n,i,j,o],   db[o] = sum_{n,i,j} dy[n,i,j,o]
// Data in f32, f64, or bf16 with weight and bias in f32.
// CPU kernels (tensor/device.h). naive: the loops above, sums in double. Otherwise f32 and bf16 with channels
// in multiples of 16 go to conv2d_winograd_kernels.h or, where its rounding is not wanted or does not pay, to
// conv2d_direct_kernels.h; 1x1 to conv2d_matrix_kernels.h; all else through im2col and gemm. CUDA: f32 and
// bf16 through cuDNN with algorithms that repeat bit by bit; else im2col and cuBLAS.
#pragma once
#include <vector>

#include "autograd/ops/conv2d_kernels.h"
#include "autograd/tape.h"

namespace patchcl {

struct Conv2dOptions {
  int64_t stride = 1, padding = 0, dilation = 1;
};

class Conv2d final : public Op {
 public:
  // `data_inputs` (at most 4) tensors that stand for one input, then the weight, then the bias if `bias`.
  Conv2d(int data_inputs, bool bias, Conv2dOptions options)
      : data_inputs_(data_inputs), bias_(bias), options_(options) {}
  const char* name() const override { return "conv2d"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = (2u << data_inputs_) - 1, .output = false}; }
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;
  bool takes_bf16(size_t i) const override { return int(i) < data_inputs_; }
  // Forward with another end than `+ bias`, for conv2d_norm_act.h. False, and nothing done, where these
  // shapes' kernel on the CPU has no such end.
  bool forward_scaled(const Forward& f, const ConvEnd& end) const;

 protected:
  OP_CPU OP_CUDA

      private : Conv2dSizes
                sizes(const Shapes& x) const;
  CUDA_ONLY(size_t workspace_cuda(const Shapes& x, DType dtype) const;)
  bool in_blocks(const Shapes& x) const;  // every data input has a multiple of 16 channels
  int data_inputs_;
  bool bias_;
  Conv2dOptions options_;
};

Var conv2d(const std::vector<Var>& x, const Var& w, const Var& b, Conv2dOptions options = {},
    Loc loc = Loc::current());

}  // namespace patchcl
