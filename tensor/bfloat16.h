// bfloat16: the upper half of an f32, so its range with 7 bits of mantissa. Storage for activations on the
// GPU; arithmetic is in f32, and a number is rounded once, when it is stored (to nearest, ties to even).
#pragma once
#include <cstdint>
#include <cstring>

#include "tensor/hd.h"
#include "tensor/shape.h"

namespace patchcl {

struct bf16 {
  uint16_t bits;

  bf16() = default;
  HD bf16(float v) {
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    // Rounding up may carry into the exponent, which is right; a NaN must not become an infinity.
    bits = v != v ? uint16_t(u >> 16 | 0x40) : uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  HD operator float() const {
    const uint32_t u = uint32_t(bits) << 16;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
  }
};
template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };

// The type of arithmetic, statistics and parameters where the data are T.
template <class T> struct PreciseType { using type = T; };
template <> struct PreciseType<bf16> { using type = float; };
template <class T> using Precise = typename PreciseType<T>::type;
inline DType precise(DType d) { return d == DType::bf16 ? DType::f32 : d; }

// As dispatch() in tensor/tensor.h, for the ops that take bf16 data too.
template <class F> void dispatch_data(DType d, F&& fn) {
  if (d == DType::f32) fn(float{});
  else if (d == DType::f64) fn(double{});
  else if (d == DType::bf16) fn(bf16{});
  else fail(ExitCode::internal, "dispatch", "wants f32, f64 or bf16, got ", dtype_name(d));
}

}  // namespace patchcl
