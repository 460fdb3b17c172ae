// Clipped Gaussian noise, the perturbation of mean-teacher inputs (METHODS 4.4):
//
//   y_i = x_i + clamp(sigma n_i, -limit, limit),   n_i ~ N(0,1)          dx = dy
// n_i is Box-Muller's sqrt(-2 ln u) cos(2 pi v) of the random bits 2i and 2i+1 of stream `site` at (seed,
// step), which the second input holds: i64 (2). So it is the same in every kernel and after a resume.
#pragma once
#include "autograd/tape.h"
#include "tensor/random.h"

namespace patchcl {

class Noise final : public Op {
 public:
  Noise(double sigma, double limit, uint32_t site) : sigma_(sigma), limit_(limit), site_(site) {}
  const char* name() const override { return "noise"; }
  Saves saves() const override { return {}; }
  bool differentiable(size_t i) const override { return i == 0; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  double sigma_, limit_;
  uint32_t site_;
};

Var noise(const Var& x, const Var& rng, double sigma, double limit, uint32_t site, Loc loc = Loc::current());

}  // namespace patchcl
