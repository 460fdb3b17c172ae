// Mean squared error, the consistency loss of mean-teacher methods (METHODS 4.4), P pixels of K channels:
//
//   y = 1/(P K) sum_pk w_p (p_pk - t_pk)^2          dp_pk = dy 2 w_p / (P K) (p_pk - t_pk),   dt_pk = -dp_pk
// Inputs: p and target (N,H,W,K); optionally weights (N,H,W), 1 when absent, which get no gradient. Output:
// (1). A teacher's target is passed through detach(): then no dt is asked for. Any rank does.
#pragma once
#include "autograd/tape.h"
#include "tensor/cuda.h"

namespace patchcl {

class MeanSquaredError final : public Op {
 public:
  const char* name() const override { return "mean_squared_error"; }
  Saves saves() const override { return {.inputs = Saves::all, .output = false}; }
  bool differentiable(size_t i) const override { return i < 2; }
  Shape shape(const Shapes& x) const override;
  size_t workspace(const Shapes&, DType, Device d) const override {
    return d == Device::cuda ? cuda::kReduceBytes : 0;
  }

 protected:
  OP_CPU
  OP_CUDA
};

Var mean_squared_error(const Var& p, const Var& target, const Var& weight = {}, Loc loc = Loc::current());

}  // namespace patchcl
