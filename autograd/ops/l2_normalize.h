// Rows of length 1, over the last axis:
//
//   y = r x,  r = 1 / sqrt(sum_j x_j^2 + eps)
//   dx = r (dy - y <dy,y>)
// eps sits inside the root, so that the gradient at x = 0 is finite: r dy. Any shape, y has the shape of x.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class L2Normalize final : public Op {
 public:
  explicit L2Normalize(double eps) : eps_(eps) {}
  const char* name() const override { return "l2_normalize"; }
  Saves saves() const override { return {.inputs = 0, .output = true}; }
  Shape shape(const Shapes& x) const override;
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override {
    return {{{x[0].rows()}, dtype}};
  }  // r

 protected:
  OP_CPU
  OP_CUDA

 private:
  double eps_;
};

Var l2_normalize(const Var& x, double eps = 1e-12, Loc loc = Loc::current());

}  // namespace patchcl
