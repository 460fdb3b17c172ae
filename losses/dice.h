// Dice loss over the whole batch, mean over all K classes (METHODS 4.4):
//
//   y = 1/K sum_k (1 - (2 I_k + e) / D_k),   I_k = sum_p w_p g_pk p_pk,
//   D_k = sum_p w_p (p_pk^2 + g_pk) + e
//   dp_pk = dy w_p / K ( -2 g_pk / D_k + 2 p_pk (2 I_k + e) / D_k^2 )
// where g_pk = [label(p) = k] and e, `smooth`, is 1e-5 in 4.4 and 1e-10 in 7.2. Inputs: probabilities
// (N,H,W,K), usually a softmax; labels u8 (N,H,W); optionally weights (N,H,W), 1 when absent, which get no
// gradient. Output: (1). A class that is absent and not predicted costs 0. A label >= K is Error(data) naming
// the image on the CPU and makes y NaN on the GPU.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

constexpr double kDiceSmooth = 1e-5;

// I_k and D_k without e, over some of the pixels.
struct ClassSums {
  double i, d;
  HD ClassSums& operator+=(const ClassSums& o) {
    i += o.i;
    d += o.d;
    return *this;
  }
};

class Dice final : public Op {
 public:
  explicit Dice(double smooth = kDiceSmooth) : smooth_(smooth) {}
  const char* name() const override { return "dice"; }
  Saves saves() const override { return {.inputs = Saves::all, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }
  Shape shape(const Shapes& x) const override;
  // Per class the two factors of the gradient: dp_pk = dy w_p (a_k g_pk + b_k p_pk).
  std::vector<AuxSpec> aux(const Shapes& x, DType) const override { return {{{x[0][-1], 2}, DType::f64}}; }
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  double smooth_;
};

Var dice_loss(const Var& probabilities, const Var& labels, const Var& weight = {},
    double smooth = kDiceSmooth, Loc loc = Loc::current());

}  // namespace patchcl
