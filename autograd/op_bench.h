// OpBench: one case of an op at one draw of its inputs, for the gradient battery (audit.cpp). Moves f64
// numbers in and out of the op, in any type and on any device, and hands it memory full of rubbish, as an op
// may find it.
#pragma once
#include <cmath>
#include <vector>

#include "autograd/spec.h"
#include "tensor/arena.h"

namespace patchcl {

// How one backward pass is provoked.
struct Provocation {
  DType dtype = DType::f64;
  double fill = std::nan("");  // what the gradient buffers hold before
  bool accumulate = false;
  double poison = std::nan("");  // what tensors hold that the op did not save
  int only = -1;                 // >= 0: this input's gradient is wanted and no other
};

class OpBench {
 public:
  using Vec = std::vector<double>;

  // `exact`: the type in which the inputs drawn are exact.
  OpBench(const OpCase& c, const AuditOptions& options, Rng& rng, DType exact = DType::f32);

  const std::vector<Vec>& x() const { return x_; }
  const Shape& x_shape(size_t i) const { return shapes_[i]; }
  const Shape& y_shape() const { return y_shape_; }
  // True where input i carries a gradient.
  bool checked(size_t i) const { return is_float(i) && case_.op->differentiable(i); }
  bool any_checked() const;

  Vec forward(const std::vector<Vec>& x, DType d) const;
  // The gradients of all inputs; empty for those that carry none.
  std::vector<Vec> backward(const Vec& dy, const Provocation& p = {}) const;

 private:
  struct Evaluation {
    std::vector<Tensor> x, aux;
    Tensor y;
  };

  bool is_float(size_t i) const { return case_.inputs[i].dtype == DType::f64; }
  DType type(size_t i, DType d) const;
  DType output(DType d) const { return d == DType::bf16 ? case_.op->output(type(0, d)) : d; }
  Evaluation run(const std::vector<Vec>& x, DType d, uint8_t rubbish) const;
  Tensor workspace(DType d, uint8_t rubbish) const;
  Tensor make(const Vec& v, const Shape& shape, DType d) const;
  Vec read(const Tensor& t) const;

  const OpCase& case_;
  Arena arena_, host_;
  Shapes shapes_;
  std::vector<Vec> x_;
  Shape y_shape_;
};

}  // namespace patchcl
