// Global average pooling   y_nc = 1/(H W) sum_ij x_nijc      dx_nijc = dy_nc / (H W)
//
// x (N,H,W,C), y (N,C).
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class GlobalAvgPool final : public Op {
 public:
  const char* name() const override { return "global_avg_pool"; }
  Saves saves() const override { return {}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA
};

Var global_avg_pool(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
