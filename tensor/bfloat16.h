// bf16 (tensor/bf16.h) as a type that tensors have.
#pragma once
#include "tensor/bf16.h"
#include "tensor/shape.h"

namespace patchcl {

template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };

inline DType precise(DType d) { return d == DType::bf16 ? DType::f32 : d; }

// As dispatch() in tensor/tensor.h, for the ops that take bf16 data too.
template <class F> void dispatch_data(DType d, F&& fn) {
  if (d == DType::f32) fn(float{});
  else if (d == DType::f64) fn(double{});
  else if (d == DType::bf16) fn(bf16{});
  else fail(ExitCode::internal, "dispatch", "wants f32, f64 or bf16, got ", dtype_name(d));
}

}  // namespace patchcl
