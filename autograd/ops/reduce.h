// Sum and mean of all elements:   y = c sum_i x_i,  c = 1 or 1/n      dx_i = c dy      x any shape, y (1)
#pragma once
#include "autograd/tape.h"
#include "tensor/cuda.h"

namespace patchcl {

enum class Reduction { sum, mean };

class Reduce final : public Op {
 public:
  explicit Reduce(Reduction kind) : kind_(kind) {}
  const char* name() const override { return kind_ == Reduction::sum ? "sum" : "mean"; }
  Saves saves() const override { return {}; }
  Shape shape(const Shapes& x) const override;
  size_t workspace(const Shapes&, DType, Device d) const override {
    return d == Device::cuda ? cuda::kReduceBytes : 0;
  }

 protected:
  OP_CPU
  OP_CUDA

 private:
  double factor(int64_t n) const { return kind_ == Reduction::sum ? 1 : 1 / double(n); }
  Reduction kind_;
};

Var sum(const Var& x, Loc loc = Loc::current());
Var mean(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
