// Mean of all elements:   y = 1/n sum_i x_i      dx_i = dy / n      x any shape, y (1)
#pragma once
#include "autograd/tape.h"
#include "tensor/cuda.h"

namespace patchcl {

class Mean final : public Op {
 public:
  const char* name() const override { return "mean"; }
  Saves saves() const override { return {}; }
  Shape shape(const Shapes& x) const override;
  size_t workspace(const Shapes&, DType, Device d) const override {
    return d == Device::cuda ? cuda::kReduceBytes : 0;
  }

 protected:
  OP_CPU
  OP_CUDA
};

Var mean(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
