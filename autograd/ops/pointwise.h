// Pointwise operations y = f(x), one input:   dL/dx = dL/dy * f'(x)
//
// Each is a functor with f and df on adjacent lines; df gets x and y and uses the one that it saved. The CPU
// loop (pointwise.cpp) and the CUDA kernel (pointwise.cu) are written once for all. Shape: any; y has the
// shape and type of x, f32, f64 or bf16 (then f and df are computed in f32). Two-input arithmetic lives in
// arith.h.
#pragma once
#include <cmath>

#include "autograd/tape.h"

namespace patchcl {

struct LeakyRelu {  // x if x > 0, else slope * x.  At x = 0 we choose f' = slope, as PyTorch does.
  static constexpr const char* name = "leaky_relu";
  static constexpr Saves saves{.inputs = 1, .output = false};
  double slope = 0.01;
  template <class T> HD T f(T x) const { return x > T(0) ? x : T(slope) * x; }
  template <class T> HD T df(T x, T) const { return x > T(0) ? T(1) : T(slope); }
};

struct Relu {  // max(x, 0).  f'(0) = 0.  Saves y: y > 0 exactly where x > 0.
  static constexpr const char* name = "relu";
  static constexpr Saves saves{.inputs = 0, .output = true};
  template <class T> HD T f(T x) const { return x > T(0) ? x : T(0); }
  template <class T> HD T df(T, T y) const { return y > T(0) ? T(1) : T(0); }
};

struct Sigmoid {  // 1 / (1 + e^-x), and f' = y (1 - y)
  static constexpr const char* name = "sigmoid";
  static constexpr Saves saves{.inputs = 0, .output = true};
  template <class T> HD T f(T x) const { return T(1) / (T(1) + std::exp(-x)); }
  template <class T> HD T df(T, T y) const { return y * (T(1) - y); }
};

struct Affine {  // a x + b for constants a and b, and f' = a
  static constexpr const char* name = "affine";
  static constexpr Saves saves{};
  double a = 1, b = 0;
  template <class T> HD T f(T x) const { return T(a) * x + T(b); }
  template <class T> HD T df(T, T) const { return T(a); }
};

template <class F> class Pointwise final : public Op {
 public:
  explicit Pointwise(F f = {}) : f_(f) {}
  const char* name() const override { return F::name; }
  Saves saves() const override { return F::saves; }
  bool takes_bf16(size_t) const override { return true; }
  Shape shape(const Shapes& x) const override {
    require(x.size() == 1, F::name, "takes 1 tensor, got ", x.size());
    return x[0];
  }

 protected:
  OP_CPU
  OP_CUDA

 private:
  F f_;
};

Var leaky_relu(const Var& x, double slope = 0.01, Loc loc = Loc::current());
Var relu(const Var& x, Loc loc = Loc::current());
Var sigmoid(const Var& x, Loc loc = Loc::current());
Var affine(const Var& x, double a, double b = 0, Loc loc = Loc::current());

}  // namespace patchcl
