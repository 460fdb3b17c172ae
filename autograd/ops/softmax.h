// Softmax and log-softmax over the last axis; any shape, y has the shape of x. K is the length of that axis.
//
//   softmax      y_k = e^(x_k - m) / sum_j e^(x_j - m),  m = max x      dx_k = y_k (dy_k - sum_j dy_j y_j)
//   log_softmax  y_k = x_k - lse,  lse = m + log sum_j e^(x_j - m)      dx_k = dy_k - e^(y_k) sum_j dy_j
// Subtracting m changes nothing but keeps every exponent <= 0. For the logarithm of a softmax use
// log_softmax, never log(softmax): the fused form is finite for every finite x.
// CPU kernels: naive = the formulas row by row, sums in double; fast = f32 softmax of few classes through the
// vectorised e^x of tensor/simd_math.h.
#pragma once
#include <cmath>

#include "autograd/tape.h"

namespace patchcl {

// The formulas of one row, shared by the CPU loop and the CUDA kernel. `of_sum` is what all elements need of
// sum_j e^(x_j - m); `total` is the sum of term() over the row.
struct SoftmaxRow {
  static constexpr const char* name = "softmax";
  template <class T> HD static T of_sum(double sum) { return T(1 / sum); }
  template <class T> HD static T y(T x, T m, T of_sum) { return std::exp(x - m) * of_sum; }
  template <class T> HD static double term(T y, T dy) { return double(dy) * double(y); }
  template <class T> HD static T dx(T y, T dy, double total) { return T(y * (dy - total)); }
};

struct LogSoftmaxRow {
  static constexpr const char* name = "log_softmax";
  template <class T> HD static T of_sum(double sum) { return T(std::log(sum)); }
  template <class T> HD static T y(T x, T m, T of_sum) { return x - m - of_sum; }
  template <class T> HD static double term(T, T dy) { return double(dy); }
  template <class T> HD static T dx(T y, T dy, double total) { return T(dy - std::exp(y) * total); }
};

template <class Row> class RowSoftmax final : public Op {
 public:
  const char* name() const override { return Row::name; }
  Saves saves() const override { return {.inputs = 0, .output = true}; }
  Shape shape(const Shapes& x) const override {
    require(x.size() == 1 && x[0].rank() > 0 && x[0].numel() > 0, Row::name,
        "takes 1 tensor with elements, got ", x.at(0));
    return x[0];
  }

 protected:
  OP_CPU
  OP_CUDA
};
using Softmax = RowSoftmax<SoftmaxRow>;
using LogSoftmax = RowSoftmax<LogSoftmaxRow>;

Var softmax(const Var& x, Loc loc = Loc::current());
Var log_softmax(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
