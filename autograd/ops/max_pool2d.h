// 2x2 max pooling with stride 2 of NHWC images; a last odd row or column is left out, as in PyTorch:
//
//   y[n,i,j,c] = max x[n, 2i+a, 2j+b, c],  a, b in {0,1};  ties go to the first of (0,0) (0,1) (1,0) (1,1)
//   dx[n,2i+a,2j+b,c] = dy[n,i,j,c] where (a,b) was chosen, else 0
// x (N,H,W,C) with H, W >= 2 -> y (N,H/2,W/2,C). Windows do not overlap, so backward writes each dx once.
// Leaves the choice 2a + b for backward, one byte for each y, and needs neither x nor y again.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class MaxPool2d final : public Op {
 public:
  const char* name() const override { return "max_pool2d"; }
  Shape shape(const Shapes& x) const override;
  bool takes_bf16(size_t) const override { return true; }
  Saves saves() const override { return {}; }
  std::vector<AuxSpec> aux(const Shapes& x, DType) const override { return {{shape(x), DType::u8}}; }

 protected:
  OP_CPU OP_CUDA
};

Var max_pool2d(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
