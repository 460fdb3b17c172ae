// Weighted sums of a map over windows: what a window shows of its class, pooled (METHODS 1.13, V1).
//
//   y_rc = sum_{i,j < P} w_r(i,j) x_n(top + i, left + j)_c,      r = (n, top, left)
//   dx_n(m)_c = sum over all r that contain m, in their order, of w_r(m) dy_rc
// Inputs: x (N,H,W,C); windows i32 (R,3): image, top, left; weights (R,P,P), which get no gradient. Output:
// (R,C). The product with a sparse matrix that is never built; backward is its transpose, read pixel by
// pixel, so overlapping windows add in a fixed order. A window that does not lie in the map is an error on
// the CPU; on the GPU its row of y is NaN and it is left out of dx.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class RegionPool final : public Op {
 public:
  const char* name() const override { return "region_pool"; }
  Saves saves() const override { return {.inputs = 0b110, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA
};

Var region_pool(const Var& x, const Var& windows, const Var& weights, Loc loc = Loc::current());

}  // namespace patchcl
