// Rows by index   y_i = x_index(i)      dx_m = sum over all i with index(i) = m of dy_i, in the order of i
//
// Inputs: x (M,D); index i32 (n), each in {0..M-1}. Output: (n,D). Backward reads instead of scattering: each
// row of dx looks for its dy rows, on the GPU in the sorted list of them, so it needs no atomics and adds in
// a fixed order. An index outside is an error on the CPU; on the GPU its row of y is NaN, and dx leaves it
// out.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class GatherRows final : public Op {
 public:
  const char* name() const override { return "gather_rows"; }
  Saves saves() const override { return {.inputs = 2, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }
  Shape shape(const Shapes& x) const override;
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU
  OP_CUDA
};

Var gather_rows(const Var& x, const Var& index, Loc loc = Loc::current());

}  // namespace patchcl
