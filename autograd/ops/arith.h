// Arithmetic of two tensors of one shape, and scaling by a scalar that lives in a tensor.
//
//   add  y = a + b    da = dy,    db = dy
//   sub  y = a - b    da = dy,    db = -dy
//   mul  y = a * b    da = dy b,  db = dy a         (element by element)
//   scale  y = s x    dx = s dy,  ds = sum x dy     s has shape (1): a loss weight that changes from step to
//   step
// Multiplication by a constant is affine() of pointwise.h.
#pragma once
#include "autograd/tape.h"
#include "tensor/cuda.h"

namespace patchcl {

// As in pointwise.h: the function and its two derivatives side by side, shared by the CPU loop and the CUDA
// kernel.
struct Add {
  static constexpr const char* name = "add";
  static constexpr Saves saves{};
  template <class T>
  HD T f(T a, T b) const {
    return a + b;
  }
  template <class T>
  HD T da(T, T) const {
    return T(1);
  }
  template <class T>
  HD T db(T, T) const {
    return T(1);
  }
};

struct Sub {
  static constexpr const char* name = "sub";
  static constexpr Saves saves{};
  template <class T>
  HD T f(T a, T b) const {
    return a - b;
  }
  template <class T>
  HD T da(T, T) const {
    return T(1);
  }
  template <class T>
  HD T db(T, T) const {
    return T(-1);
  }
};

struct Mul {
  static constexpr const char* name = "mul";
  static constexpr Saves saves{.inputs = 3, .output = false};
  template <class T>
  HD T f(T a, T b) const {
    return a * b;
  }
  template <class T>
  HD T da(T, T b) const {
    return b;
  }
  template <class T>
  HD T db(T a, T) const {
    return a;
  }
};

template <class F>
class Binary final : public Op {
 public:
  const char* name() const override { return F::name; }
  Saves saves() const override { return F::saves; }
  Shape shape(const Shapes& x) const override {
    require(x.size() == 2 && x[0] == x[1], F::name, "takes 2 tensors of one shape, got ", x.at(0), " and ",
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
    require(x.size() == 2 && x[1] == Shape{1}, "scale", "takes a tensor and a scalar (1), got ", x.at(0),
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
Var sub(const Var& a, const Var& b, Loc loc = Loc::current());
Var mul(const Var& a, const Var& b, Loc loc = Loc::current());
Var scale(const Var& x, const Var& s, Loc loc = Loc::current());

}  // namespace patchcl
