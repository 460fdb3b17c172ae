// Cross-entropy of pixel labels, log-softmax fused (METHODS 4.4), P pixels:
//
//   y = 1/P sum_p w_p (lse_p - z_p,label(p)),   lse_p = log sum_k e^(z_pk)
//   w_p = weight_p (1 + b [label(p) = K-1])
//   dz_pk = dy w_p / P (e^(z_pk - lse_p) - [k = label(p)])
// Inputs: logits (N,H,W,K); labels u8 (N,H,W); optionally weights (N,H,W), 1 when absent, which get no
// gradient. b, `border_weight`, is for networks whose last class is a border (METHODS 9.5). Output: (1). The
// mean is over all pixels, whatever their weight. Any rank does: (n,K) with labels (n) too. A label >= K is
// Error(data) naming the image on the CPU and makes y NaN on the GPU.
// CPU kernels: naive = the formulas; fast = f32 through the vectorised e^x and log of tensor/simd_math.h.
#pragma once
#include "autograd/tape.h"
#include "tensor/cuda.h"

namespace patchcl {

class CrossEntropy final : public Op {
 public:
  explicit CrossEntropy(double border_weight = 0) : on_last_(1 + border_weight) {}
  const char* name() const override { return "cross_entropy"; }
  Saves saves() const override { return {.inputs = Saves::all, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }
  Shape shape(const Shapes& x) const override;
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override {
    return {{{x[0].rows()}, dtype}};
  }  // lse
  size_t workspace(const Shapes&, DType, Device d) const override {
    return d == Device::cuda ? cuda::kReduceBytes : 0;
  }

 protected:
  OP_CPU
  OP_CUDA

 private:
  double on_last_;  // 1 + b
};

Var cross_entropy(const Var& logits, const Var& labels, const Var& weight = {}, double border_weight = 0,
    Loc loc = Loc::current());

}  // namespace patchcl
