// Convolution, batch norm with running statistics and leaky ReLU in one, for inference:
//
//   y = a(gamma (conv(x) - m) / sqrt(v + eps) + beta),   a(z) = z if z > 0 else slope z
// Per output channel this is y = a(scale s + shift) of the convolution's sum s without its bias b, with
//   scale = gamma / sqrt(v + eps),   shift = (b - m) scale + beta
// so that the convolution's kernel can finish its sums while they are in registers: one pass over memory
// less. Inputs: the data tensors, weight and bias of conv2d.h, then gamma, beta, running mean and variance
// (Cout). No gradient: training normalises with the batch's statistics, which exist only after all sums do
// (norm_act.h). CPU kernels: where conv2d has no kernel with such an end, and on the GPU, conv2d and norm_act
// one after the other.
#pragma once
#include <cmath>

#include "autograd/ops/conv2d.h"
#include "autograd/ops/norm_act.h"

namespace patchcl {

// Scale and shift of one channel.
struct FoldedNorm {
  double scale, shift;
};
HD inline FoldedNorm fold_norm(
    double bias, double gamma, double beta, double mean, double variance, double eps) {
  const double scale = gamma / std::sqrt(variance + eps);
  return {scale, (bias - mean) * scale + beta};
}

class Conv2dNormAct final : public Op {
 public:
  Conv2dNormAct(int data_inputs, const Conv2dOptions& options, double eps, double slope)
      : conv_inputs_(size_t(data_inputs) + 2), eps_(eps), slope_(slope),
        conv_(data_inputs, /*bias=*/true, options), norm_({.training = false, .eps = eps, .slope = slope}) {}
  const char* name() const override { return "conv2d_norm_act"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {}; }
  bool differentiable(size_t) const override { return false; }
  bool takes_bf16(size_t i) const override { return conv_.takes_bf16(i); }
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override;
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU OP_CUDA

      private : Shapes
                norm_shapes(const Shapes& x) const;
  void forward_separately(const Forward& f) const;
  size_t conv_inputs_;
  double eps_, slope_;
  Conv2d conv_;
  NormAct norm_;
};

// On tapes without gradients only; `norm` must not ask for training.
Var conv2d_norm_act(const std::vector<Var>& x, const Var& w, const Var& b, const Var& gamma, const Var& beta,
    const BatchNormOptions& norm, double slope, Conv2dOptions options = {}, Loc loc = Loc::current());

}  // namespace patchcl
