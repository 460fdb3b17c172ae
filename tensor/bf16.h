// bf16: the upper half of an f32, so its range with 7 bits of mantissa. Storage for a network's maps;
// arithmetic is in f32, and a number is rounded once, when it is stored (to nearest, ties to even).
//
// Included by files that are compiled per instruction set (tensor/simd.h), so its functions are always
// inlined: the linker could otherwise keep a copy compiled for AVX-512 for everybody.
#pragma once
#include <cstdint>
#include <cstring>

#include "tensor/hd.h"

namespace patchcl {

struct bf16 {
  uint16_t bits;

  bf16() = default;
  HD __attribute__((always_inline)) bf16(float v) {
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    // Rounding up may carry into the exponent, which is right; a NaN must not become an infinity.
    bits = v != v ? uint16_t(u >> 16 | 0x40) : uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  HD __attribute__((always_inline)) operator float() const {
    const uint32_t u = uint32_t(bits) << 16;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
  }
};

// The type of arithmetic, statistics and parameters where the data are T.
template <class T> struct PreciseType { using type = T; };
template <> struct PreciseType<bf16> { using type = float; };
template <class T> using Precise = typename PreciseType<T>::type;

}  // namespace patchcl
