// Fully connected layer   Y = X W + b      X (n,in), W (in,out), b (out) or absent, Y (n,out)
//
//   dX = dY W^T,  dW = X^T dY,  db_o = sum_i dY_io
// The weight is stored as the transpose of PyTorch's (out,in). Kernels as in matmul.h.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class Linear final : public Op {
 public:
  const char* name() const override { return "linear"; }
  Saves saves() const override { return {.inputs = 3, .output = false}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA
};

Var linear(const Var& x, const Var& w, const Var& b = {}, Loc loc = Loc::current());

}  // namespace patchcl
