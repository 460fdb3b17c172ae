// Matrix product   Y = op(A) op(B)      A (m,k) or, transposed, (k,m); B (k,n) or, transposed, (n,k); Y (m,n)
//
//   d op(A) = dY op(B)^T,  d op(B) = op(A)^T dY, each transposed once more when its factor is.
// CPU kernels: naive = three loops, sums in double; otherwise tensor/gemm.h, as on the GPU.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class Matmul final : public Op {
 public:
  Matmul(bool transpose_a, bool transpose_b) : ta_(transpose_a), tb_(transpose_b) {}
  const char* name() const override { return "matmul"; }
  Saves saves() const override { return {.inputs = 3, .output = false}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  // The same lines on both devices.
  void forward_any(const Forward& f) const;
  void backward_any(const Backward& b) const;
  bool ta_, tb_;
};

// C = op(A) op(B), or C += for `accumulate`, all tightly packed, on `device` by the chosen kernel. linear
// uses it too.
template <class T> void multiply(Device device, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const T* a,
    const T* b, bool accumulate, T* c);

Var matmul(
    const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false, Loc loc = Loc::current());

}  // namespace patchcl
