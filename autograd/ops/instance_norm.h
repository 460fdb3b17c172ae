// Instance normalisation: each channel of each image over that image's pixels (Ulyanov et al., 2016).
//
//   m_nc = mean_p(x_npc), v_nc = mean_p((x_npc - m_nc)^2) over the P = H W pixels p of image n
//   xhat = (x - m) r,  r = 1/sqrt(v + eps),   y = gamma_c xhat + beta_c, or y = xhat without affine
// Backward: m and v depend on x, so with the means over p (not sums over the batch, as in norm_act.h)
//   dx = gamma r (dy - mean_p(dy) - xhat mean_p(dy xhat)),   dgamma_c = sum_np dy xhat,   dbeta_c = sum_np dy
// which is batch norm's backward of a batch of one image, dgamma and dbeta added up over the images. So the
// kernels are those: image after image goes through NormAct, on the CPU and on the GPU. There are no running
// statistics; training and inference are the same. x (N,H,W,C) with H W > 1, f32, f64 or bf16;
// gamma, beta (C), both or neither. Saves x, gamma, beta and, for each image, m and r. METHODS 2.4.
#pragma once
#include "autograd/ops/norm_act.h"

namespace patchcl {

class InstanceNorm final : public Op {
 public:
  explicit InstanceNorm(double eps = 1e-5) : norm_({.training = true, .eps = eps}) {}
  const char* name() const override { return "instance_norm"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b111, .output = false}; }
  bool takes_bf16(size_t i) const override { return i == 0; }
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override;
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  // The same lines on both devices.
  void forward_any(const Forward& f) const;
  void backward_any(const Backward& b) const;
  NormAct norm_;
};

// Without affine, as torch.nn.InstanceNorm2d(C), and with.
Var instance_norm(const Var& x, Loc loc = Loc::current());
Var instance_norm(const Var& x, const Var& gamma, const Var& beta, Loc loc = Loc::current());

}  // namespace patchcl
