// The sum of two tensors of one shape, and scaling by a scalar that lives in a tensor.
//
//   add    y = a + b   da = dy,   db = dy
//   scale  y = s x     dx = s dy, ds = sum x dy     s has shape (1): a weight that changes from step to step
// Multiplication by a constant is affine() of pointwise.h.
#pragma once
#include "autograd/tape.h"
#include "tensor/cuda.h"

namespace patchcl {

class Add final : public Op {
 public:
  const char* name() const override { return "add"; }
  Saves saves() const override { return {}; }
  Shape shape(const Shapes& x) const override {
    require(x.size() == 2 && x[0] == x[1], name(), "takes 2 tensors of one shape, got ", x.at(0), " and ",
        x.at(1));
    return x[0];
  }

 protected:
  OP_CPU
  OP_CUDA
};

class Scale final : public Op {
 public:
  const char* name() const override { return "scale"; }
  Saves saves() const override { return {.inputs = 3, .output = false}; }
  Shape shape(const Shapes& x) const override {
    require(x.size() == 2 && x[1] == Shape{1}, name(), "takes a tensor and a scalar (1), got ", x.at(0),
        " and ", x.at(1));
    return x[0];
  }
  size_t workspace(const Shapes&, DType, Device d) const override {
    return d == Device::cuda ? cuda::kReduceBytes : 0;
  }

 protected:
  OP_CPU
  OP_CUDA
};

Var add(const Var& a, const Var& b, Loc loc = Loc::current());
Var scale(const Var& x, const Var& s, Loc loc = Loc::current());

}  // namespace patchcl
