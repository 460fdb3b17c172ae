// Batch normalisation of each channel over all pixels of the batch, alone or fused with leaky ReLU and
// dropout:
//
//   m = mean(x), v = mean((x - m)^2) over N,H,W            training; otherwise the running statistics
//   xhat = (x - m) r,  r = 1/sqrt(v + eps),   z = gamma xhat + beta
//   y = k a(z),  a(z) = z if z > 0 else slope z,   k = 0 or 1/(1-p) (dropout.h).      batch_norm: y = z
// Backward, M = N H W, with dz = dy k a'(z):
//   dgamma = sum dz xhat,  dbeta = sum dz
//   dx = gamma r (dz - dbeta/M - xhat dgamma/M)            training: m and v depend on x
//   dx = gamma r dz                                        otherwise
// Training also moves the running statistics as PyTorch does, with the unbiased variance:
//   running_mean = (1 - momentum) running_mean + momentum m,   running_var likewise with v M/(M-1)
// They are inputs of the op, and forward writes to them; y never depends on what it writes. x (N,H,W,C);
// gamma, beta, running_mean, running_var (C); rng i64 (2) when p > 0. Saves x, gamma, beta, m, r and one bit
// an element for the mask; xhat, z and the side of the kink are computed again: cheaper than memory. CPU
// kernels (tensor/device.h): naive for any type and width; f32 and bf16 in multiples of 16 channels, and in
// 8, 4, 2 or 1 where pixels fill up sixteen, run at memory speed. METHODS 4.3.
#pragma once
#include "autograd/ops/dropout.h"

namespace patchcl {

struct BatchNormOptions {
  bool training = true;
  Tensor running_mean, running_var;  // (C), on the device of x and of its type; f32 where x is bf16
  double eps = 1e-5, momentum = 0.1;
};

class NormAct final : public Op {
 public:
  struct Config {
    bool training = true;
    double eps = 1e-5, momentum = 0.1;
    double slope = 1;  // 1: no activation
    DropoutSite dropout = {};
    bool fused() const { return slope != 1 || dropout.p > 0; }
  };
  explicit NormAct(const Config& config);
  const char* name() const override { return config_.fused() ? "norm_act_dropout" : "batch_norm"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b111, .output = false}; }
  bool differentiable(size_t i) const override { return i < 3; }
  bool takes_bf16(size_t i) const override { return i == 0; }
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override;
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU OP_CUDA

      private : Config config_;
};

Var batch_norm(const Var& x, const Var& gamma, const Var& beta, const BatchNormOptions& options,
    Loc loc = Loc::current());
// rng may be empty when p = 0.
Var norm_act_dropout(const Var& x, const Var& gamma, const Var& beta, const BatchNormOptions& options,
    double slope, double p, const Var& rng, uint32_t site, Loc loc = Loc::current());

}  // namespace patchcl
