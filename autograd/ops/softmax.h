// Softmax and log-softmax over the last axis; any shape, y has the shape of x. K is the length of that axis.
//
//   softmax      y_k = e^(x_k - m) / sum_j e^(x_j - m),  m = max x      dx_k = y_k (dy_k - sum_j dy_j y_j)
//   log_softmax  y_k = x_k - lse,  lse = m + log sum_j e^(x_j - m)      dx_k = dy_k - e^(y_k) sum_j dy_j
// Subtracting m changes nothing but keeps every exponent <= 0. For the logarithm of a softmax use
// log_softmax, never log(softmax): the fused form is finite for every finite x.
// CPU kernels: naive = the formulas row by row, sums in double; fast = f32 rows of few classes through the
// vectorised e^x of tensor/simd_math.h.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class Softmax final : public Op {
 public:
  const char* name() const override { return "softmax"; }
  Saves saves() const override { return {.inputs = 0, .output = true}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA
};

class LogSoftmax final : public Op {
 public:
  const char* name() const override { return "log_softmax"; }
  Saves saves() const override { return {.inputs = 0, .output = true}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA
};

Var softmax(const Var& x, Loc loc = Loc::current());
Var log_softmax(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
