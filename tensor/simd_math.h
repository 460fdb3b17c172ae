// e^x and ln x of a register of numbers, for *.simd.cpp files (std::exp would be one call per number).
#pragma once
#include "tensor/simd.h"

namespace patchcl::PATCHCL_ISA {

typedef uint32_t UintVec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));

// e^x for x <= 88, within 2 units in the last place; below -87 it stays at e^-87 = 1.6e-38. NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by a polynomial (Cephes expf), 2^n through the exponent bits.
SIMD_INLINE Vec fast_exp(Vec x) {
  x = x < -87.f ? splat(-87.f) : x;
  const Vec shifted =
      x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: rounds to the integer n, kept in the low bits
  const Vec n = shifted - 12582912.f;
  const Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln 2 in two parts
  Vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  return p * Vec((UintVec(shifted) << 23) + (127u << 23));
}

// ln x for finite x >= 1e-37, within 2 units in the last place. NaN stays NaN.
// x = 2^n m with m in [sqrt(1/2), sqrt(2)); ln m by a polynomial in m - 1 (Cephes logf).
SIMD_INLINE Vec fast_log(Vec x) {
  const UintVec bits = UintVec(x) - 0x3f3504f3u;  // sqrt(1/2): the exponent field now holds n
  const Vec n = __builtin_convertvector(IntVec(bits) >> 23, Vec);
  const Vec r = Vec((bits & 0x007fffffu) + 0x3f3504f3u) - 1.f;
  Vec p = 7.0376836292e-2f * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  const Vec log_m = r - 0.5f * r * r + p * r * r * r;
  return log_m - n * 2.12194440e-4f + n * 0.693359375f + (x - x);  // x - x: 0, but NaN for NaN
}

}  // namespace patchcl::PATCHCL_ISA
