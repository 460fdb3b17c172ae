// The same numbers in another type, y = x: between f32 and bf16, where the activations of a network are bf16
// (tensor/bf16.h).
//
// Gradient: dx = dy, in the type of x. f64 stays f64, so that a network that casts can be audited. Shape:
// any.
#pragma once
#include "autograd/tape.h"
#include "tensor/bfloat16.h"

namespace patchcl {

class Cast final : public Op {
 public:
  explicit Cast(DType to) : to_(to) {}  // f32 or bf16
  const char* name() const override { return "cast"; }
  Saves saves() const override { return {}; }
  bool takes_bf16(size_t) const override { return to_ == DType::f32; }
  DType output(DType d) const override { return d == DType::f64 ? d : to_; }
  Shape shape(const Shapes& x) const override {
    require(x.size() == 1, name(), "takes 1 tensor, got ", x.size());
    return x[0];
  }

 protected:
  OP_CPU OP_CUDA

      private : DType to_;
};

// x itself where it is of that type already, or f64.
Var cast(const Var& x, DType to, Loc loc = Loc::current());

// A map of bf16 as f32; others as they are.
Var widened(const Var& map, Loc loc = Loc::current());

}  // namespace patchcl
